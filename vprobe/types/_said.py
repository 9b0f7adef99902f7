"""Rows of the table `said`: what steering does to how likely a model finds responses as its own words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SaidRow:
    """What one dose of one vector did to the log-probability of responses as the model's own turn; no rating is asked.

    Args:
        value: Value the vector was fitted for.
        method: Direction method.
        site: Where it acted.
        positions: On which tokens.
        arm: "steered", "shuffled" (labels permuted through the whole fit) or "random" (covariance-matched).
        draw: Index of the null draw; 0 for the steered arm.
        strength: The dose, in `dose`: over the median residual norm at the site unless that says otherwise.
        coefficient: Size of the change, in the operation's measure: activation units where it adds.
        dose: What a strength of 1 is, such as "residual norm".
        effect: Change in log-prob per token for each SD of the label within queries; of two responses with labels 1
            and 0 it is .71 of how much more the first gained than the second.
        low: Lower end of the 95 % interval, whole queries drawn.
        high: Upper end.
        p: Share of label shuffles within queries with an effect of at least this size; NaN in null arms.
        anti: Share of queries whose own slope goes against the dose.
        anti_low: Lower end of its 95 % Clopper-Pearson interval.
        anti_high: Upper end.
        mean_shift: Mean change in log-prob per token of all responses, whatever their label.
        n_items: Responses used.
        n_queries: Queries.
        n_unscored: Responses without a label, or whose query does not fit the model's context.
        instrument: Whose responses.
    """

    value: str
    method: str
    site: str
    positions: str
    arm: str
    draw: int
    strength: float
    coefficient: float
    dose: str
    effect: float
    low: float
    high: float
    p: float
    anti: float
    anti_low: float
    anti_high: float
    mean_shift: float
    n_items: int
    n_queries: int
    n_unscored: int
    instrument: str
