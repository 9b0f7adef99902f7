"""First principal component of pairs: per query the response highest in a value less the lowest (RepE's reading)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import linalg

from vprobe import stats
from vprobe.directions import _rows

ROLE = "write"
EFFECT = "marginal"
ROTATES = True
JOINT = False
NULL = False
NEEDS = "labels"


def estimate(
    x: Float[np.ndarray, "sample d_model"], y: Float[np.ndarray, "sample column"], groups: stats.Groups, *, seed: int
) -> Float[np.ndarray, "column d_model"]:
    """Return the line along which x_top - x_bottom are longest, whatever their signs; labels settle which way is more.

    Pairs count alike, their mean is not taken away, and tied responses share their place; queries without a gap drop
    out. A loud difference that has nothing to do with the value wins over a quiet one that has: use it as a baseline.

    Args:
        x: Activations.
        y: Labels, NaN not known.
        groups: The query of each sample.
        seed: Not used; nothing is drawn.

    Source: Zou et al. (2023), arXiv 2310.01405 (linear artificial tomography), here with pairs within queries.
    """
    out = np.full((y.shape[1], x.shape[1]), np.nan)
    for part in _rows.by_column(x, y, groups):
        code = stats.codes(part.code)
        for column in np.flatnonzero(part.usable):
            pairs = _pairs(part.x, part.y[:, column], code)
            if (pairs != 0).any():
                out[part.columns[0, column]] = _first(pairs)
    return out


def _pairs(cx: np.ndarray, cy: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Return x_top - x_bottom of each query with a gap."""
    high, low = np.full((2, code.max() + 1), [[-np.inf], [np.inf]])
    np.maximum.at(high, code, cy)
    np.minimum.at(low, code, cy)
    top, bottom = cy == high[code], cy == low[code]
    weight = top / np.bincount(code, top)[code] - bottom / np.bincount(code, bottom)[code]
    pairs = np.zeros((len(high), cx.shape[1]))
    np.add.at(pairs, code, weight[:, None] * cx)
    return pairs[high > low]


def _first(pairs: np.ndarray) -> np.ndarray:
    """Return the first right singular vector, from whichever product of the pairs is smaller."""
    tall = len(pairs) > pairs.shape[1]
    gram = pairs.T @ pairs if tall else pairs @ pairs.T
    top = linalg.eigh(gram, subset_by_index=[len(gram) - 1, len(gram) - 1])[1][:, 0]
    return top if tall else top @ pairs
