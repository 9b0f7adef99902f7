"""Absolute agreement of two measures in the same unit: concordance, limits of agreement, equivalence."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats as scipy_stats

from vprobe.errors import InputError
from vprobe.stats._groups import ROUND_OFF


@dataclass(frozen=True)
class Concordance:
    """Lin's concordance of two measures: how near their pairs lie to the line of equality.

    Args:
        estimate: 1 is identity; NaN where both measures are constant.
        low: Lower end of the 95 % interval.
        high: Upper end.
        r: Pearson's correlation, which shifts and stretches do not change.
        bias: Concordance over r: 1 where the two have the same mean and spread.
        n: Pairs.
    """

    estimate: float
    low: float
    high: float
    r: float
    bias: float
    n: int


@dataclass(frozen=True)
class Limits:
    """How far one measure lies from another, and between which limits 95 % of differences are.

    Args:
        bias: Mean difference, first less second.
        sd: Standard deviation of the differences.
        low: Lower limit of agreement, bias - 1.96 SD.
        high: Upper limit.
        bias_low: Lower end of the 95 % interval of the bias.
        bias_high: Upper end.
        limit_se: Standard error of either limit.
        slope: Change of the difference per unit of the mean of the two; 0 where the difference is the same all along.
        slope_p: Two-sided p of that slope.
        n: Pairs.
    """

    bias: float
    sd: float
    low: float
    high: float
    bias_low: float
    bias_high: float
    limit_se: float
    slope: float
    slope_p: float
    n: int


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests of a mean difference against a margin set beforehand.

    Args:
        difference: Mean difference, first less second.
        low: Lower end of the 90 % interval.
        high: Upper end.
        margin: Largest difference that counts as none.
        p: Larger p of the two one-sided tests: small where the difference surely lies inside the margin.
        n: Pairs.
    """

    difference: float
    low: float
    high: float
    margin: float
    p: float
    n: int

    @property
    def equivalent(self) -> bool:
        """Whether the two are the same up to the margin, at .05."""
        return bool(self.p <= 0.05)


def moments(x: Float[np.ndarray, "*more"], y: Float[np.ndarray, "*more"]) -> Float[np.ndarray, "*more 6"]:
    """Return per pair (1, x, y, xx, yy, xy), zeros where a side is missing; sums of these are all `ccc_of` needs.

    Args:
        x: One measure.
        y: The other.
    """
    known = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(known, x, 0.0), np.where(known, y, 0.0)
    return np.stack([known.astype(np.float64), x, y, x * x, y * y, x * y], axis=-1)


def ccc_of(totals: Float[np.ndarray, "*more 6"]) -> Float[np.ndarray, "*more"]:
    """Return Lin's concordance from sums of `moments`; NaN below 3 pairs or where nothing varies.

    Source: Lin (1989), Biometrics 45, 255-268, moments over n.
    """
    n, x, y, xx, yy, xy = np.moveaxis(totals, -1, 0)
    n = np.maximum(n, 1.0)
    own_x, own_y, both = xx / n - (x / n) ** 2, yy / n - (y / n) ** 2, xy / n - x * y / n**2
    lower = own_x + own_y + (x / n - y / n) ** 2
    real = (lower > 100 * ROUND_OFF * (xx + yy) / n) & (n >= 3)
    return np.where(real, np.clip(2 * both / np.where(real, lower, 1.0), -1.0, 1.0), np.nan)


def concordance(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], *, level: float = 0.95) -> Concordance:
    """Return Lin's concordance correlation with its interval, for pairs independent of each other.

    For pairs in groups use `interval` with `ccc_of` on sums of `moments`.

    Args:
        x: One measure.
        y: The other, in the same unit; pairs with a NaN are left out.
        level: Coverage of the interval.

    Source: Lin (1989), Biometrics 45, 255-268, with the correction of Lin (2000), Biometrics 56, 324-325.
    """
    known = np.isfinite(x) & np.isfinite(y)
    x, y, n = np.asarray(x[known], np.float64), np.asarray(y[known], np.float64), int(known.sum())
    none = math.nan
    if n < 3:
        return Concordance(none, none, none, none, none, n)
    centre = x.mean()  # sums of large numbers would lose the digits that matter
    found = float(ccc_of(moments(x - centre, y - centre).sum(axis=0)))
    spread = float(x.std() * y.std())
    if not math.isfinite(found) or spread <= ROUND_OFF * max(np.abs(x).max(), np.abs(y).max()) ** 2:
        return Concordance(found, none, none, none, none, n)
    r = float(np.mean((x - x.mean()) * (y - y.mean())) / spread)
    ends = _lin_ends(found, r, float(x.mean() - y.mean()) / math.sqrt(spread), n, level)
    return Concordance(found, *ends, r, found / r if r else none, n)


def _lin_ends(c: float, r: float, shift: float, n: int, level: float) -> tuple[float, float]:
    if n < 4 or not 0 < abs(c) < 1 or not r:
        return math.nan, math.nan
    square = c * c
    variance = (
        (1 - r * r) * square / ((1 - square) * r * r)
        + 2 * c**3 * (1 - c) * shift**2 / (r * (1 - square) ** 2)
        - c**4 * shift**4 / (2 * r * r * (1 - square) ** 2)
    ) / (n - 2)
    if variance < 0:
        return math.nan, math.nan
    half = float(scipy_stats.norm.ppf(0.5 + level / 2)) * math.sqrt(variance)
    return math.tanh(math.atanh(c) - half), math.tanh(math.atanh(c) + half)


def limits(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> Limits:
    """Return bias and 95 % limits of agreement of two measures; all NaN below 3 pairs.

    Args:
        x: One measure.
        y: The other, in the same unit; pairs with a NaN are left out.

    Source: Bland & Altman (1986), Lancet 327, 307-310; (1999), Stat. Methods Med. Res. 8, 135-160 (SE of a limit).
    """
    known = np.isfinite(x) & np.isfinite(y)
    n, gap, mean = int(known.sum()), (x - y)[known], ((x + y) / 2)[known]
    if n < 3:
        none = math.nan
        return Limits(none, none, none, none, none, none, none, none, none, n)
    bias, sd = float(gap.mean()), float(gap.std(ddof=1))
    half = float(scipy_stats.t.ppf(0.975, n - 1)) * sd / math.sqrt(n)
    z = float(scipy_stats.norm.ppf(0.975))
    slope, p = math.nan, math.nan
    if np.ptp(mean) > ROUND_OFF * np.abs(mean).max():
        fit = scipy_stats.linregress(mean, gap)
        slope, p = (float(np.asarray(fit)[at]) for at in (0, 3))
    se = sd * math.sqrt(1 / n + z * z / (2 * (n - 1)))
    return Limits(bias, sd, bias - z * sd, bias + z * sd, bias - half, bias + half, se, slope, p, n)


def equivalence(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], *, margin: float) -> Equivalence:
    """Test whether two measures have the same mean up to a margin set beforehand, by two one-sided t tests.

    Args:
        x: One measure.
        y: The other, in the same unit; pairs with a NaN are left out. Pairs must be independent: give one pair per
            query, such as means over its responses.
        margin: Largest difference that counts as none, same unit.

    Raises:
        InputError: A margin that is not positive.

    Source: Schuirmann (1987), J. Pharmacokinet. Biopharm. 15, 657-680; statsmodels.
    """
    if not (math.isfinite(margin) and margin > 0):
        raise InputError(f"margin {margin:g}", where="equivalence", expected="a positive number")
    known = np.isfinite(x) & np.isfinite(y)
    n, gap = int(known.sum()), (x - y)[known]
    if n < 3:
        return Equivalence(math.nan, math.nan, math.nan, margin, math.nan, n)
    if np.ptp(gap) <= ROUND_OFF * max(np.abs(gap).max(), margin):
        mean = float(gap.mean())
        return Equivalence(mean, mean, mean, margin, 0.0 if abs(mean) < margin else 1.0, n)
    from statsmodels.stats.weightstats import DescrStatsW

    told = DescrStatsW(gap)
    low, high = told.tconfint_mean(alpha=0.1)
    return Equivalence(
        float(gap.mean()), float(low), float(high), margin, float(told.ttost_mean(-margin, margin)[0]), n
    )
