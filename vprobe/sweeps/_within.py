"""The search behind a nested ridge probe: site and penalty chosen together on inner folds, all within queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from vprobe import stats
from vprobe.errors import InputError
from vprobe.sweeps._basis import eigh, kernel, known_in, patterns
from vprobe.sweeps._ridge import sweep
from vprobe.types import Fold

NUMBERS = 2**23
"""Numbers in the largest array of predictions of one chunk of columns: 64 MiB."""


@dataclass(frozen=True)
class Search:
    """Held-out scores at the site and penalty that inner folds chose, and the whole grid they were chosen from.

    Args:
        scores: In standard deviations of the samples each probe was fitted on; NaN where nothing could be fitted.
        site: Index of the site chosen per outer fold and column; -1 none.
        penalty: Index of the penalty chosen with it; -1 none.
        r: Held-out within-query r of every cell of the grid; the largest is the best of many and too high.
    """

    scores: Float[np.ndarray, "sample column"]
    site: Int[np.ndarray, "fold column"]
    penalty: Int[np.ndarray, "fold column"]
    r: Float[np.ndarray, "penalty column site"]


@dataclass(frozen=True)
class _Site:
    """What one site gives by itself: the penalty inner folds chose, how well it did there, and scores held out."""

    scores: np.ndarray
    penalty: np.ndarray
    inner_r: np.ndarray
    r: np.ndarray


def search(
    xs: Sequence[np.ndarray],
    y: Float[np.ndarray, "sample column"],
    groups: stats.Groups,
    folds: Sequence[Fold],
    penalties: Sequence[float],
    *,
    seed: int,
    inner: int = 4,
    each: Callable[[int, np.ndarray], None] | None = None,
) -> Search:
    """Fit ridge probes of deviations from query means, and choose site and penalty per column on inner folds.

    Null draws are further columns: each makes its own choice of site and penalty, so that the null holds the whole
    search. A site by itself gives what the direction method `ridge` gives there: the same penalties, the same inner
    folds, the same scores.

    Args:
        xs: Activations of each site, all of the same samples.
        y: Labels, NaN not known.
        groups: The query of each sample.
        folds: Outer folds; no query on both sides.
        penalties: As multiples of the mean squared length of the training activations.
        seed: Seed of the inner folds.
        inner: Inner folds.
        each: Called with every site's index and its held-out scores at the penalty chosen there, for maps of sites.

    Raises:
        RefusedError: A fold divides a query, or too few queries for the inner folds.
        InputError: No sites, or misaligned or non-finite input.

    Source: Hoerl & Kennard (1970), Technometrics 12; Varma & Simon (2006), BMC Bioinformatics 7, 91.
    """
    alphas, y = np.asarray(penalties, dtype=np.float64), np.asarray(y, dtype=np.float64)
    centred = stats.centre(y, groups)
    best_r = np.full((len(folds), y.shape[1]), -np.inf)
    site, penalty = np.full((2, *best_r.shape), -1)
    scores, grid = np.full(y.shape, np.nan), []
    for number, x in enumerate(xs):
        one = _site(np.asarray(x, dtype=np.float64), centred, groups, folds, alphas, seed, inner)
        grid.append(one.r)
        if each is not None:
            each(number, one.scores)
        better = np.where(np.isfinite(one.inner_r), one.inner_r, -np.inf) > best_r
        best_r, site = np.where(better, one.inner_r, best_r), np.where(better, number, site)
        penalty = np.where(better, one.penalty, penalty)
        for index, fold in enumerate(folds):
            here = np.flatnonzero(better[index])
            scores[np.ix_(fold.test, here)] = one.scores[np.ix_(fold.test, here)]
    if not grid:
        raise InputError("no sites", where="search", do="give the activations of at least one site")
    return Search(scores, site, penalty, np.stack(grid, axis=-1))


def _site(
    x: np.ndarray,
    y: np.ndarray,
    groups: stats.Groups,
    folds: Sequence[Fold],
    alphas: np.ndarray,
    seed: int,
    inner: int,
) -> _Site:
    """Choose the penalty at one site, columns in chunks, and score every sample with it."""
    x = kernel(x, len(y), 0).x
    if x.shape[1] > len(x):  # rotated into as many dimensions as there are samples: nothing changes but the time
        x = np.ascontiguousarray(np.asarray(np.linalg.qr(x.T, mode="r")).T)
    within = stats.centre(x, groups)
    width = max(1, NUMBERS // (len(alphas) * len(y)))
    parts = []
    for start in range(0, y.shape[1], width):
        part = y[:, start : start + width]
        found = sweep([within], part, groups, folds, alphas, seed=seed, inner=inner, scaled=True)
        chosen = found.nested.penalty
        parts.append(
            _Site(_scores(x, within, part, folds, alphas, chosen), chosen, found.nested.inner_r, found.r[..., 0])
        )
    scores, penalty, inner_r, r = (
        np.concatenate([getattr(part, name) for part in parts], axis=1)
        for name in ("scores", "penalty", "inner_r", "r")
    )
    return _Site(scores, penalty, inner_r, r)


def _scores(
    x: np.ndarray, within: np.ndarray, y: np.ndarray, folds: Sequence[Fold], alphas: np.ndarray, chosen: np.ndarray
) -> np.ndarray:
    """Score held-out samples at the penalty chosen per fold and column, in SDs of the samples fitted on."""
    out, site = np.full(y.shape, np.nan), kernel(within, len(y), 0).x
    for pattern in patterns(y):
        for index, fold in enumerate(folds):
            train = known_in(pattern, fold.train, len(y))
            columns = pattern.columns[chosen[index, pattern.columns] >= 0]
            if len(train) < 2 or not len(columns):
                continue
            raw = _directions(site[train], y[np.ix_(train, columns)], alphas[chosen[index, columns]])
            fitted = x[fold.train] @ raw
            spread, middle = fitted.std(axis=0), fitted.mean(axis=0)
            flat = spread <= stats.ROUND_OFF * np.abs(fitted).max(axis=0, initial=0.0)
            scale = np.where(flat, np.nan, spread)
            out[np.ix_(fold.test, columns)] = (x[fold.test] @ raw - middle) / scale
    return out


def _directions(x: np.ndarray, y: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """Return ridge weights of each column at its own penalty, from one eigendecomposition."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    squares, vectors = eigh(x.T @ x)
    return vectors @ ((vectors.T @ (x.T @ y)) / (squares[:, None] + alphas * (squares.sum() / len(x))))
