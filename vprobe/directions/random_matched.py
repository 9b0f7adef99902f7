"""Control: random directions that vary as activations do within queries."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.directions import _rows

ROLE = "write"
EFFECT = "marginal"
ROTATES = False  # a draw in few dimensions is another draw
JOINT = True  # its place in the block is what makes a value's draw differ from the next
NULL = True
NEEDS = "labels"


def estimate(
    x: Float[np.ndarray, "sample d_model"],
    y: Float[np.ndarray, "sample column"],
    groups: stats.Groups,
    *,
    seed: int,
    block: int,
) -> Float[np.ndarray, "column d_model"]:
    """Return S^(1/2) z per place in the block: S the covariance of deviations from query means, z standard normal.

    Labels say only whether there is a direction, not where it points: its sign is chance too. Blocks that lack the same
    samples share their draws.

    Args:
        x: Activations.
        y: Labels, NaN not known. Samples without all labels of a block drop out.
        groups: The query of each sample.
        seed: Seed of the draws.
        block: Columns that belong together: the values of one draw.

    Source: Anderson (2003), An Introduction to Multivariate Statistical Analysis, 3rd ed., ch. 2.
    """
    out = np.full((y.shape[1], x.shape[1]), np.nan)
    drawn = np.random.default_rng(seed).standard_normal((block, x.shape[1]))
    for part in _rows.by_block(x, y, groups, block):
        found = _rows.spectrum(part.x)
        usable = part.usable.reshape(part.columns.shape)[:, :, None]
        out[part.columns] = np.where(usable, found.times(drawn, np.sqrt(found.squares / len(part.x))), np.nan)
    return out
