"""Rows of causal checks: what is gone when a direction is taken out, exchanged, or steered at some tokens only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AblationRow:
    """What taking one value's direction out leaves of how ratings follow the value, and the others, over personas.

    Args:
        value: Value whose direction is taken out, down to its mean over personas and items.
        method: Direction method.
        site: Where.
        positions: Tokens changed.
        share: Share of the ratings' variance over personas and items that goes with what is read of the value times the
            item's label, beside the other values.
        base: Slope of ratings on it: points per SD of label and SD over personas of what is read.
        base_low: Lower end of the 95 % percentile interval, whole queries drawn.
        base_high: Upper end.
        slope: The same slope with the direction taken out, points per SD of label.
        removed: Share of the variance that goes with the value which is gone, 1 - (slope / base) squared; NaN where
            `base_low` is not above .01 points: what is not there cannot be taken away.
        low: Lower end of the 95 % percentile interval, whole queries drawn.
        high: Upper end.
        isotropic: 95th percentile, over random directions, of the share of this value's variance that is gone.
        random: The same share, over random directions with the covariance of activations.
        shuffled: The same share, over directions of labels shuffled through the whole fit.
        other: The same share, over the other values' directions.
        reach: Largest share of the four; those not tried are left out.
        beyond: True where `low` exceeds `reach`.
        others: Share of what goes with the other values, together, that is gone; below 0 where it grew.
        others_low: Lower end of the 95 % percentile interval, whole queries drawn.
        others_high: Upper end.
        mean_shift: Mean change of all ratings, rating points.
        n_null: Null vectors of the drawn kind with fewest.
        n_conditions: Personas.
        n_items: Items rated under each.
        n_unscored: Items without all labels or all ratings.
    """

    value: str
    method: str
    site: str
    positions: str
    share: float
    base: float
    base_low: float
    base_high: float
    slope: float
    removed: float
    low: float
    high: float
    isotropic: float
    random: float
    shuffled: float
    other: float
    reach: float
    beyond: bool
    others: float
    others_low: float
    others_high: float
    mean_shift: float
    n_null: int
    n_conditions: int
    n_items: int
    n_unscored: int


@dataclass(frozen=True)
class InterchangeRow:
    """What happens when one prompt takes over another's coordinate on a value's direction: same item, two personas.

    Slopes are rating points per SD of label and SD over pairs of the difference in what is read, the other values in
    one regression with it; they compare with each other.

    Args:
        value: Value whose coordinate is taken over.
        method: Direction method.
        site: Where.
        positions: Tokens changed, by the difference at the token the answer starts from.
        slope: Change of ratings when the coordinate is taken over, points per SD of label.
        low: Lower end of the 95 % percentile interval, whole queries drawn.
        high: Upper end.
        r: Correlation of that change with the one predicted, difference in what is read times label.
        natural: The same slope of the difference that the personas themselves make, points per SD of label.
        natural_low: Lower end of the 95 % percentile interval, whole queries drawn.
        natural_high: Upper end.
        ratio: Share of the natural slope that the coordinate alone makes: 1 where it is all there is to it.
        ratio_low: Lower end of the 95 % percentile interval, whole queries drawn.
        ratio_high: Upper end.
        whole: The slope when the whole activation is put in, points per SD of label.
        whole_low: Lower end of the 95 % percentile interval, whole queries drawn.
        whole_high: Upper end.
        ablated: How far the slope falls when the direction is taken out, points per SD of label.
        ablated_low: Lower end of the 95 % percentile interval, whole queries drawn.
        ablated_high: Upper end.
        recovered: Share of the variance of the natural differences that the whole activation brings about.
        reach: 95th percentile of the absolute slope over null vectors whose coordinate is taken over instead, points
            per SD of label.
        agrees: True where taking over the coordinate, putting in the whole activation and taking the direction out
            say the same.
        verdict: What they say.
        n_null: Null vectors.
        n_pairs: Pairs of personas.
        n_items: Items rated for each.
        n_unscored: Items without all labels or all ratings.
    """

    value: str
    method: str
    site: str
    positions: str
    slope: float
    low: float
    high: float
    r: float
    natural: float
    natural_low: float
    natural_high: float
    ratio: float
    ratio_low: float
    ratio_high: float
    whole: float
    whole_low: float
    whole_high: float
    ablated: float
    ablated_low: float
    ablated_high: float
    recovered: float
    reach: float
    agrees: bool
    verdict: str
    n_null: int
    n_pairs: int
    n_items: int
    n_unscored: int


@dataclass(frozen=True)
class PositionRow:
    """What steering one value does when only some of the tokens are changed.

    Args:
        value: Value steered.
        method: Direction method.
        operation: What is done with the vector.
        site: Where.
        positions: Tokens changed: "all"; "prompt" (all before the answer) and "after_prompt" (the answer's own, but the
            first is not affected) divide the text; "last_prompt" (where the answer starts from), "response" (from there
            on) and "option_span" (the list of options) are parts of it.
        strength: Dose, either way, in `unit`.
        effect: Rating points per unit of strength and SD of label within queries, the other labels held constant.
        low: Lower end of the 95 % percentile interval, whole queries drawn.
        high: Upper end.
        of_all: Share of the effect that changing all tokens has; NaN where the interval of that one holds 0.
        of_all_low: Lower end of its 95 % percentile interval, whole queries drawn.
        of_all_high: Upper end.
        mean_shift: Change of all ratings alike, rating points per unit of strength.
        n_items: Items used.
        n_unscored: Items without all labels or all ratings.
        unit: What a strength of 1 is: "residual norm", "degree", or a KL that steering the configured tokens costs.
    """

    value: str
    method: str
    operation: str
    site: str
    positions: str
    strength: float
    effect: float
    low: float
    high: float
    of_all: float
    of_all_low: float
    of_all_high: float
    mean_shift: float
    n_items: int
    n_unscored: int
    unit: str = "residual norm"
