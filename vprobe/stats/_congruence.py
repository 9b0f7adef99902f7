"""Are two configurations the same up to a turn? Orthogonal Procrustes, Tucker's phi and its null."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vprobe.errors import InputError
from vprobe.stats._inference import permutation_p


@dataclass(frozen=True)
class Congruence:
    """How alike two configurations of the same points are, once one is turned towards the other.

    Turning makes any two configurations look alike: of ten points in two dimensions phi is far above 0 by chance, so
    the number means nothing without the null beside it.

    Args:
        phi: Tucker's phi of each column.
        mean: Mean over columns.
        null_mean: Its mean when points are dealt out to partners at random and turned anew.
        null_high: Its 95 % quantile.
        p: Share of such deals at least as large.
        n: Points.
    """

    phi: Float[np.ndarray, " column"]
    mean: float
    null_mean: float
    null_high: float
    p: float
    n: int


def turned(
    points: Float[np.ndarray, "point mine"], target: Float[np.ndarray, "point target"]
) -> Float[np.ndarray, "point target"]:
    """Turn points as a whole towards a target, mirroring allowed; columns of zeros make up for a different number.

    Args:
        points: What is turned.
        target: What it is turned towards.

    Source: Schoenemann (1966), Psychometrika 31 (orthogonal Procrustes); scipy.
    """
    from scipy.linalg import orthogonal_procrustes

    k = max(points.shape[1], target.shape[1])
    wide, goal = (np.pad(one, ((0, 0), (0, k - one.shape[1]))) for one in (points, target))
    return (wide @ orthogonal_procrustes(wide, goal)[0])[:, : target.shape[1]]


def tucker(
    first: Float[np.ndarray, "point column"], second: Float[np.ndarray, "point column"]
) -> Float[np.ndarray, " column"]:
    """Return Tucker's congruence coefficient of each column with its partner; NaN where one is all zero.

    Args:
        first: Loadings or coordinates.
        second: The others, in the same order.

    Source: Tucker (1951), A method for synthesis of factor analysis studies; Lorenzo-Seva & ten Berge (2006).
    """
    size = np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    return np.where(size > 0, (first * second).sum(axis=0) / np.where(size > 0, size, 1.0), np.nan)


def congruence(
    points: Float[np.ndarray, "mine column"], target: Float[np.ndarray, "other target"], *, draws: int = 1000, seed: int
) -> Congruence:
    """Turn a configuration towards a target and tell how congruent they are, against points dealt out at random.

    Args:
        points: What is turned; points with a NaN on either side are left out.
        target: What it is turned towards.
        draws: Deals.
        seed: Seed of the deals.

    Raises:
        InputError: The two have different numbers of points.
    """
    if len(points) != len(target):
        raise InputError(f"{len(points)} and {len(target)} points", where="congruence", expected="the same points")
    known = np.isfinite(points).all(axis=1) & np.isfinite(target).all(axis=1)
    x, y = points[known].astype(np.float64), target[known].astype(np.float64)
    if len(x) < 3:
        return Congruence(np.full(target.shape[1], np.nan), math.nan, math.nan, math.nan, math.nan, len(x))
    rng = np.random.default_rng(seed)
    phi = tucker(turned(x, y), y)
    null = np.array([tucker(turned(x[rng.permutation(len(x))], y), y).mean() for _ in range(draws)])
    mean = float(phi.mean())
    exists = null[np.isfinite(null)]
    high = float(np.quantile(exists, 0.95)) if len(exists) else math.nan
    p = float(permutation_p(np.array([mean]), null[:, None])[0])
    return Congruence(phi, mean, float(exists.mean()) if len(exists) else math.nan, high, p, len(x))
