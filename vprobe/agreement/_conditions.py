"""Agreement over conditions, such as personas: does what is read inside a model move with what it does?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.agreement._design import Design, told
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
    kinds: Sequence[str] = (),
    clusters: Sequence[str] = (),
    ceilings: Sequence[float] = (),
    level: str = "condition",
    comparison: str = "probe~behavior",
) -> tuple[Agreement, ...]:
    """Correlate two measures of each value over conditions, and over all values at once as the mean of these.

    Each value is taken as a deviation from its mean over conditions, so that what all conditions share (the generic
    profile) cannot make them agree. The null shuffles whole conditions, which keeps correlations between values.
    Conditions of different kinds, such as personas and steered arms, are compared within their kind only, and those of
    one cluster, such as doses of one vector, are shuffled and drawn together.

    Args:
        probe: What is read inside, one row per condition.
        behavior: What the model does.
        values: Of the columns.
        site: Where it is read.
        method: Direction method.
        draws: Shuffles.
        seed: Seed of shuffles and bootstrap.
        resamples: Draws of the bootstrap, which draws conditions.
        kinds: Kind of each condition; one kind when empty.
        clusters: Cluster of each condition; each its own when empty.
        ceilings: Highest expected r of each value; not known when empty.
        level: "condition", or "model" where the conditions are models.
        comparison: What is compared.

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
    design = Design.of(len(probe), kinds, clusters)
    known = np.isfinite(probe) & np.isfinite(behavior)
    x, y = (design.centred(np.where(known, side, np.nan)) for side in (probe, behavior))
    observed = correlations(stats.moments(x, y).sum(axis=0))
    rng = np.random.default_rng(seed)
    null = np.stack(
        [correlations(stats.moments(x, y[order]).sum(axis=0)) for order in design.orders(known, draws, rng)]
    )
    family = stats.max_t_p(observed, null)
    tops = [one if math.isfinite(one) else math.nan for one in ceilings] or [math.nan] * len(values)
    rows = []
    for column, value in enumerate(values):
        parts = design.sums(stats.moments(x[:, [column]], y[:, [column]]).reshape(len(x), -1))
        ends = stats.interval(parts[parts[:, 0] > 0], correlations, seed=seed, resamples=resamples)
        rows.append(condition_row(value, observed[column], null[:, column], ends, known[:, column], family[column]))
        rows[-1] = replace(rows[-1], ceiling=tops[column])
    parts = design.sums(stats.moments(x, y).reshape(len(x), -1))
    ends = stats.interval(
        parts, lambda t: _mean(correlations(t.reshape(*t.shape[:-1], -1, 6))), seed=seed, resamples=resamples
    )
    whole = condition_row("all", float(_mean(observed)), _mean(null), ends, np.asarray(known.all(axis=1)), math.nan)
    rows.append(replace(whole, ceiling=_middle(tops)))
    more = design.note()
    return tuple(
        replace(one, site=site, method=method, level=level, comparison=comparison, note=told(one.note, more),
                n_groups=design.counted(known, None if one.value == "all" else values.index(one.value)))
        for one in rows
    )  # fmt: skip


def halves(
    first: Float[np.ndarray, "condition value"], second: Float[np.ndarray, "condition value"], kinds: Sequence[str] = ()
) -> Float[np.ndarray, " value"]:
    """Return the reliability of a measure over conditions from two halves of the queries, stepped up to the whole.

    Args:
        first: The measure on one half.
        second: On the other.
        kinds: Kind of each condition; compared within kinds only.
    """
    design = Design.of(len(first), kinds, ())
    known = np.isfinite(first) & np.isfinite(second)
    x, y = (design.centred(np.where(known, side, np.nan)) for side in (first, second))
    return np.array([stats.spearman_brown(float(r)) for r in correlations(stats.moments(x, y).sum(axis=0))])


def correlations(totals: np.ndarray) -> np.ndarray:
    """Return the correlation from sums of `stats.moments`."""
    n, x, y, xx, yy, xy = np.moveaxis(totals, -1, 0)
    n = np.maximum(n, 1.0)
    own_x, own_y = (
        np.where(total - part * part / n > 100 * stats.ROUND_OFF * total, total - part * part / n, 0.0)
        for part, total in ((x, xx), (y, yy))
    )
    return stats.correlation_of(np.stack([n - 1.0, own_x, own_y, xy - x * y / n], axis=-1))


def _middle(tops: Sequence[float]) -> float:
    return math.nan if any(math.isnan(one) for one in tops) else sum(tops) / len(tops)


def _mean(r: np.ndarray) -> np.ndarray:
    """Return the mean over values; a value without r makes it NaN."""
    return np.asarray(np.asarray(r).mean(axis=-1))


def condition_row(
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
