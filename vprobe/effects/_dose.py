"""Dose-response: a slope per item, whether it goes the item's way, and whether the doses keep their order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats as scipy_stats

from vprobe import stats
from vprobe.errors import InputError

STILL = 1e-4
"""Rating points: a smaller change goes neither way. Runs of one model on batches of another shape differ by up to 1e-5,
and a change that does nothing must not look as if it went half of the items' way and half against them."""


@dataclass(frozen=True)
class DoseResponse:
    """How ratings follow the doses of one vector.

    Args:
        slope: Mean over items of the slope of the rating on the dose, signed by the item's label; points per unit.
        low: Lower end of the 95 % BCa interval of `slope`, whole queries drawn.
        high: Upper end.
        sd: SD of the items' signed slopes.
        anti: Share of items that go against their label: negative signed slope, by more than `STILL` over the doses.
        anti_low: Lower end of its 95 % Clopper-Pearson interval; too narrow where items of one query go together.
        anti_high: Upper end.
        rho: Spearman correlation of dose with the mean signed rating over items.
        trend: Page's statistic of ordered doses, items as blocks, as a z score.
        trend_p: Its one-sided p from doses permuted within items; NaN with fewer than three doses.
        asymmetry: Mean signed change at the highest dose over minus that at the lowest; 1 is symmetric.
        saturation: Smallest dose in absolute size beyond which the next adds less than half of what the slope near 0
            says; NaN when no dose does.
        n_items: Items with a slope.
        n_unscored: Items not among the keyed, with a label of 0, or without ratings at two doses.
    """

    slope: float
    low: float
    high: float
    sd: float
    anti: float
    anti_low: float
    anti_high: float
    rho: float
    trend: float
    trend_p: float
    asymmetry: float
    saturation: float
    n_items: int
    n_unscored: int


def item_slopes(
    ratings: Float[np.ndarray, "dose item"], doses: Float[np.ndarray, " dose"]
) -> Float[np.ndarray, " item"]:
    """Return per item the least-squares slope of its rating on the dose; NaN with fewer than two rated doses.

    Args:
        ratings: Expected ratings, NaN not known.
        doses: Strength of each row, any unit, negative ones too.

    Source: Tan et al. (2024), arXiv 2407.12404, section 3: steerability is the slope of the propensity curve.
    """
    known = np.isfinite(ratings)
    n = known.sum(axis=0)
    x = np.where(known, doses[:, None], 0.0)
    mean = x.sum(axis=0) / np.maximum(n, 1)
    cx = np.where(known, doses[:, None] - mean, 0.0)
    square = (cx**2).sum(axis=0)
    product = (cx * np.where(known, ratings, 0.0)).sum(axis=0)
    real = (n >= 2) & (square > 0)
    return np.where(real, product / np.where(real, square, 1.0), np.nan)


def dose_response(
    ratings: Float[np.ndarray, "dose item"],
    doses: Float[np.ndarray, " dose"],
    labels: Float[np.ndarray, " item"],
    groups: stats.Groups,
    *,
    seed: int,
    keyed: float = 1.0,
    draws: int = 999,
) -> DoseResponse:
    """Summarise how ratings follow a vector's doses.

    Args:
        ratings: Expected rating of each item under each dose; the baseline is the row of dose 0.
        doses: Strength of each row, in any order.
        labels: How far each item expresses the value; only the sign is used.
        groups: The query of each item.
        seed: Seed of bootstrap and permutation.
        keyed: Share of the items that are used, those with the largest labels either way: an item that hardly
            expresses the value has no way of its own to go.
        draws: Permutations of the trend test.

    Raises:
        InputError: Fewer than two different doses, or rows that do not line up.

    Source: Tan et al. (2024), arXiv 2407.12404; Page (1963), JASA 58, 216-230.
    """
    if ratings.shape != (len(doses), len(labels)) or len(np.unique(doses)) < 2:
        raise InputError(
            f"ratings {ratings.shape}, {len(doses)} doses, {len(labels)} labels",
            where="dose-response",
            expected="one row per dose, at least two different ones, and one column per item",
        )
    order = np.argsort(doses, kind="stable")
    doses, ratings = np.asarray(doses, dtype=np.float64)[order], ratings[order]
    size = np.abs(np.where(np.isfinite(labels), labels, 0.0))
    least = np.quantile(size[size > 0], 1 - keyed) if (size > 0).any() else 0.0
    sign = np.where(size >= least, np.sign(np.where(size > 0, labels, 0.0)), 0.0)
    slopes = item_slopes(ratings, doses) * sign
    used = np.isfinite(slopes) & (sign != 0)
    n = int(used.sum())
    if n == 0:
        nan = math.nan
        return DoseResponse(nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, 0, len(labels))
    mine, moved = slopes[used], ratings[:, used] * sign[used]
    ends = _mean_interval(mine, np.asarray(groups)[used], seed)
    against = int((mine < -STILL / np.abs(doses).max()).sum())
    anti = scipy_stats.binomtest(against, n).proportion_ci(method="exact")
    whole = np.isfinite(moved).all(axis=0)
    mean = moved[:, whole].mean(axis=1) if whole.any() else np.full(len(doses), np.nan)
    trend, p = _page(moved[:, whole], seed, draws)
    return DoseResponse(
        slope=float(mine.mean()), low=ends.low, high=ends.high, sd=float(mine.std(ddof=1)) if n > 1 else math.nan,
        anti=against / n, anti_low=float(anti.low), anti_high=float(anti.high),
        rho=_rho(doses, mean), trend=trend, trend_p=p, asymmetry=_asymmetry(doses, mean),
        saturation=_saturation(doses, mean), n_items=n, n_unscored=len(labels) - n,
    )  # fmt: skip


def _mean_interval(slopes: np.ndarray, groups: np.ndarray, seed: int) -> stats.Interval:
    code = stats.codes(tuple(groups.tolist()))
    parts = np.stack([np.bincount(code, slopes), np.bincount(code).astype(np.float64)], axis=1)
    return stats.interval(parts, lambda total: total[..., 0] / total[..., 1], seed=seed)


def _rho(doses: np.ndarray, mean: np.ndarray) -> float:
    if not np.isfinite(mean).all() or np.ptp(mean) <= STILL:
        return math.nan
    return stats.pearson(scipy_stats.rankdata(doses), scipy_stats.rankdata(np.round(mean, 12)))


def _page(moved: np.ndarray, seed: int, draws: int) -> tuple[float, float]:
    """Return Page's L as a z score, and its p from doses permuted within items."""
    doses, n = moved.shape
    if doses < 3 or n < 2:
        return math.nan, math.nan
    ranks = scipy_stats.rankdata(np.round(moved, 12), axis=0)
    weight = np.arange(1, doses + 1, dtype=np.float64)
    observed = float(weight @ ranks.sum(axis=1))
    rng = np.random.default_rng(seed)
    null = np.array([weight @ rng.permuted(ranks, axis=0).sum(axis=1) for _ in range(draws)])
    p = float(stats.permutation_p(np.array([observed]), null[:, None])[0])
    spread = float(null.std(ddof=1))
    return (observed - float(null.mean())) / spread if spread > 0 else math.nan, p


def _asymmetry(doses: np.ndarray, mean: np.ndarray) -> float:
    if 0.0 not in doses or doses[0] >= 0 or doses[-1] <= 0:
        return math.nan
    middle = mean[np.flatnonzero(doses == 0)[0]]
    down = (middle - mean[0]) / -doses[0]
    return float((mean[-1] - middle) / doses[-1] / down) if abs(middle - mean[0]) > STILL else math.nan


def _saturation(doses: np.ndarray, mean: np.ndarray) -> float:
    """Return the smallest absolute dose after which a step adds less than half of the first step's slope."""
    found = []
    for side in (1.0, -1.0):
        keep = doses * side >= 0
        x, y = doses[keep] * side, mean[keep] * side
        rank = np.argsort(x)
        x, y = x[rank], y[rank]
        if len(x) < 3 or x[0] != 0:
            continue
        steps = np.diff(y) / np.diff(x)
        flat = np.flatnonzero(steps[1:] < steps[0] / 2) if y[1] - y[0] > STILL else np.array([], dtype=int)
        if len(flat):
            found.append(float(x[flat[0] + 1]))
    return min(found, default=math.nan)
