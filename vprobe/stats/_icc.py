"""Intraclass correlations of a complete table, with the intervals of their F ratios."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats as scipy_stats

from vprobe.stats._groups import ROUND_OFF
from vprobe.stats._inference import Interval


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
class IccIntervals:
    """An interval for each of the six intraclass correlations."""

    icc1: Interval
    icc2: Interval
    icc3: Interval
    icc1k: Interval
    icc2k: Interval
    icc3k: Interval


@dataclass(frozen=True)
class _Squares:
    """Mean squares of a targets x raters table: between targets, between raters, error, within targets."""

    n: int
    k: int
    between: float
    raters: float
    error: float
    inside: float


def _squares(x: np.ndarray) -> _Squares | None:
    """Return the mean squares over rows without NaN; None where a table has no variation to divide."""
    x = x[np.isfinite(x).all(axis=1)]
    n, k = x.shape
    if n < 2 or k < 2 or np.ptp(x) == 0:
        return None
    rows, columns, mean = x.mean(axis=1), x.mean(axis=0), x.mean()
    return _Squares(
        n,
        k,
        k * float(((rows - mean) ** 2).sum()) / (n - 1),
        n * float(((columns - mean) ** 2).sum()) / (k - 1),
        float(((x - rows[:, None] - columns + mean) ** 2).sum()) / ((n - 1) * (k - 1)),
        float(((x - rows[:, None]) ** 2).sum()) / (n * (k - 1)),
    )


def icc(x: Float[np.ndarray, "target rater"]) -> Icc:
    """Return the six intraclass correlations of a complete table; all NaN when the table does not vary.

    Args:
        x: One row per target, one column per rater; rows with a NaN are left out.

    Source: Shrout & Fleiss (1979), Psychol. Bull. 86, 420-428.
    """
    found = _squares(x)
    if found is None:
        return Icc(*[math.nan] * 6)
    n, k, between, raters, error, inside = (
        found.n, found.k, found.between, found.raters, found.error, found.inside
    )  # fmt: skip

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


def icc_intervals(x: Float[np.ndarray, "target rater"], *, level: float = 0.95) -> IccIntervals:
    """Return an interval for each intraclass correlation, for targets that are independent of each other.

    Args:
        x: As for `icc`.
        level: Coverage.

    Source: McGraw & Wong (1996), Psychol. Methods 1, 30-46, tables 7 and 8.
    """
    found = _squares(x)
    none = Interval(math.nan, math.nan, "the table does not vary, or has one row or column")
    if found is None:
        return IccIntervals(*[none] * 6)
    n, k, tail = found.n, found.k, 1 - (1 - level) / 2
    one = _ratio(found.between, found.inside, n - 1, n * (k - 1), tail)
    three = _ratio(found.between, found.error, n - 1, (n - 1) * (k - 1), tail)
    two = _absolute(found, tail)
    return IccIntervals(
        _mapped(one, lambda f: (f - 1) / (f + k - 1)), two, _mapped(three, lambda f: (f - 1) / (f + k - 1)),
        _mapped(one, lambda f: 1 - 1 / f), _mapped(two, lambda r: k * r / (1 + (k - 1) * r)),
        _mapped(three, lambda f: 1 - 1 / f),
    )  # fmt: skip


def icc_moments(x: Float[np.ndarray, "target rater"]) -> Float[np.ndarray, "target part"]:
    """Return per target what `icc_of` needs summed: 1, each rater's score, the squares, the square of the sum.

    Args:
        x: As for `icc`; a target with a NaN counts nothing.
    """
    known = np.isfinite(x).all(axis=1, keepdims=True)
    x = np.where(known, x, 0.0)
    parts = (known.astype(np.float64), x, (x**2).sum(axis=1, keepdims=True), x.sum(axis=1, keepdims=True) ** 2)
    return np.concatenate(parts, axis=1)


def icc_of(totals: Float[np.ndarray, "*more part"]) -> Float[np.ndarray, "*more 6"]:
    """Return the six intraclass correlations from sums of `icc_moments`, in the order of `Icc`.

    Drawing whole queries and summing anew gives intervals for targets that are not independent; see `interval`.

    Args:
        totals: Sums over targets.
    """
    k = totals.shape[-1] - 3
    n, columns, cells, rows = totals[..., 0], totals[..., 1:-2], totals[..., -2], totals[..., -1]
    n = np.maximum(n, 1.0)
    grand = columns.sum(axis=-1) ** 2 / (n * k)
    whole, of_rows = cells - grand, rows / k - grand
    of_columns = (columns**2).sum(axis=-1) / n - grand
    with np.errstate(all="ignore"):
        between, raters = of_rows / (n - 1), of_columns / (k - 1)
        error = (whole - of_rows - of_columns) / ((n - 1) * (k - 1))
        inside = (whole - of_rows) / (n * (k - 1))
        shares = (
            (between - inside, between + (k - 1) * inside),
            (between - error, between + (k - 1) * error + k * (raters - error) / n),
            (between - error, between + (k - 1) * error),
            (between - inside, between),
            (between - error, between + (raters - error) / n),
            (between - error, between),
        )
        out = np.stack([np.where(bottom > 0, top / bottom, np.nan) for top, bottom in shares], axis=-1)
    varies = (whole > 100 * ROUND_OFF * cells) & (n >= 2) & (k >= 2)
    return np.where(np.expand_dims(varies, -1), out, np.nan)


def _ratio(top: float, bottom: float, df_top: int, df_bottom: int, tail: float) -> Interval:
    """Return the limits of a variance ratio."""
    if bottom <= 0:
        return Interval(math.nan, math.nan, "raters agree perfectly, or not at all")
    f = top / bottom
    ends = (f / scipy_stats.f.ppf(tail, df_top, df_bottom), f * scipy_stats.f.ppf(tail, df_bottom, df_top))
    return Interval(float(ends[0]), float(ends[1]))


def _mapped(ends: Interval, rule: Callable[[float], float]) -> Interval:
    if not (math.isfinite(ends.low) and math.isfinite(ends.high)):
        return ends
    return Interval(rule(ends.low), rule(ends.high))


def _absolute(s: _Squares, tail: float) -> Interval:
    """Return the limits of ICC(2,1), with Satterthwaite's degrees of freedom."""
    n, k = s.n, s.k
    if s.error <= 0:
        return Interval(math.nan, math.nan, "raters agree perfectly, or not at all")
    r = (s.between - s.error) / (s.between + (k - 1) * s.error + k * (s.raters - s.error) / n)
    f = s.raters / s.error
    rest = n * (1 + (k - 1) * r) - k * r
    df = (k - 1) * (n - 1) * (k * r * f + rest) ** 2 / ((n - 1) * (k * r * f) ** 2 + rest**2)
    both = k * s.raters + (k * n - k - n) * s.error
    lower, upper = scipy_stats.f.ppf(tail, n - 1, df), scipy_stats.f.ppf(tail, df, n - 1)
    return Interval(
        float(n * (s.between - lower * s.error) / (lower * both + n * s.between)),
        float(n * (upper * s.between - s.error) / (both + n * upper * s.between)),
    )
