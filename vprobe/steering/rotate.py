"""Turn each activation towards the direction by an angle, keeping its length."""

from __future__ import annotations

import math
from typing import Any

from vprobe.steering._arrays import along, length, library
from vprobe.steering._given import Given

MEASURE = "degrees"
POINTS: tuple[str, ...] = ()


def arrays(given: Given) -> tuple[Any, ...]:
    """Return nothing: the vector and the angle are all it needs."""
    return ()


def apply(x: Any, vector: Any, coefficient: Any) -> Any:
    """Turn x towards the vector in the plane of the two; no turn goes beyond the vector or beyond its opposite.

    An activation that already lies on the vector's line has no plane to turn in and stays as it is.

    Args:
        x: Activations (..., width).
        vector: Unit vector (1, width).
        coefficient: Degrees; below 0 turns away. A scalar or (..., 1).

    Source: rotation in the plane of activation and direction, as in spherical steering (slerp).
    """
    lib = library(x)
    straight = along(x, vector)
    across = x - straight * vector
    aside = length(across)
    turned = (lib.arctan2(aside, straight) - coefficient * (math.pi / 180)).clip(0.0, math.pi)
    safe = lib.where(aside > 0, aside, aside + 1.0)
    new = length(x) * (lib.cos(turned) * vector + lib.sin(turned) * (across / safe))
    return lib.where(aside > 0, new, x)
