"""One eigendecomposition per fold and site, from which every penalty and label column follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy import linalg

from vprobe import stats
from vprobe.errors import InputError, RefusedError
from vprobe.types import Fold


@dataclass(frozen=True)
class Kernel:
    """One site's activations around their overall mean; ridge does not see the shift, and rounding is smaller."""

    x: Float[np.ndarray, "sample d_model"]

    @cached_property
    def gram(self) -> Float[np.ndarray, "sample sample"]:
        """Inner products of all samples: made once, cut out and centred again for each fold."""
        return self.x @ self.x.T


@dataclass(frozen=True)
class Basis:
    """Eigenvectors of one training set: held-out predictions are seen @ (project @ y / (squares + penalty)).

    Args:
        squares: Squared singular values of the centred training activations.
        seen: Held-out samples in the basis.
        project: Maps centred training labels into the basis.
        scale: Mean squared length of centred training activations.
    """

    squares: Float[np.ndarray, " rank"]
    seen: Float[np.ndarray, "test rank"]
    project: Float[np.ndarray, "rank train"]
    scale: float


@dataclass(frozen=True)
class Pattern:
    """Label columns that are known for the same samples, and are solved together."""

    rows: Int[np.ndarray, " known"]
    columns: Int[np.ndarray, " column"]


def kernel(x: Float[np.ndarray, "sample d_model"], n: int, site: int) -> Kernel:
    """Check one site's activations and centre them in float64."""
    where = f"activations of site {site}"
    if x.ndim != 2 or len(x) != n or not x.shape[1]:
        raise InputError(f"shape {x.shape}", where=where, expected=f"({n}, d_model)", do="give one row per sample")
    x = np.array(x, dtype=np.float64)
    if not np.isfinite(x).all():
        raise InputError("activations that are not finite", where=where, do="leave those samples out of every site")
    x -= x.mean(axis=0)
    return Kernel(x)


def basis(site: Kernel, train: np.ndarray, test: np.ndarray) -> Basis:
    """Decompose one training set: in the space of samples when there are fewer of them than dimensions.

    Source: Saunders, Gammerman & Vovk (1998), ICML (ridge regression in dual variables).
    """
    n, d = len(train), site.x.shape[1]
    if d > n:
        inner, seen = site.gram[np.ix_(train, train)], site.gram[np.ix_(test, train)]
        mean = inner.mean(axis=0)
        seen -= seen.mean(axis=1, keepdims=True)
        seen -= mean - mean.mean()
        inner -= mean + mean[:, None] - mean.mean()
        scale = float(np.trace(inner)) / n
        squares, vectors = eigh(inner)
        return Basis(squares, seen @ vectors, vectors.T, scale)
    mean = site.x[train].mean(axis=0)
    cx = site.x[train] - mean
    inner = cx.T @ cx
    scale = float(np.trace(inner)) / n
    squares, vectors = eigh(inner)
    return Basis(squares, (site.x[test] - mean) @ vectors, vectors.T @ cx.T, scale)


def eigh(inner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the eigenvalues and eigenvectors of a symmetric matrix that is not needed afterwards."""
    # The transpose of a symmetric matrix is itself, in the memory order LAPACK works in: no copy.
    squares, vectors = linalg.eigh(inner.T, driver="evd", overwrite_a=True, check_finite=False)
    return np.maximum(squares, 0.0), vectors


def patterns(y: Float[np.ndarray, "sample column"]) -> tuple[Pattern, ...]:
    """Group label columns by the samples they are known for; a column known nowhere is in none."""
    known = np.isfinite(y)
    if known.all():
        return (Pattern(np.arange(len(y)), np.arange(y.shape[1])),)
    kinds, member = np.unique(known, axis=1, return_inverse=True)
    found = [
        Pattern(np.flatnonzero(kinds[:, i]), np.flatnonzero(member.reshape(-1) == i)) for i in range(kinds.shape[1])
    ]
    return tuple(one for one in found if len(one.rows))


def known_in(pattern: Pattern, rows: np.ndarray, n: int) -> Int[np.ndarray, " known"]:
    """Return those of `rows` that a pattern's columns are known for, in the order of `rows`."""
    known = np.zeros(n, dtype=bool)
    known[pattern.rows] = True
    return rows[known[rows]]


def check(y: np.ndarray, groups: stats.Groups, folds: Sequence[Fold], penalties: np.ndarray) -> None:
    """Refuse labels, folds and penalties from which no honest held-out prediction follows."""
    if len(groups) != len(y) or not y.size or np.isinf(y).any():
        raise InputError(
            f"labels of shape {y.shape} for {len(groups)} group names",
            where="labels",
            expected="one row per sample, one group name each, finite or NaN for not known",
            do="align labels and groups with the activations",
        )
    if penalties.ndim != 1 or not len(penalties) or not (np.isfinite(penalties) & (penalties > 0)).all():
        raise InputError("a penalty that is not above 0", where="penalties", expected="one or more finite numbers > 0")
    code, tested = stats.codes(groups), np.zeros(len(y), dtype=np.int64)
    if not folds:
        raise InputError("no folds", where="folds", do="make some with splits.by_group")
    for number, fold in enumerate(folds):
        rows = np.concatenate([fold.train, fold.test])
        if not (len(fold.train) and len(fold.test)) or rows.min() < 0 or rows.max() >= len(y):
            raise InputError(f"fold {number} is empty or names samples that are not there", where="folds")
        if len(np.unique(rows)) < len(rows) or np.isin(code[fold.test], code[fold.train]).any():
            raise RefusedError(
                f"fold {number} divides a query",
                where="folds",
                expected="all responses to a query on one side",
                do="use splits.by_group; a probe that has seen a query's other responses is not held out",
            )
        tested[fold.test] += 1
    if tested.max() > 1:
        raise RefusedError("a sample is held out twice", where="folds", expected="disjoint held-out sets")
