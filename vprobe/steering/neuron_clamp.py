"""Set the activity of chosen neurons."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vprobe.steering._given import Given, missing, number

MEASURE = "share"
POINTS: tuple[str, ...] = ("mlp_neurons",)


def arrays(given: Given) -> tuple[Any, ...]:
    """Return the activity to be set: one number, or one per neuron."""
    if given.targets is not None:
        return (np.asarray(given.targets)[None],)
    if math.isnan(given.target):
        raise missing("neuron-clamp", "target", "give the activity to be set, such as a percentile")
    return (number(given.target),)


def apply(x: Any, vector: Any, coefficient: Any, targets: Any) -> Any:
    """Return `x + c (target - x)` in the neurons whose entry of the vector is not 0.

    Args:
        x: Activity (..., neuron).
        vector: Unit vector (1, neuron) that is not 0 where a neuron is chosen; see `steering.neurons`.
        coefficient: Share of the way; 1 sets it. A scalar or (..., 1).
        targets: Activity to be set, (1, neuron) or (1, 1).

    Source: Su et al. (2025), ValueLocate, arXiv 2505.17712: towards a percentile, or to 0.
    """
    return x + coefficient * (vector != 0) * (targets - x)
