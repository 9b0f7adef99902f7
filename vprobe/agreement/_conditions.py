"""Agreement over conditions, such as personas: does what is read inside a model move with what it does?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.errors import InputError
from vprobe.types import Agreement

STATISTIC = "r over conditions"
NULL = "conditions shuffled, values together"
NEEDED = 5


def conditions(
    probe: Float[np.ndarray, "condition value"],
    behavior: Float[np.ndarray, "condition value"],
    *,
    values: Sequence[str],
    site: str,
    method: str,
    draws: int,
    seed: int,
    resamples: int = 1000,
) -> tuple[Agreement, ...]:
    """Correlate two measures of each value over conditions, and over all values at once as the mean of these.

    Each value is taken as a deviation from its mean over conditions, so that what all conditions share (the generic
    profile) cannot make them agree. The null shuffles whole conditions, which keeps correlations between values.

    Args:
        probe: What is read inside, one row per condition.
        behavior: What the model does.
        values: Of the columns.
        site: Where it is read.
        method: Direction method.
        draws: Shuffles.
        seed: Seed of shuffles and bootstrap.
        resamples: Draws of the bootstrap, which draws conditions.

    Returns:
        One row per value, then one of value "all".

    Raises:
        InputError: The two differ in shape, or there are fewer than five conditions.
    """
    if probe.shape != behavior.shape or probe.shape[1] != len(values) or len(probe) < NEEDED:
        raise InputError(
            f"{probe.shape} and {behavior.shape} for {len(values)} values", where="agreement over conditions",
            expected=f"one row per condition in both, and {NEEDED} conditions",
        )  # fmt: skip
    known = np.isfinite(probe) & np.isfinite(behavior)
    x, y = np.where(known, probe, np.nan), np.where(known, behavior, np.nan)
    observed = _r(_moments(x, y).sum(axis=0))
    rng = np.random.default_rng(seed)
    kinds = np.unique(known, axis=0, return_inverse=True)[1].reshape(-1)  # who lacks a number changes places with alike
    null = np.stack([_r(_moments(x, y[_order(kinds, rng)]).sum(axis=0)) for _ in range(draws)])
    together, chance = _mean(observed), _mean(null)
    family = stats.max_t_p(observed, null)
    rows = []
    for column, value in enumerate(values):
        parts = _moments(x[:, [column]], y[:, [column]]).reshape(len(x), -1)
        ends = stats.interval(parts[known[:, column]], _one, seed=seed, resamples=resamples)
        rows.append(_row(value, observed[column], null[:, column], ends, known[:, column], family[column]))
    parts = _moments(x, y).reshape(len(x), -1)
    ends = stats.interval(parts, lambda t: _mean(_r(t.reshape(*t.shape[:-1], -1, 6))), seed=seed, resamples=resamples)
    rows.append(_row("all", float(together), chance, ends, np.asarray(known.all(axis=1)), math.nan))
    return tuple(_placed(row, site, method) for row in rows)


def _moments(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return per condition and value (n, x, y, xx, yy, xy); conditions where a side is missing count nothing."""
    known = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(known, x, 0.0), np.where(known, y, 0.0)
    return np.stack([known.astype(np.float64), x, y, x * x, y * y, x * y], axis=-1)


def _order(kinds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a shuffle of rows within each kind."""
    order = np.empty(len(kinds), dtype=np.int64)
    order[np.argsort(kinds, kind="stable")] = np.lexsort((rng.random(len(kinds)), kinds))
    return order


def _r(totals: np.ndarray) -> np.ndarray:
    n, x, y, xx, yy, xy = np.moveaxis(totals, -1, 0)
    n = np.maximum(n, 1.0)
    own_x, own_y = (
        np.where(total - part * part / n > 100 * stats.ROUND_OFF * total, total - part * part / n, 0.0)
        for part, total in ((x, xx), (y, yy))
    )
    return stats.correlation_of(np.stack([n - 1.0, own_x, own_y, xy - x * y / n], axis=-1))


def _one(totals: np.ndarray) -> np.ndarray:
    return _r(totals)


def _mean(r: np.ndarray) -> np.ndarray:
    """Return the mean over values; a value without r makes it NaN."""
    return np.asarray(np.asarray(r).mean(axis=-1))


def _row(
    value: str, estimate: float, null: np.ndarray, ends: stats.Interval, known: np.ndarray, family: float
) -> Agreement:
    p = float(stats.permutation_p(np.array([estimate]), null[:, None])[0])
    exists = null[np.isfinite(null)]
    low, high = np.quantile(exists, [0.025, 0.975]) if len(exists) else (math.nan, math.nan)
    return Agreement(
        level="condition", comparison="probe~behavior", value=value, statistic=STATISTIC, estimate=float(estimate),
        low=ends.low, high=ends.high, null_mean=float(exists.mean()) if len(exists) else math.nan, null_low=float(low),
        null_high=float(high), p=p, p_family=float(family), ceiling=math.nan, n_scored=int(known.sum()),
        n_unscored=int((~known).sum()), n_groups=int(known.sum()),
        note="; ".join(part for part in (ends.reason, f"null: {NULL}", "generic profile removed") if part),
    )  # fmt: skip


def _placed(row: Agreement, site: str, method: str) -> Agreement:
    from dataclasses import replace

    return replace(row, site=site, method=method)
