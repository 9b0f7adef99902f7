"""Haufe pattern of the ridge probes: what activations gain per unit of one probe's score, the other probes' held."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.directions import _rows, ridge
from vprobe.directions._pattern import patterns

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
    whole: stats.Groups | None = None,
) -> Float[np.ndarray, "column d_model"]:
    """Return the columns of S_x W S_s^-1 for each block: W ridge weights, S_x and S_s covariances of x and of W'x.

    Turns weights that read into directions that write; `directions.pattern` does it for any other weights. A value
    whose probe is told by the others' (variance inflation beyond `partial.MOST_INFLATION`) has none; with a block of
    one column it is S_x w.

    Args:
        x: Activations.
        y: Labels, NaN not known. Samples without all labels of a block drop out.
        groups: The query of each sample.
        seed: Seed of the folds on which ridge chooses its penalties.
        block: Columns that belong together: the values of one draw.
        whole: What these folds keep whole; queries when None.

    Source: Haufe et al. (2014), NeuroImage 87, eq. 6.
    """
    out = np.full((y.shape[1], x.shape[1]), np.nan)
    kept = stats.codes(groups if whole is None else whole)
    for part in _rows.by_block(x, y, groups, block):
        weights = ridge.estimate(part.x, part.y, part.code, seed=seed, whole=kept[part.rows])
        out[part.columns] = patterns(part.x, weights.reshape(*part.columns.shape, -1))
    return out
