"""Set the projection on the direction to a number."""

from __future__ import annotations

import math
from typing import Any

from vprobe.steering._arrays import along
from vprobe.steering._given import Given, missing, number

MEASURE = "share"
POINTS: tuple[str, ...] = ()


def arrays(given: Given) -> tuple[Any, ...]:
    """Return the projection to be set."""
    if math.isnan(given.target):
        raise missing("clamp", "target", "give the projection to be set")
    return (number(given.target),)


def apply(x: Any, vector: Any, coefficient: Any, target: Any) -> Any:
    """Return `x + c (target - x.v) v`.

    Args:
        x: Activations (..., width).
        vector: Unit vector (1, width).
        coefficient: Share of the way; 1 sets it. A scalar or (..., 1).
        target: Projection to be set, activation units, (1, 1).

    Source: Templeton et al. (2024), feature clamping.
    """
    return x + coefficient * (target - along(x, vector)) * vector
