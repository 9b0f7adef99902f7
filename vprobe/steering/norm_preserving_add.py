"""Add coefficient x direction, then give each activation the length it had."""

from __future__ import annotations

from typing import Any

from vprobe.steering._arrays import length, library
from vprobe.steering._given import Given

MEASURE = "activation"
POINTS: tuple[str, ...] = ()


def arrays(given: Given) -> tuple[Any, ...]:
    """Return nothing: the vector and its coefficient are all it needs."""
    return ()


def apply(x: Any, vector: Any, coefficient: Any) -> Any:
    """Return `(x + c v) |x| / |x + c v|`; an activation that the addition would leave without length stays as it is.

    Args:
        x: Activations (..., width).
        vector: Unit vector (1, width).
        coefficient: Activation units before the length is restored; a scalar or (..., 1).

    Source: repeng (Vogel, 2024), option `normalize`.
    """
    moved = x + coefficient * vector
    size = length(moved)
    safe = library(x).where(size > 0, size, size + 1.0)
    return library(x).where(size > 0, moved * (length(x) / safe), x)
