"""Mean difference: per query the response highest in a value less the lowest, averaged with the gap as weight."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from vprobe import stats

ROLE = "write"
EFFECT = "marginal"
ROTATES = True
JOINT = False
NULL = False
NEEDS = "labels"


def estimate(
    x: Float[np.ndarray, "sample d_model"], y: Float[np.ndarray, "sample column"], groups: stats.Groups, *, seed: int
) -> Float[np.ndarray, "column d_model"]:
    """Return sum over queries of gap * (x_top - x_bottom), divided by the sum of gaps.

    Queries with fewer than two known labels or no gap drop out; tied responses share their place.

    Args:
        x: Activations.
        y: Labels, NaN not known.
        groups: The query of each sample.
        seed: Not used; nothing is drawn.

    Source: Marks & Tegmark (2024), arXiv 2310.06824 (mass mean), here within queries; weights are vprobe's.
    """
    code = stats.codes(groups)
    sizes = np.bincount(code)
    weight, gaps = np.zeros(y.shape), np.zeros(y.shape[1])
    for rows in np.split(np.argsort(code, kind="stable"), np.cumsum(sizes)[:-1]):
        part = y[rows]
        known = np.isfinite(part)
        high = np.where(known, part, -np.inf).max(axis=0)
        low = np.where(known, part, np.inf).min(axis=0)
        usable = high > low
        gap = np.where(usable, high - np.where(usable, low, 0.0), 0.0)
        gap = np.where(usable, gap, 0.0)
        top, bottom = part == high, part == low
        weight[rows] = gap * (top / np.maximum(top.sum(axis=0), 1) - bottom / np.maximum(bottom.sum(axis=0), 1))
        gaps += gap
    with np.errstate(invalid="ignore"):
        return (weight.T @ x) / np.where(gaps > 0, gaps, np.nan)[:, None]
