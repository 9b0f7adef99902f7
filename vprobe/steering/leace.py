"""Take out of the activations all that a linear probe could read of a value, by a fitted affine map."""

from __future__ import annotations

from typing import Any

import numpy as np

from vprobe.steering._arrays import along
from vprobe.steering._given import Given, missing

MEASURE = "share"
POINTS: tuple[str, ...] = ()


def arrays(given: Given) -> tuple[Any, ...]:
    """Return the eraser's two matrices and its midpoint."""
    if given.eraser is None:
        raise missing("leace", "eraser", "fit one with directions.eraser on activations of the site steered")
    one = given.eraser
    return np.asarray(one.written), np.asarray(one.read), np.asarray(one.midpoint)[None]


def apply(x: Any, vector: Any, coefficient: Any, written: Any, read: Any, midpoint: Any) -> Any:
    """Return `x - c ((x - midpoint) read') written`; the direction is not used.

    Args:
        x: Activations (..., width).
        vector: Not used; it names what is erased.
        coefficient: Share erased; 1 is all. A scalar or (..., 1).
        written: What an erased part looks like (erased, width).
        read: How much of it an activation holds (erased, width).
        midpoint: Mean activation (1, width).

    Source: Belrose et al. (2023), arXiv 2306.03819, theorem 4.3.
    """
    return x - coefficient * (along(x - midpoint, read) @ written)
