"""Keep the projection on the direction between two bounds."""

from __future__ import annotations

import math
from typing import Any

from vprobe.errors import InputError
from vprobe.steering._arrays import along
from vprobe.steering._given import Given, missing, number

MEASURE = "share"
POINTS: tuple[str, ...] = ()
_FAR = 1e30


def arrays(given: Given) -> tuple[Any, ...]:
    """Return the two bounds; one that is not given is beyond reach.

    Raises:
        InputError: Neither bound, or the lower above the upper.
    """
    if math.isnan(given.low) and math.isnan(given.high):
        raise missing("cap", "bound", "give low, high or both")
    low, high = (far if math.isnan(bound) else bound for bound, far in ((given.low, -_FAR), (given.high, _FAR)))
    if low > high:
        raise InputError(f"low {low:g} above high {high:g}", where="operation cap", expected="low, then high")
    return number(low), number(high)


def apply(x: Any, vector: Any, coefficient: Any, low: Any, high: Any) -> Any:
    """Return x with projections beyond a bound moved to it; others stay as they are.

    Args:
        x: Activations (..., width).
        vector: Unit vector (1, width).
        coefficient: Share of the way; 1 is all of it. A scalar or (..., 1).
        low: Lower bound of the projection, activation units, (1, 1).
        high: Upper bound.

    Source: capping of activations along a direction, as interp-engine and others offer it.
    """
    at = along(x, vector)
    return x + coefficient * (at.clip(low, high) - at) * vector
