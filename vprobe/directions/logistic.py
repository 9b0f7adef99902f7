"""Logistic regression that tells responses above their query's mean label from those below."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression

from vprobe import stats
from vprobe.directions import _rows, ridge

ROLE = "read"
EFFECT = "marginal"
ROTATES = True
JOINT = False
NULL = False
NEEDS = "labels"

TOLERANCE = 1e-10
"""Largest slope of the mean loss at the end; scikit-learn's default of 1e-4 stops well before the optimum."""


def estimate(
    x: Float[np.ndarray, "sample d_model"],
    y: Float[np.ndarray, "sample column"],
    groups: stats.Groups,
    *,
    seed: int,
    whole: stats.Groups | None = None,
) -> Float[np.ndarray, "column d_model"]:
    """Return the weights of an L2-penalised logistic regression on the signs of the labels' deviations.

    scikit-learn's C is 4 over the penalty that ridge regression on the same labels picks by leaving queries out: where
    weights are small the logistic loss curves a quarter as much as the squared one, so the two then shrink alike.
    Responses just at their query's mean drop out. Each column is a fit of its own: some 5 ms for 500 samples in 64
    dimensions and 100 ms in more dimensions than samples, so a thousand shuffled copies of ten values take minutes.

    Args:
        x: Activations.
        y: Labels, NaN not known.
        groups: The query of each sample.
        seed: Seed of the folds on which ridge regression chooses the penalty; the solver draws nothing.
        whole: What these folds keep whole; queries when None.

    Source: Cox (1958), J. R. Stat. Soc. B 20; scikit-learn `LogisticRegression`.
    """
    out = np.full((y.shape[1], x.shape[1]), np.nan)
    kept = stats.codes(groups if whole is None else whole)
    for part in _rows.by_column(x, y, groups):
        size = np.sqrt((part.x**2).sum() / len(part.x))
        usable = np.flatnonzero(part.usable)
        if not len(usable):
            continue
        basis, seen = _narrow(part.x / size)
        penalties = ridge.penalties(seen, part.y[:, usable], kept[part.rows], seed)
        for column, penalty in zip(usable, penalties, strict=True):
            sided = part.y[:, column] != 0
            model = LogisticRegression(C=4.0 / penalty, solver="newton-cholesky", tol=TOLERANCE, max_iter=1000)
            weights = model.fit(seen[sided], part.y[sided, column] > 0).coef_[0]
            out[part.columns[0, column]] = basis @ weights
    return out


def _narrow(cx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotate wide activations into as many dimensions as samples: the penalty keeps weights among the samples."""
    if cx.shape[1] <= len(cx):
        return np.eye(cx.shape[1]), cx
    basis, small = np.linalg.qr(cx.T)
    return basis, np.ascontiguousarray(small.T)
