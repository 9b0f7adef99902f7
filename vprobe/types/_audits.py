"""Rows of what steering is held against: null arms, asking by a prompt, and the audits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NullRow:
    """One arm of a sweep at its outermost doses: the steered vector, a prompt that asks, or a kind of null vector.

    Args:
        value: Value steered.
        arm: "steered", "prompted", or a null arm: "shuffled" (labels permuted through the whole fit), "random"
            (covariance-matched), "isotropic", "orthogonal" (to all values' vectors), "other" (other values' vectors),
            "acquiescence" (what goes with high ratings, whatever the label).
        strength: Largest dose, in the sweep's unit; 1 for a prompt.
        n_draws: Vectors, or prompts of either side.
        mean: Mean over draws of the effect in the direction of the dose, points per SD of label within queries.
        sd: Its standard deviation over draws, in points per SD of label; NaN for one draw.
        reach: 95th percentile over draws of the effect's absolute size, in points per SD of label.
        largest: Largest absolute size, in points per SD of label.
        steered: Effect of the steered vector, in points per SD of label.
        p: Share of draws, the steered vector among them, with an effect of at least its size.
        beyond: True where the steered effect exceeds `reach`; False where there is nothing to exceed.
        mean_shift: Mean over draws of the absolute shift of all ratings, rating points: yes-bias, not value.
        anti: Share of the items that express the value most whose rating goes against their label, mean over draws.
        n_items: Items rated.
    """

    value: str
    arm: str
    strength: float
    n_draws: int
    mean: float
    sd: float
    reach: float
    largest: float
    steered: float
    p: float
    beyond: bool
    mean_shift: float
    anti: float
    n_items: int


@dataclass(frozen=True)
class PromptRow:
    """The same value asked for by system prompts and steered for by its vector, on the same items.

    Args:
        value: Value asked for; "all" compares effects over values.
        asked_by: "system prompt", or "prefix" where the model's chat template takes no system message.
        n_prompts: Prompts, half of them asking for more of the value and half for less.
        strength: Dose of the vector beside them, in the sweep's unit.
        effect: Effect of the prompts: asked for more minus asked for less, halved, in points per SD of label within
            queries.
        low: Lower end of the 95 % interval, whole queries drawn.
        high: Upper end.
        mean_shift: Mean change under the prompts whichever way they ask, rating points.
        vector_effect: Effect of the vector at its outermost doses on the same items, in points per SD of label.
        vector_low: Lower end of the 95 % interval, whole queries drawn.
        vector_high: Upper end.
        r: Correlation over items of the change under the prompts with the change under the vector; over values of
            the two effects where the value is "all".
        r_low: Lower end of the 95 % interval, whole queries drawn; NaN over values, which are not independent.
        r_high: Upper end.
        cosine: Cosine of the vector with the prompted direction: mean activation under prompts for the value less that
            under prompts against it, on queries that are not rated here.
        cosine_null: 95th percentile of the absolute cosine of covariance-matched random vectors with the latter.
        n_items: Items used.
        n_unscored: Items that do not fit the model's context under a prompt, or without label.
    """

    value: str
    asked_by: str
    n_prompts: int
    strength: float
    effect: float
    low: float
    high: float
    mean_shift: float
    vector_effect: float
    vector_low: float
    vector_high: float
    r: float
    r_low: float
    r_high: float
    cosine: float
    cosine_null: float
    n_items: int
    n_unscored: int


@dataclass(frozen=True)
class ChangeRow:
    """How far one arm moved the rating of one item in one wording; what summaries are made of.

    Args:
        value: Value the arm aims at.
        arm: "steered", "acquiescence", "prompted" (asked for by a prompt), "told" (the vector of being asked), "purged"
            (that vector without what all instructions share), "shared" (that part alone).
        draw: Index of the prompt among those of one side; 0 for a vector.
        strength: Dose, in the sweep's unit; for a prompt +1 asks for more and -1 for less.
        version: Rating version; empty where versions were averaged.
        item_id: The item.
        group: Its query.
        label: How far the item expresses the value.
        change: Rating under the arm less the rating without it, rating points.
    """

    value: str
    arm: str
    draw: int
    strength: float
    version: str
    item_id: str
    group: str
    label: float
    change: float


@dataclass(frozen=True)
class AuditRow:
    """One figure of one audit of one arm.

    Args:
        value: Value the arm aims at.
        arm: "steered", "prompted", "acquiescence" or "told", see `ChangeRow`.
        audit: "options": does the effect follow an option's meaning or its place in the list; "reversed items": does
            its sign flip on items that speak against the value; "compliance": how much of the vector of being asked
            is what all instructions share.
        measure: What was measured.
        estimate: The figure, in its unit.
        low: Lower end of the 95 % interval, whole queries drawn; NaN where there is none.
        high: Upper end.
        unit: Of the figure.
        verdict: What the audit says of the arm; the same in all its rows.
        n_items: Items used.
        n_unscored: Items left out.
        note: Why there is no figure, or of how many vectors it is one; empty otherwise.
    """

    value: str
    arm: str
    audit: str
    measure: str
    estimate: float
    low: float
    high: float
    unit: str
    verdict: str
    n_items: int
    n_unscored: int
    note: str = ""
