"""Rows of what steering did: dose-response, effects on every value, and how specific they are."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class ResponseRow:
    """The dose-response of one value's vector over items.

    Args:
        value: Value steered.
        method: Direction method of the vector.
        site: Where it was added.
        positions: Tokens steered.
        unit: Coefficient of strength 1: activation units where the operation adds, else a share or degrees.
        slope: Rating points per unit of strength in the direction of the item's label, mean over the half of the
            items that express the value most.
        low: Lower end of the 95 % BCa interval, whole queries drawn.
        high: Upper end.
        slope_sd: SD of the slope over items.
        anti: Share of items that go against their label.
        anti_low: Lower end of its 95 % Clopper-Pearson interval.
        anti_high: Upper end.
        rho: Spearman correlation of strength with the mean change.
        trend: Page's statistic as a z score.
        trend_p: Its p from strengths permuted within items.
        asymmetry: Slope above 0 over slope below 0.
        saturation: Smallest strength beyond which a step adds less than half of the first step; NaN when none does.
        mean_shift: Slope of the rating itself, whatever the label: yes-bias.
        n_items: Items with a slope.
        n_unscored: Items without one.
        operation: What is done with the vector.
        dose: What a strength of 1 is: "residual norm", "degree", or a KL.
    """

    value: str
    method: str
    site: str
    positions: str
    unit: float
    slope: float
    low: float
    high: float
    slope_sd: float
    anti: float
    anti_low: float
    anti_high: float
    rho: float
    trend: float
    trend_p: float
    asymmetry: float
    saturation: float
    mean_shift: float
    n_items: int
    n_unscored: int
    operation: str = "add"
    dose: str = "residual norm"


@dataclass(frozen=True)
class EffectRow:
    """One cell of the effect matrix: steering `target` moves ratings along the label of `measured`.

    Args:
        target: Value steered.
        measured: Value whose label the change is regressed on.
        method: Direction method of the vector.
        kind: "marginal": the label alone; "unique": all labels in one regression.
        effect: Rating points per unit of strength and SD of label within queries, the SD over the whole benchmark.
        low: Lower end of the 95 % percentile interval, whole queries drawn.
        high: Upper end.
        excess: Effect beyond what the labels' own correlation with the target makes of the effect on the target.
        excess_human: The same with the correlation among people; NaN beyond the Schwartz values.
        leak: Rise in acceptance of the measured value's items at the largest strength, 0 when it falls; NaN for the
            target itself, and where no strength is above 0.
        leak_gain: `leak` over the target's own rise.
        leak_headroom: `leak` over what was left to rise.
        leak_relative: `leak_headroom` over the same of the target.
        n_items: Items used.
        n_unscored: Items without all labels or all ratings.
    """

    target: str
    measured: str
    method: str
    kind: str
    effect: float
    low: float
    high: float
    excess: float
    excess_human: float
    leak: float
    leak_gain: float
    leak_headroom: float
    leak_relative: float
    n_items: int
    n_unscored: int


@dataclass(frozen=True)
class SpecificityRow:
    """How much of one vector's effect is its target's own.

    Args:
        target: Value steered.
        method: Direction method of the vector.
        kind: "marginal" or "unique".
        own: Effect on the target.
        others: Mean absolute effect on the other values.
        ratio: `others` over the absolute value of `own`.
        low: Lower end of the ratio's 95 % interval, whole queries drawn; a mean absolute value is never below 0.
        high: Upper end.
        uniform: Lift of all other values alike, c of c + g cos + e; the target's own effect has no part in the three.
        gain: g, what others get as the circle would have it, by their angle to the target.
        displacement: How far the peak of a wave through the whole row lies from the target's angle, degrees.
        leakage: Root mean square of e over the other values.
        r2: Share of the whole row that a lift and a wave with a peak anywhere explain.
        n_items: Items used.
    """

    target: str
    method: str
    kind: str
    own: float
    others: float
    ratio: float
    low: float
    high: float
    uniform: float
    gain: float
    displacement: float
    leakage: float
    r2: float
    n_items: int


@dataclass(frozen=True)
class SolvedRow:
    """What a solved steering was to do to one value, and what it did on items nothing was chosen on.

    Args:
        value: Measured value.
        role: "target", "keep", or "free".
        strength: Dose of this value's own vector, in units of `dose`.
        site: Where its vector is put in.
        wanted: Change asked for, rating points per SD of label within queries; NaN for a free value.
        tuned: Change on the items the doses were chosen on.
        reached: Change on untouched items.
        low: Lower end of its 95 % interval, whole queries drawn.
        high: Upper end.
        miss: `reached` less `wanted`.
        kl: KL(base || steered) of the next token on neutral texts, nats per token, the whole change together.
        n_items: Untouched items.
        n_tuned: Items the doses were chosen on.
        n_needed: Untouched items at which the 95 % interval of the miss would be .05 points either way; NaN where there
            is no interval. Doses want to be chosen on as many.
        spread: SD of the label within queries over all items of the benchmark, which `wanted` counts in; label units.
        rounds: How often the doses were changed.
        operation: What is done with the vectors.
        dose: What a strength of 1 is: "residual norm", "degree", or a KL.
    """

    value: str
    role: str
    strength: float
    site: str
    wanted: float
    tuned: float
    reached: float
    low: float
    high: float
    miss: float
    kl: float
    n_items: int
    n_tuned: int
    n_needed: float = math.nan
    spread: float = math.nan
    rounds: int = 0
    operation: str = "add"
    dose: str = "residual norm"
