"""Correlation, reliability, intervals and permutation tests for grouped samples; knows no model and no value.

Samples come in groups (responses to one query). Everything within groups rests on five sums per group, see `Within`,
so intervals and thousands of null draws need no second pass over the data. Draws are on axis 0 throughout.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy import stats as scipy_stats

from vprobe.errors import InputError, RefusedError

Groups = Sequence[str] | Sequence[int] | np.ndarray
"""One group name per sample."""

LEAST_RELIABILITY = 0.2
"""Below this a correlation is not corrected for label noise: the correction would be mostly noise itself."""

ROUND_OFF = 1e-12
"""Deviations smaller than this share of a column's largest number are rounding, not signal."""


@dataclass(frozen=True)
class Interval:
    """An interval, or the reason why there is none (then both ends are NaN)."""

    low: float
    high: float
    reason: str = ""


@dataclass(frozen=True)
class Icc:
    """The six intraclass correlations of Shrout & Fleiss; a trailing k is for the mean of all k columns."""

    icc1: float
    icc2: float
    icc3: float
    icc1k: float
    icc2k: float
    icc3k: float


@dataclass(frozen=True)
class CosineFit:
    """Least-squares fit of `mean + amplitude * cos(angle - peak)`.

    Args:
        mean: Level, in units of the numbers fitted.
        amplitude: Half the distance from trough to peak, same units.
        peak: Angle of the highest point, degrees from 0 to 360.
        r2: Share of variance explained; NaN when the numbers do not vary.
    """

    mean: float
    amplitude: float
    peak: float
    r2: float


@dataclass(frozen=True)
class Within:
    """Sums over the deviations from group means: all that a within-group correlation or slope needs.

    Args:
        df: Degrees of freedom, known pairs less one.
        n: Known pairs, counted in groups that have at least two.
        xx: Sum of squared deviations of x.
        yy: Sum of squared deviations of y.
        xy: Sum of products of deviations.
    """

    df: Float[np.ndarray, "group column"]
    n: Float[np.ndarray, "group column"]
    xx: Float[np.ndarray, "group column"]
    yy: Float[np.ndarray, "group column"]
    xy: Float[np.ndarray, "group column"]

    def column(self, index: int) -> Float[np.ndarray, "used 4"]:
        """Return (df, xx, yy, xy) of one column for the groups that carry information."""
        used = self.df[:, index] > 0
        return np.stack([part[used, index] for part in (self.df, self.xx, self.yy, self.xy)], axis=1)

    @property
    def totals(self) -> Float[np.ndarray, "column 4"]:
        """(df, xx, yy, xy) summed over groups."""
        return np.stack([part.sum(axis=0) for part in (self.df, self.xx, self.yy, self.xy)], axis=1)


def correlation_of(totals: Float[np.ndarray, "*more 4"]) -> Float[np.ndarray, "*more"]:
    """Return the within-group correlation from sums (df, xx, yy, xy); NaN where a side does not vary."""
    df, xx, yy, xy = np.moveaxis(totals, -1, 0)
    product = np.sqrt(xx * yy)
    real = (product > 0) & (df >= 2)
    return np.where(real, np.clip(xy / np.where(real, product, 1.0), -1.0, 1.0), np.nan)


def slope_of(totals: Float[np.ndarray, "*more 4"]) -> Float[np.ndarray, "*more"]:
    """Return units of y per within-group SD of x from sums (df, xx, yy, xy); NaN where x is constant."""
    df, xx, _, xy = np.moveaxis(totals, -1, 0)
    product = np.sqrt(xx * df)
    real = (product > 0) & (df >= 2)
    return np.where(real, xy / np.where(real, product, 1.0), np.nan)


def codes(groups: Groups) -> Int[np.ndarray, " sample"]:
    """Number the groups from 0 in the order of their sorted names, so that row order changes nothing."""
    return np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1).astype(np.int64)


def centre(x: Float[np.ndarray, "sample column"], groups: Groups) -> Float[np.ndarray, "sample column"]:
    """Take each group's mean away, column by column; NaN stays NaN and does not enter the means."""
    code = codes(groups)
    member = sparse.csr_array((np.ones(len(code)), (code, np.arange(len(code)))))
    x = np.asarray(x, dtype=np.float64)
    known = np.isfinite(x)
    if known.all():
        mean = (member @ x) / np.bincount(code)[:, None]
        scale = np.abs(x).max(axis=0, initial=0.0)
    else:
        filled = np.where(known, x, 0.0)
        mean = (member @ filled) / np.maximum(member @ known.astype(np.float64), 1.0)
        scale = np.abs(filled).max(axis=0, initial=0.0)
    out = x - mean[code]
    out[np.abs(out) <= ROUND_OFF * scale] = 0.0
    return out


def within(x: Float[np.ndarray, "sample #column"], y: Float[np.ndarray, "sample #column"], groups: Groups) -> Within:
    """Return the within-group sums of x with y for many columns at once; pairs with a NaN are left out.

    Args:
        x: Predictor or key.
        y: Outcome; either side may have one column, which is then used with every column of the other.
        groups: Group of each sample.
    """
    x, y = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
    known = np.isfinite(x) & np.isfinite(y)
    complete = bool(known.all())
    cx = centre(x if complete else np.where(known, x, np.nan), groups)
    cy = centre(y if complete else np.where(known, y, np.nan), groups)
    if not complete:
        cx, cy = np.where(known, cx, 0.0), np.where(known, cy, 0.0)
    code = codes(groups)
    member = sparse.csr_array((np.ones(len(code)), (code, np.arange(len(code)))))
    n = member @ known.astype(np.float64)
    n = np.where(n >= 2, n, 0.0)
    return Within(np.maximum(n - 1.0, 0.0), n, member @ (cx * cx), member @ (cy * cy), member @ (cx * cy))


def within_r(
    x: Float[np.ndarray, "sample #column"], y: Float[np.ndarray, "sample #column"], groups: Groups
) -> Float[np.ndarray, " out"]:
    """Return the correlation of deviations from group means, per column."""
    return correlation_of(within(x, y, groups).totals)


def interval(
    parts: Float[np.ndarray, "group part"],
    statistic: Callable[[np.ndarray], np.ndarray],
    *,
    seed: int,
    resamples: int = 1000,
    level: float = 0.95,
) -> Interval:
    """Return a BCa bootstrap interval that draws whole groups.

    Args:
        parts: Sums per group; a statistic sees their total over the groups drawn.
        statistic: From totals of shape (..., part) to numbers of shape (...).
        seed: Seed of the draws.
        resamples: Draws.
        level: Coverage.

    Source: Efron (1987), JASA 82; scipy.stats.bootstrap.
    """
    if len(parts) < 3:
        return Interval(math.nan, math.nan, f"{len(parts)} groups, an interval needs 3")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # scipy warns where it returns NaN, which is reported below
        found = scipy_stats.bootstrap(
            (np.arange(len(parts)),),
            lambda index, axis: statistic(parts[index].sum(axis=-2)),
            n_resamples=resamples,
            batch=max(1, 4_000_000 // parts.size),
            vectorized=True,
            axis=-1,
            confidence_level=level,
            method="BCa",
            rng=np.random.default_rng(seed),
        ).confidence_interval
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return Interval(math.nan, math.nan, "the bootstrap distribution is degenerate")
    return Interval(float(found.low), float(found.high))


def permutation_p(
    observed: Float[np.ndarray, " column"], null: Float[np.ndarray, "draw column"]
) -> Float[np.ndarray, " column"]:
    """Return one-sided p, (1 + draws at least as large) / (1 + draws); draws that do not exist (NaN) are not counted.

    Source: Phipson & Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9, 39.
    """
    exists = np.isfinite(null)
    as_large = (exists & (null >= observed - ROUND_OFF)).sum(axis=0)
    p = (1.0 + as_large) / (1.0 + exists.sum(axis=0))
    return np.where(np.isfinite(observed) & exists.any(axis=0), p, np.nan)


def max_t_p(
    observed: Float[np.ndarray, " column"], null: Float[np.ndarray, "draw column"]
) -> Float[np.ndarray, " column"]:
    """Return p against the largest statistic of each draw, valid for the best of many columns.

    Source: Westfall & Young (1993), Resampling-Based Multiple Testing, ch. 2.
    """
    largest = np.where(np.isfinite(null), null, -np.inf).max(axis=1, initial=-np.inf)
    largest = np.where(np.isfinite(largest), largest, np.nan)
    return permutation_p(observed, np.repeat(largest[:, None], len(observed), axis=1))


def pearson(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Return Pearson's r over the pairs that are known; NaN below 3 pairs or when a side is constant."""
    return float(within_r(x[:, None], y[:, None], np.zeros(len(x), dtype=np.int64))[0]) if len(x) else math.nan


def spearman(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Return Spearman's rho (mean ranks for ties) over the pairs that are known; NaN as for `pearson`."""
    known = np.isfinite(x) & np.isfinite(y)
    return pearson(scipy_stats.rankdata(x[known]), scipy_stats.rankdata(y[known]))


def fisher_mean(r: Float[np.ndarray, " n"]) -> float:
    """Return the mean of correlations on Fisher's z scale; NaN are left out."""
    known = r[np.isfinite(r)]
    edge = 1.0 - 1e-15
    return float(np.tanh(np.arctanh(np.clip(known, -edge, edge)).mean())) if len(known) else math.nan


def spearman_brown(r: float, k: float = 2.0) -> float:
    """Return the reliability of a measure k times as long, from the reliability `r` of one part.

    Source: Spearman (1910) and Brown (1910), Brit. J. Psychol. 3.
    """
    lower = 1.0 + (k - 1.0) * r
    return k * r / lower if lower > 0 else math.nan


def disattenuate(r: float, reliability_x: float, reliability_y: float = 1.0) -> float:
    """Return a correlation corrected for the noise of both measures.

    Raises:
        RefusedError: A reliability is not known or below `LEAST_RELIABILITY`.

    Source: Spearman (1904), Am. J. Psychol. 15.
    """
    for reliability in (reliability_x, reliability_y):
        if not reliability >= LEAST_RELIABILITY:
            raise RefusedError(
                f"reliability {reliability:.2f}",
                where="correction for noise",
                expected=f"at least {LEAST_RELIABILITY}",
                do="report the uncorrected correlation and call the value unmeasurable",
            )
    return r / math.sqrt(reliability_x * reliability_y)


def icc(x: Float[np.ndarray, "target rater"]) -> Icc:
    """Return the six intraclass correlations of a complete table; all NaN when the table does not vary.

    Args:
        x: One row per target, one column per rater; rows with a NaN are left out.

    Source: Shrout & Fleiss (1979), Psychol. Bull. 86, 420-428.
    """
    x = x[np.isfinite(x).all(axis=1)]
    n, k = x.shape
    if n < 2 or k < 2 or np.ptp(x) == 0:
        return Icc(*[math.nan] * 6)
    rows, columns, mean = x.mean(axis=1), x.mean(axis=0), x.mean()
    between = k * float(((rows - mean) ** 2).sum()) / (n - 1)
    raters = n * float(((columns - mean) ** 2).sum()) / (k - 1)
    error = float(((x - rows[:, None] - columns + mean) ** 2).sum()) / ((n - 1) * (k - 1))
    inside = float(((x - rows[:, None]) ** 2).sum()) / (n * (k - 1))

    def share(top: float, bottom: float) -> float:
        return top / bottom if bottom > 0 else math.nan

    return Icc(
        share(between - inside, between + (k - 1) * inside),
        share(between - error, between + (k - 1) * error + k * (raters - error) / n),
        share(between - error, between + (k - 1) * error),
        share(between - inside, between),
        share(between - error, between + (raters - error) / n),
        share(between - error, between),
    )


def cosine_fit(y: Float[np.ndarray, " n"], angles: Float[np.ndarray, " n"]) -> CosineFit:
    """Fit one cosine wave to numbers that stand at angles on a circle; NaN are left out.

    Args:
        y: Numbers, such as one steering effect per value.
        angles: Degrees.

    Raises:
        InputError: Fewer than four numbers, or fewer than three different angles.

    Source: Gurtman (1992), J. Pers. Soc. Psychol. 63 (structural summary).
    """
    known = np.isfinite(y)
    y, turn = np.asarray(y, dtype=np.float64)[known], np.deg2rad(angles[known])
    if len(y) < 4 or len(np.unique(np.round(np.mod(turn, 2 * np.pi), 9))) < 3:
        raise InputError(f"{len(y)} numbers", where="cosine fit", expected="at least 4 at 3 or more different angles")
    design = np.stack([np.ones_like(turn), np.cos(turn), np.sin(turn)], axis=1)
    mean, a, b = np.linalg.lstsq(design, y, rcond=None)[0]
    left = y - design @ np.array([mean, a, b])
    total = float(((y - y.mean()) ** 2).sum())
    r2 = 1.0 - float(left @ left) / total if total > 0 else math.nan
    return CosineFit(float(mean), float(np.hypot(a, b)), float(np.rad2deg(np.arctan2(b, a)) % 360.0), r2)


def fold_of(groups: Groups, k: int, *, seed: int) -> Int[np.ndarray, " sample"]:
    """Deal whole groups out to k folds of about equal size, at random; return each sample's fold.

    Raises:
        RefusedError: Fewer than two folds, or fewer groups than folds.
    """
    code = codes(groups)
    sizes = np.bincount(code)
    if k < 2 or len(sizes) < k:
        raise RefusedError(
            f"{len(sizes)} groups for {k} folds",
            where="grouped folds",
            expected="at least 2 folds and as many groups as folds",
            do="use more queries or fewer folds; responses to one query are never divided",
        )
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]  # large groups first, each to the emptiest fold
    fold, load = np.empty(len(sizes), dtype=np.int64), np.zeros(k)
    for group in order:
        fold[group] = int(load.argmin())
        load[fold[group]] += sizes[group]
    return fold[code]
