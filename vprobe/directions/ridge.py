"""Ridge regression on labels, both sides as deviations from their query's mean; the penalty is chosen per column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vprobe import stats

ROLE = "read"
EFFECT = "marginal"
ROTATES = True
JOINT = False
NULL = False
NEEDS = "labels"

GRID = tuple(10.0**power for power in range(-3, 4))
"""Penalties as multiples of trace(X~'X~) / n: from almost none to the covariance direction."""

FOLDS = 4
"""Folds of whole queries on which the penalty is chosen."""


@dataclass(frozen=True)
class _Solver:
    """Eigenvectors of one set of samples, from which the weights at every penalty follow.

    Fewer samples than dimensions are solved in the space of samples (`rows`), where the eigenvectors say how samples
    add up to directions; elsewhere they are directions themselves and `rows` is None.
    """

    rows: np.ndarray | None
    vectors: np.ndarray
    squares: np.ndarray
    moments: np.ndarray

    def weights(self, penalty: np.ndarray | float) -> np.ndarray:
        found = self.vectors @ (self.moments / (self.squares[:, None] + penalty))
        return found if self.rows is None else self.rows.T @ found


def estimate(
    x: Float[np.ndarray, "sample d_model"],
    y: Float[np.ndarray, "sample column"],
    groups: stats.Groups,
    *,
    seed: int,
    whole: stats.Groups | None = None,
) -> Float[np.ndarray, "column d_model"]:
    """Return (X~'X~ + penalty)^-1 X~'y~ with the penalty of `GRID` that predicts held-out queries best.

    Best means the highest within-query correlation with labels of queries left out, pooled over `FOLDS` folds.

    Args:
        x: Activations.
        y: Labels, NaN not known. Columns that lack the same samples are solved together.
        groups: The query of each sample.
        seed: Seed of the folds.
        whole: What these folds keep whole, such as the rater group of each sample; queries when None.

    Source: Hoerl & Kennard (1970), Technometrics 12.
    """
    out = np.full((y.shape[1], x.shape[1]), np.nan)
    patterns, member = np.unique(np.isfinite(y), axis=1, return_inverse=True)
    code, kept = stats.codes(groups), stats.codes(groups if whole is None else whole)
    for index in range(patterns.shape[1]):
        rows, columns = np.flatnonzero(patterns[:, index]), np.flatnonzero(member.reshape(-1) == index)
        if len(rows) < 2:
            continue
        known = code[rows]
        cx, cy = stats.centre(x[rows], known), stats.centre(y[np.ix_(rows, columns)], known)
        usable = (cy != 0).any(axis=0)
        if usable.any() and (cx != 0).any():
            out[columns[usable]] = _solve(cx, cy[:, usable], kept[rows], seed)
    return out


def penalties(
    cx: Float[np.ndarray, "sample d_model"], cy: Float[np.ndarray, "sample column"], groups: stats.Groups, seed: int
) -> Float[np.ndarray, " column"]:
    """Return the penalty per column that predicts queries left out best, the smallest where none does.

    Args:
        cx: Activations as deviations from their query's mean.
        cy: Labels likewise, none unknown.
        groups: What folds keep whole: the query of each sample, or what holds whole queries.
        seed: Seed of the folds.
    """
    r = _held_out_r(cx, cy, stats.codes(groups), seed)
    best = np.where(np.isfinite(r), r, -np.inf).argmax(axis=0)
    return np.asarray(GRID)[best] * _scale(cx)


def _solve(cx: np.ndarray, cy: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    return _solver(cx, cy).weights(penalties(cx, cy, groups, seed)).T


def _held_out_r(cx: np.ndarray, cy: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Return within-query r on queries left out, per penalty and column."""
    folds = min(FOLDS, len(np.unique(groups)))
    if folds < 2:
        return np.zeros((len(GRID), cy.shape[1]))
    fold = stats.fold_of(groups, folds, seed=seed)
    gram = cx @ cx.T if cx.shape[1] > len(cx) else None  # once for all folds, which are parts of it
    lengths = (cx * cx).sum(axis=1)
    xx, xy = np.zeros((2, len(GRID), cy.shape[1]))
    for i in range(folds):
        train, test = np.flatnonzero(fold != i), np.flatnonzero(fold == i)
        if not lengths[train].any():
            continue  # nothing to learn from, and no scale for a penalty
        solver = _solver(cx[train], cy[train], None if gram is None else gram[np.ix_(train, train)])
        across = (
            cx[test] if solver.rows is None else cx[test] @ cx[train].T if gram is None else gram[np.ix_(test, train)]
        )
        seen, scale = across @ solver.vectors, float(lengths[train].mean())
        for j, penalty in enumerate(GRID):
            score = seen @ (solver.moments / (solver.squares[:, None] + penalty * scale))
            xx[j] += (score * score).sum(axis=0)  # whole queries of centred rows: the sums need no centring again
            xy[j] += (score * cy[test]).sum(axis=0)
    with np.errstate(all="ignore"):
        return xy / np.sqrt(xx * (cy * cy).sum(axis=0))


def _solver(cx: np.ndarray, cy: np.ndarray, gram: np.ndarray | None = None) -> _Solver:
    """Decompose samples; `gram` is their inner products, where these are known already."""
    n, d = cx.shape
    if d <= n and gram is None:
        squares, vectors = np.linalg.eigh(cx.T @ cx)
        return _Solver(None, vectors, np.maximum(squares, 0.0), vectors.T @ (cx.T @ cy))
    squares, vectors = np.linalg.eigh(cx @ cx.T if gram is None else gram)
    return _Solver(cx, vectors, np.maximum(squares, 0.0), vectors.T @ cy)


def _scale(cx: np.ndarray) -> float:
    return float((cx * cx).sum()) / len(cx)
