"""Covariance direction of a value with the directions of all other values projected out of it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.directions import _rows
from vprobe.directions.partial import unique

ROLE = "write"
EFFECT = "partial"
ROTATES = True
JOINT = True
NULL = False
NEEDS = "labels"


def estimate(
    x: Float[np.ndarray, "sample d_model"],
    y: Float[np.ndarray, "sample column"],
    groups: stats.Groups,
    *,
    seed: int,
    block: int,
) -> Float[np.ndarray, "column d_model"]:
    """Return what is left of each covariance direction outside the span of the block's others.

    The partial method holds the other values' labels constant; this one keeps away from their directions, however the
    labels correlate. A value that keeps less than a tenth of its direction's squared length has none.

    Args:
        x: Activations.
        y: Labels, NaN not known. Samples without all labels of a block drop out.
        groups: The query of each sample.
        seed: Not used; nothing is drawn.
        block: Columns that belong together: the values of one draw.

    Source: Bjoerck (1996), Numerical Methods for Least Squares Problems, ch. 1 (rows of a pseudo-inverse).
    """
    out = np.full((y.shape[1], x.shape[1]), np.nan)
    for part in _rows.by_block(x, y, groups, block):
        rows = _rows.unit(part.moments())
        out[part.columns] = unique(rows @ rows.transpose(0, 2, 1), rows)
    return out
