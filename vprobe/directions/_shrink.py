"""Covariances drawn towards a multiple of the identity, and the discriminants they give."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.directions import _rows

Shrinkage = Callable[[np.ndarray, np.ndarray], float]
"""Takes centred samples and the eigenvalues of their covariance; says how far it is drawn, 0 to 1."""


def discriminants(
    x: Float[np.ndarray, "sample d_model"],
    y: Float[np.ndarray, "sample column"],
    groups: stats.Groups,
    shrinkage: Shrinkage,
) -> Float[np.ndarray, "column d_model"]:
    """Return S^-1 (mean above - mean below) per column, from the spectrum: no d_model x d_model array is made."""
    out = np.full((y.shape[1], x.shape[1]), np.nan)
    for part in _rows.by_column(x, y, groups):
        usable = part.usable
        if not usable.any():
            continue
        above, below = part.y[:, usable] > 0, part.y[:, usable] < 0
        gap = (above / above.sum(axis=0) - below / below.sum(axis=0)).T @ part.x
        found = _rows.spectrum(part.x)
        own = found.squares / len(part.x)
        drawn = shrinkage(part.x, own)
        level = own.sum() / part.x.shape[1]
        out[part.columns[0, usable]] = found.times(gap, 1.0 / ((1.0 - drawn) * own + drawn * level))
    return out


def ledoit_wolf(cx: Float[np.ndarray, "sample d_model"], own: Float[np.ndarray, " rank"]) -> float:
    """Return the share of Ledoit and Wolf: scikit-learn's `ledoit_wolf_shrinkage` of centred samples, in O(n d).

    The sum of all squared entries of a sample's outer product is the fourth power of its length.

    Args:
        cx: Deviations.
        own: Eigenvalues of their covariance; those that are 0 may be left out.

    Source: Ledoit & Wolf (2004), J. Multivariate Anal. 88, lemmas 3.2 to 3.4.
    """
    n, d = cx.shape
    whole = float(own @ own)
    away = whole - float(own.sum()) ** 2 / d
    noise = (float(((cx * cx).sum(axis=1) ** 2).sum()) / n - whole) / n
    return min(max(noise, 0.0), away) / away if away > 0 else 0.0


def oas(cx: Float[np.ndarray, "sample d_model"], own: Float[np.ndarray, " rank"]) -> float:
    """Return the share of the oracle approximating estimator: scikit-learn's `oas` of centred samples.

    Args:
        cx: Deviations.
        own: Eigenvalues of their covariance; those that are 0 may be left out.

    Source: Chen, Wiesel, Eldar & Hero (2010), IEEE Trans. Signal Process. 58, eq. 23, as scikit-learn has it.
    """
    n, d = cx.shape
    mean_square, level = float(own @ own) / d**2, float(own.sum()) / d
    away = (n + 1.0) * (mean_square - level**2 / d)
    return min(1.0, (mean_square + level**2) / away) if away > 0 else 1.0
