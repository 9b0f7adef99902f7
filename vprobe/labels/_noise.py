"""What chance alone does to labels, and the best estimate of the true ones behind noisy ones.

When the people of a group exchange their scores at random, all scales and all items together, the labels of items i, j
on values v, w have covariance rho_ij * R_vw / (n - 1): rho the rank correlation of the items' ratings, R that of the
scales, n the raters. Labels of different groups have none. So nothing needs to be drawn.

Source: permutation moments of a correlation, Pitman (1937), Supplement to the JRSS 4, 225-232.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import stats as scipy_stats


@dataclass(frozen=True)
class Ranked:
    """Rank correlations within one rater group.

    Args:
        rows: Where its items stand among all items.
        n: Raters.
        labels: Of items with values.
        p: Two-sided p of each.
        items: Among items.
        values: Among values.
    """

    rows: Int[np.ndarray, " item"]
    n: int
    labels: Float[np.ndarray, "item value"]
    p: Float[np.ndarray, "item value"]
    items: Float[np.ndarray, "item item"]
    values: Float[np.ndarray, "value value"]


def rank(
    ratings: Float[np.ndarray, "item rater"], scores: Float[np.ndarray, "rater value"], rows: Int[np.ndarray, " item"]
) -> Ranked:
    """Correlate the ranks of a group's ratings and scores; equal numbers share their mean rank.

    Args:
        ratings: One row per item.
        scores: The raters' own scores.
        rows: Where the items stand among all items.
    """
    k = len(ratings)
    r, p = (np.asarray(part) for part in scipy_stats.spearmanr(ratings.T, scores))
    return Ranked(rows, ratings.shape[1], r[:k, k:], p[:k, k:], r[:k, :k], r[k:, k:])


def covariance(ranked: Sequence[Ranked], cluster: Int[np.ndarray, " item"]) -> Float[np.ndarray, "value value"]:
    """Return the covariance between values of labels that are nothing but chance.

    Args:
        ranked: All rater groups.
        cluster: Cluster of each item, whose mean is taken off its labels first; below 0 leaves the item out.
    """
    used = cluster >= 0
    sizes = np.bincount(cluster[used])
    out = np.zeros_like(ranked[0].values)
    for one in ranked:
        mine = cluster[one.rows]
        same = (mine[:, None] == mine) & (mine >= 0)[:, None]
        shared = (np.where(same, one.items, 0.0).sum(axis=1) / np.maximum(sizes[mine], 1))[mine >= 0].sum()
        out += one.values * ((mine >= 0).sum() - shared) / (one.n - 1)
    return out / used.sum()


def centred(
    labels: Float[np.ndarray, "item value"], cluster: Int[np.ndarray, " item"], used: np.ndarray
) -> Float[np.ndarray, "item value"]:
    """Take off each label the mean of its cluster's used items, or of all its items where none is used.

    Args:
        labels: Rank correlations.
        cluster: Cluster of each item.
        used: True where an item counts for the mean.
    """
    out = labels.copy()
    for one in np.unique(cluster):
        mine = cluster == one
        out[mine] -= labels[mine & used if (mine & used).any() else mine].mean(axis=0)
    return out


def shrinkage(
    observed: Float[np.ndarray, "value value"], noise: Float[np.ndarray, "value value"]
) -> tuple[Float[np.ndarray, "value value"], Float[np.ndarray, " value"]]:
    """Return the matrix that turns noisy labels into the best linear guess of true ones, and the guesses' reliability.

    With S the covariance of true labels (observed less noise, negative eigenvalues set to 0) and N that of noise, it
    is S (S + N)^-1. The reliability is the squared correlation of guess and true label.

    Args:
        observed: Covariance of the labels.
        noise: Covariance of labels that are nothing but chance.

    Source: Robinson (1991), Statistical Science 6, 15-32.
    """
    w, q = np.linalg.eigh(observed - noise)
    signal = (q * np.maximum(w, 0.0)) @ q.T
    matrix = np.linalg.solve(signal + noise, signal).T
    true = np.diag(signal)
    return matrix, np.where(true > 0, np.diag(matrix @ signal) / np.where(true > 0, true, 1.0), np.nan)
