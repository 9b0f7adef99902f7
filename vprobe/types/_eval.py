"""What a benchmark of lm-evaluation-harness says of a model with and without steering."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EvalRow:
    """One metric of one task, without steering and with it.

    Args:
        task: Name of the task.
        metric: Name of the metric, and of the filter where the task has several.
        better: "higher" or "lower" is better, as the task says; empty where it does not.
        base: The metric without steering.
        base_se: Its standard error over documents; NaN where the metric is no mean over them.
        steered: The metric with steering.
        steered_se: Its standard error.
        change: Steered less base.
        low: Lower end of the 95 % interval of the change over the same documents (paired t); NaN where no document
            changes, or the metric is no mean over documents.
        high: Upper end.
        n: Documents.
        value: Value steered towards; several with their strengths.
        site: Where.
        strength: The dose, in residual norms where the operation adds; NaN for several values.
        coefficient: Size of the change, in the operation's measure: activation units where it adds; NaN for several.
        operation: What was done with the vector.
        positions: On which tokens.
    """

    task: str
    metric: str
    better: str
    base: float
    base_se: float
    steered: float
    steered_se: float
    change: float
    low: float
    high: float
    n: int
    value: str
    site: str
    strength: float
    coefficient: float
    operation: str
    positions: str
