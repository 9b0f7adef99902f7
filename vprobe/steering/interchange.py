"""Give an activation the coordinate on the direction that another activation has, and leave the rest as it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from vprobe.steering._arrays import along
from vprobe.steering._given import Given, missing

MEASURE = "share"
POINTS: tuple[str, ...] = ()


def arrays(given: Given) -> tuple[Any, ...]:
    """Return the activation whose coordinate is taken over."""
    if given.source is None:
        raise missing("interchange", "source", "read the activation of another prompt at the same site")
    return (np.asarray(given.source)[None],)


def apply(x: Any, vector: Any, coefficient: Any, source: Any) -> Any:
    """Return `x + c ((source - x).v) v`.

    Args:
        x: Activations (..., width).
        vector: Unit vector (1, width).
        coefficient: Share of the way; 1 takes the coordinate over. A scalar or (..., 1).
        source: The other activation (1, width).

    Source: Geiger et al. (2021), arXiv 2106.02997 (interchange intervention), on one axis: Geiger et al. (2024),
    arXiv 2303.02536.
    """
    return x + coefficient * along(source - x, vector) * vector
