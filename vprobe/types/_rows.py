"""Rows of the tables a run holds."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class ScoreRow:
    """One number of one item in the table `scores`.

    Args:
        item_id: The item.
        group: Its query.
        value: Canonical value name.
        kind: "probe", "rating" or "label".
        method: Direction method; empty unless a probe.
        site: Site read, "nested" when inner folds chose it; empty unless a probe.
        score: NaN is unscored.
        unit: What 1.0 means.
    """

    item_id: str
    group: str
    value: str
    kind: str
    method: str
    site: str
    score: float
    unit: str


@dataclass(frozen=True)
class ProfileRow:
    """One value of a model's profile: rating points the model adds per standard deviation of the keying.

    Args:
        value: Canonical value name.
        kind: "rating" (keyed by human labels) or "probe" (keyed by held-out probe scores).
        estimate: Within-query slope, rating points per standard deviation; NaN does not exist.
        low: Lower end of the 95 % interval.
        high: Upper end.
        n_items: Items used.
        n_unscored: Items left out.
        unit: What 1.0 means.
    """

    value: str
    kind: str
    estimate: float
    low: float
    high: float
    n_items: int
    n_unscored: int
    unit: str


@dataclass(frozen=True)
class DoseRow:
    """What one dose of one steering vector did to the ratings.

    Args:
        value: Value the vector was fitted for.
        arm: "baseline", "steered", "prompted" (asked for by a system prompt), or a null arm, see `NullRow`.
        draw: Index of the null draw or of the prompt; 0 for the steered arm.
        site: Where it acted.
        positions: On which tokens.
        strength: The dose, in `unit`.
        coefficient: Size of the change, in the operation's measure: activation units where it adds.
        effect: Within-query slope of the change in rating on the value's signed label, points per standard deviation.
        low: Lower end of the 95 % interval by query.
        high: Upper end.
        mean_shift: Mean change in rating over items, points: yes-bias, not value.
        option_mass: Mean total probability of the options.
        n_items: Items used.
        n_unscored: Items left out.
        p: Share of label shuffles within queries whose effect is at least as large, two-sided; NaN is not tested.
        operation: What was done with the vector.
        unit: What a strength of 1 is, such as "residual norm", or "kl=1" for what costs 1 nat on neutral text; a prompt
            has strength 1 where it asks for more and -1 where it asks for less.
        of: Which vector or prompt of its arm it is, where that has a name: the other value, the prompt.
        anti: Share of the items that express the value most whose rating goes against their label.
    """

    value: str
    arm: str
    draw: int
    site: str
    positions: str
    strength: float
    coefficient: float
    effect: float
    low: float
    high: float
    mean_shift: float
    option_mass: float
    n_items: int
    n_unscored: int
    p: float = math.nan
    operation: str = "add"
    unit: str = "residual norm"
    of: str = ""
    anti: float = math.nan


@dataclass(frozen=True)
class ConditionRow:
    """One value of one condition, such as a persona: what is read inside the model and what it does.

    Args:
        condition: Name of the condition.
        value: Canonical value name.
        probe: Projection of the activations on the value's direction, activation units.
        behavior: Rating points per unit of the value's label with the other values' labels held constant.
        n_items: Items rated.
        method: Direction method.
        site: Where it was read.
        kind: "persona", "prompt" (a system prompt of the user's) or "steered".
        cluster: Conditions that hang together, such as doses of one vector; empty is a cluster of its own.
        instrument: What was asked where it is not what directions were fitted on; empty where it is.
        probe_first: `probe` on every other query.
        probe_second: On the others; the two tell how repeatable it is.
        behavior_first: `behavior` on every other query.
        behavior_second: On the others.
    """

    condition: str
    value: str
    probe: float
    behavior: float
    n_items: int
    method: str
    site: str
    kind: str = "persona"
    cluster: str = ""
    instrument: str = ""
    probe_first: float = math.nan
    probe_second: float = math.nan
    behavior_first: float = math.nan
    behavior_second: float = math.nan


@dataclass(frozen=True)
class ClaimRow:
    """A claim about values in a model: made, or refused with the reason.

    Args:
        claim: "decodable", "beyond text", "unique", "ten dimensions", "circle", "agrees" or "causal".
        value: Canonical value name, or "all" for a claim about the values together.
        made: True when it stands.
        reason: Why it is refused; empty when it stands. What else a reader must know follows.
        statistic: What `estimate` is.
        estimate: NaN does not exist.
        p: Family-wise p; NaN where the claim rests on no test.
        alpha: The level it was tested at.
        draws: Permutations behind p.
        n: Samples.
        method: Direction method.
        site: Where it was read.
    """

    claim: str
    value: str
    made: bool
    reason: str
    statistic: str
    estimate: float
    p: float
    alpha: float
    draws: int
    n: int
    method: str
    site: str


@dataclass(frozen=True)
class TruthRow:
    """What was planted, or what an ideal observer would measure; only in runs of a model with a truth card.

    Args:
        quantity: "probe~label", "rating~label", "probe~rating", "profile", "rating", "condition", "dose" or "cosine".
        value: Canonical value name; empty for an item's rating.
        subject: Item, condition or strength it is about; empty when none.
        truth: The number.
        unit: What 1.0 means.
    """

    quantity: str
    value: str
    subject: str
    truth: float
    unit: str


@dataclass(frozen=True)
class GenerationRow:
    """How likely a model finds one response to a query.

    Args:
        item_id: The response.
        group: Its query.
        source: Where the query came from.
        logprob: Natural log-probability of the response, end of turn included; tokens all responses share left out.
        n_tokens: Tokens it is the sum of.
        score: Log-probability per token, standardised over the query's responses; NaN when they are all alike.
    """

    item_id: str
    group: str
    source: str
    logprob: float
    n_tokens: int
    score: float


@dataclass(frozen=True)
class MapPoint:
    """One response on the two-dimensional map of activations; a picture, not evidence.

    Args:
        item_id: The item.
        value: Value of its largest absolute loading.
        loading: That loading, signed.
        x: First map coordinate, no unit.
        y: Second map coordinate, no unit.
        site: Site mapped.
    """

    item_id: str
    value: str
    loading: float
    x: float
    y: float
    site: str


@dataclass(frozen=True)
class SiteNorm:
    """Median L2 norm of the tokens' activations at one site: the unit of steering strength.

    Args:
        site: Where.
        norm: The median, activation units.
    """

    site: str
    norm: float


@dataclass(frozen=True)
class SitePick:
    """Which site inner folds chose for a value: the search behind a "nested" estimate, never hidden.

    Args:
        method: Direction method.
        value: Canonical value name.
        fold: Outer fold; its test queries had no part in the choice.
        site: The site chosen; empty when none could be.
        penalty: The penalty chosen with it, a multiple of the mean squared length of the training activations; NaN
            where the method has none, or chooses it anew in every fit.
    """

    method: str
    value: str
    fold: int
    site: str
    penalty: float = math.nan
