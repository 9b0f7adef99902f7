"""Partial direction: what activations gain per unit of one value while the other values stay as they are."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from vprobe import stats

ROLE = "write"
EFFECT = "partial"
ROTATES = True
JOINT = True
NULL = False
NEEDS = "labels"

MOST_INFLATION = 10.0
"""Variance inflation beyond which a value's labels are told by the others' and no direction of its own is given."""


def estimate(
    x: Float[np.ndarray, "sample d_model"],
    y: Float[np.ndarray, "sample column"],
    groups: stats.Groups,
    *,
    seed: int,
    block: int,
) -> Float[np.ndarray, "column d_model"]:
    """Return the rows of (Y~'Y~)^-1 Y~'X~ for each block of columns.

    Samples without all labels of a block drop out. A column that does not vary, or whose variance inflation exceeds
    `MOST_INFLATION`, has no direction.

    Args:
        x: Activations.
        y: Labels, NaN not known.
        groups: The query of each sample.
        seed: Not used; nothing is drawn.
        block: Columns that belong together: the values of one draw.

    Source: Haufe et al. (2014), NeuroImage 87, eq. 6: patterns of several factors at once are unique ones.
    """
    out = np.full((y.shape[1], x.shape[1]), np.nan)
    blocks = y.reshape(len(y), -1, block).transpose(1, 0, 2)
    complete = np.asarray(np.isfinite(blocks).all(axis=2))
    for rows, mine in stats.patterns(complete.T):
        if rows.sum() <= block:
            continue
        code = stats.codes(groups)[rows]
        flat = blocks[mine][:, rows].transpose(1, 0, 2).reshape(int(rows.sum()), -1)
        centred = stats.centre(flat, code)
        moments = (centred.T @ x[rows]).reshape(len(mine), block, -1)  # deviations sum to 0 per query
        parts = centred.reshape(len(centred), len(mine), block).transpose(1, 2, 0)
        found = unique(parts @ parts.transpose(0, 2, 1), moments)
        out.reshape(-1, block, x.shape[1])[mine] = found
    return out


def inflation(gram: Float[np.ndarray, "*draw value value"]) -> Float[np.ndarray, "*draw value"]:
    """Return each value's variance inflation factor: 1 when no other value tells anything of it, infinite when all do.

    Args:
        gram: Sums of products, or covariances, of the labels; a label that does not vary has inflation 1.
    """
    scale = np.sqrt(np.diagonal(gram, axis1=-2, axis2=-1))
    scale = np.where(scale > 0, scale, 1.0)
    r = gram / (scale[..., :, None] * scale[..., None, :])
    np.einsum("...ii->...i", r)[...] = 1.0
    w, q = np.linalg.eigh(r)
    part, flat = q * q, (w <= stats.ROUND_OFF * r.shape[-1])[..., None, :]
    told = (flat & (part > np.sqrt(stats.ROUND_OFF))).any(axis=-1)
    kept = np.where(flat, 0.0, part / np.where(flat, 1.0, w[..., None, :])).sum(axis=-1)
    return np.where(told, np.inf, kept)


def unique(
    gram: Float[np.ndarray, "draw value value"], moments: Float[np.ndarray, "draw value d_model"]
) -> Float[np.ndarray, "draw value d_model"]:
    """Return gram^-1 moments per draw; what does not vary, or is told by the others, has no direction (NaN).

    Args:
        gram: Sums of products of the values' labels or scores.
        moments: Their sums of products with activations.
    """
    found = np.linalg.pinv(gram, hermitian=True) @ moments
    varies = np.diagonal(gram, axis1=1, axis2=2) > 0
    found[~varies | (inflation(gram) > MOST_INFLATION)] = np.nan
    return found
