"""Sparse one-sided regression (BACH-V): a ReLU of a projection predicts how far labels lie above their query's mean."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, LassoLars

from vprobe import stats
from vprobe.directions import _rows

ROLE = "read"
EFFECT = "marginal"
ROTATES = False  # few weights along the given axes are not few along others
JOINT = False
NULL = False
NEEDS = "labels"

PENALTY = 0.1
"""Weight of the L1 norm, as a share of the least one that leaves no weight at all in a regression without ReLU."""

TOLERANCE = 1e-6
"""Duality gap at which each regression stops, as a share of the targets' mean square; shortest step of the search."""

ROUNDS = 50
"""Most times the set of samples with a positive prediction is settled anew."""


def estimate(
    x: Float[np.ndarray, "sample d_model"], y: Float[np.ndarray, "sample column"], groups: stats.Groups, *, seed: int
) -> Float[np.ndarray, "column d_model"]:
    """Return w of a minimum of mean (t - relu(x'w + b))^2 / 2 + penalty |w|_1, t = max(deviation of the label, 0).

    BACH-V's labels are relevance from 0 up; here what lies at or below a query's mean is 0. The sum has several
    minima. The search starts from the regression without ReLU, and goes down from there: a lasso on the samples whose
    prediction is positive, as long a step towards it as lowers the sum, until those samples stay the same. Nothing is
    drawn. Each column is a search of its own, of some ten regressions: 5 to 50 ms for 500 samples.

    Args:
        x: Activations.
        y: Labels, NaN not known.
        groups: The query of each sample.
        seed: Not used; nothing is drawn.

    Source: Zhang et al. (2026), arXiv 2601.14007 (probe and loss); solver and penalty are vprobe's.
    """
    out = np.full((y.shape[1], x.shape[1]), np.nan)
    for part in _rows.by_column(x, y, groups):
        size = np.sqrt((part.x**2).mean())
        for column in np.flatnonzero(part.usable):
            out[part.columns[0, column]] = _search(part.x / size, np.maximum(part.y[:, column], 0.0))
    return out


def _search(cx: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Go down from the lasso on all samples; return the weights."""
    target = target / target.max()  # the smallest numbers have no square
    target = target / np.sqrt((target**2).mean())
    penalty = PENALTY * np.abs(cx.T @ (target - target.mean())).max() / len(cx)
    w, b = _lasso(cx, target, len(cx), penalty)
    for _ in range(ROUNDS):
        active = cx @ w + b > 0
        new_w, new_b = _lasso(cx[active], target[active], len(cx), penalty)
        step, before = 1.0, _loss(cx, target, w, b, penalty)
        while step > TOLERANCE and _loss(cx, target, w + step * (new_w - w), b + step * (new_b - b), penalty) > before:
            step /= 2
        if step <= TOLERANCE:
            break
        w, b = w + step * (new_w - w), b + step * (new_b - b)
        if step == 1.0 and ((cx @ w + b > 0) == active).all():
            break
    return w


def _lasso(cx: np.ndarray, target: np.ndarray, n: int, penalty: float) -> tuple[np.ndarray, float]:
    """Return weights and intercept of a lasso whose squared errors are divided by n, exact on the weights it keeps."""
    alpha = penalty * n / len(cx)
    w, middle = _weights(cx, target, alpha), cx.mean(axis=0)
    kept = np.flatnonzero(w)
    if 0 < len(kept) < len(cx):
        part = cx[:, kept] - middle[kept]
        right = part.T @ (target - target.mean()) - alpha * len(cx) * np.sign(w[kept])
        exact = np.linalg.lstsq(part.T @ part, right)[0]  # columns may be the same twice
        if (np.sign(exact) == np.sign(w[kept])).all():
            w[kept] = exact
    return w, float(target.mean() - middle @ w)


def _weights(cx: np.ndarray, target: np.ndarray, alpha: float) -> np.ndarray:
    """Go coordinate by coordinate, or by least angles where activations are too many and too alike for that."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            return np.array(Lasso(alpha=alpha, tol=TOLERANCE, max_iter=2_000).fit(cx, target).coef_)
        except ConvergenceWarning:
            warnings.simplefilter("ignore", ConvergenceWarning)  # of columns that are the same, one is left out
            return np.array(LassoLars(alpha=alpha, max_iter=8 * max(cx.shape)).fit(cx, target).coef_)


def _loss(cx: np.ndarray, target: np.ndarray, w: np.ndarray, b: float, penalty: float) -> float:
    left = target - np.maximum(cx @ w + b, 0.0)
    return float(left @ left) / len(cx) / 2 + penalty * float(np.abs(w).sum())
