"""Control: random directions that favour none. Too lenient alone, for activations do favour some."""

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
    """Return one standard normal vector per place in the block, the same in all blocks.

    Labels say only whether there is a direction, not where it points: its sign is chance too.

    Args:
        x: Activations.
        y: Labels, NaN not known.
        groups: The query of each sample.
        seed: Seed of the draws.
        block: Columns that belong together: the values of one draw.

    Source: Muller (1959), Commun. ACM 2 (normal vectors point everywhere alike).
    """
    out = np.full((y.shape[1], x.shape[1]), np.nan)
    drawn = np.random.default_rng(seed).standard_normal((block, x.shape[1]))
    for part in _rows.by_block(x, y, groups, block):
        usable = part.usable.reshape(part.columns.shape)[:, :, None]
        out[part.columns] = np.where(usable, drawn, np.nan)
    return out
