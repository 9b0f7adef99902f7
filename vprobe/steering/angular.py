"""Set the angle of each activation in a fixed plane, keeping what lies outside the plane and the length inside it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vprobe.steering._arrays import along, length, library
from vprobe.steering._given import Given, missing, number

MEASURE = "share"
POINTS: tuple[str, ...] = ()
_FLAT = 1e-4
"""Part of a unit second axis at right angles to the first below which it is round-off, and there is no plane."""


def arrays(given: Given) -> tuple[Any, ...]:
    """Return the second axis and the cosine and sine of the angle."""
    if given.second is None:
        raise missing("angular", "second direction", "give the other axis of the plane, such as an opposite value")
    if math.isnan(given.angle):
        raise missing("angular", "angle", "give degrees from the direction (0) towards the second axis (90)")
    turn = math.radians(given.angle)
    return np.asarray(given.second.vector)[None], number(math.cos(turn)), number(math.sin(turn))


def apply(x: Any, vector: Any, coefficient: Any, second: Any, cosine: Any, sine: Any) -> Any:
    """Return x with its part in the plane of vector and second axis turned to the angle; as it is where they are one.

    Args:
        x: Activations (..., width).
        vector: First axis, unit vector (1, width).
        coefficient: Share of the change; 1 is the whole. A scalar or (..., 1).
        second: Second axis (1, width); only its part at right angles to the first counts.
        cosine: Of the angle, (1, 1).
        sine: Of the angle.

    Source: Vu and Nguyen (2025), angular steering.
    """
    upright = second - along(second, vector) * vector
    size = length(upright)
    safe = library(x).where(size > _FLAT, size, size + 1.0)
    upright = library(x).where(size > _FLAT, upright / safe, 0.0 * upright)
    first, other = along(x, vector), along(x, upright)
    radius = (first**2 + other**2) ** 0.5
    turned = (radius * cosine - first) * vector + (radius * sine - other) * upright
    return x + coefficient * library(x).where(size > _FLAT, turned, 0.0 * turned)
