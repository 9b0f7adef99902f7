"""Take the direction out of the activations, down to 0 or to a mean."""

from __future__ import annotations

import math
from typing import Any

from vprobe.steering._arrays import along
from vprobe.steering._given import Given, number

MEASURE = "share"
POINTS: tuple[str, ...] = ()


def arrays(given: Given) -> tuple[Any, ...]:
    """Return the projection that is left: the target, 0 when none is given."""
    return (number(0.0 if math.isnan(given.target) else given.target),)


def apply(x: Any, vector: Any, coefficient: Any, left: Any) -> Any:
    """Return `x - c (x.v - left) v`.

    Args:
        x: Activations (..., width).
        vector: Unit vector (1, width).
        coefficient: Share taken out; 1 is all. A scalar or (..., 1).
        left: Projection that is left, activation units, (1, 1): 0, or the direction's midpoint to ablate to the mean.

    Source: Arditi et al. (2024), directional ablation; to the mean: Wang et al. (2023), mean ablation.
    """
    return x - coefficient * (along(x, vector) - left) * vector
