"""Symmetric orthogonalisation: the orthonormal directions nearest to the values' covariance directions, all at once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.directions import _rows
from vprobe.directions.partial import inflation

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
    """Return W (W'W)^-1/2 for each block, W being its covariance directions at length 1.

    No value goes first, unlike Gram-Schmidt. Values whose directions depend on each other exactly, such as those of
    labels that sum to 0, have none.

    Args:
        x: Activations.
        y: Labels, NaN not known. Samples without all labels of a block drop out.
        groups: The query of each sample.
        seed: Not used; nothing is drawn.
        block: Columns that belong together: the values of one draw.

    Source: Loewdin (1950), J. Chem. Phys. 18, 365-375.
    """
    out = np.full((y.shape[1], x.shape[1]), np.nan)
    for part in _rows.by_block(x, y, groups, block):
        rows = _rows.unit(part.moments())
        out[part.columns] = _nearest(rows)
    return out


def _nearest(rows: np.ndarray) -> np.ndarray:
    gram = rows @ rows.transpose(0, 2, 1)
    w, q = np.linalg.eigh(gram)
    flat = w <= stats.ROUND_OFF * gram.shape[-1]
    root = (q * np.where(flat, 0.0, 1.0 / np.sqrt(np.where(flat, 1.0, w)))[:, None, :]) @ q.transpose(0, 2, 1)
    found = root @ rows
    found[(np.diagonal(gram, axis1=1, axis2=2) == 0) | np.isinf(inflation(gram))] = np.nan
    return found
