"""Agreement over all cells of conditions x values, and conditions told by their own profile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.agreement._conditions import NEEDED, NULL, condition_row, correlations
from vprobe.agreement._design import Design, told
from vprobe.types import Agreement

CELLS = "r over conditions x values, double-centred"
TOLD = "share of conditions told by their own profile"
_NUMBERS = ("estimate", "low", "high", "null_mean", "null_low", "null_high", "p")


def cells(
    probe: Float[np.ndarray, "condition value"],
    behavior: Float[np.ndarray, "condition value"],
    *,
    site: str,
    method: str,
    draws: int,
    seed: int,
    resamples: int = 1000,
    kinds: Sequence[str] = (),
    clusters: Sequence[str] = (),
    level: str = "condition",
    comparison: str = "probe~behavior",
) -> tuple[Agreement, ...]:
    """Correlate two measures over all conditions x values at once, and tell conditions by their own profile.

    Each value is standardised over conditions, then each condition's mean over values is taken away: what is left is
    what a condition adds to one value more than to others, in units both measures share. Conditions with a NaN are
    left out.

    Args:
        probe: What is read inside, one row per condition.
        behavior: What the model does.
        site: Where it is read.
        method: Direction method.
        draws: Shuffles of whole conditions.
        seed: Seed of shuffles and bootstrap.
        resamples: Draws of the bootstrap, which draws clusters of conditions; the standardisation is not repeated.
        kinds: As for `conditions`.
        clusters: As for `conditions`.
        level: As for `conditions`.
        comparison: As for `conditions`.

    Returns:
        Two rows of value "all": the correlation over cells, and how often a condition's probe profile is nearest to its
        own behaviour (one condition per cluster would be fairest; with doses of one vector, luck is easier).
    """
    whole = np.asarray(np.isfinite(np.concatenate([probe, behavior], axis=1)).all(axis=1)).reshape(-1)
    design = Design.of(len(probe), kinds, clusters).only(whole)
    n, k = int(whole.sum()), probe.shape[1]
    note = told(f"null: {NULL}", design.note())
    blank = replace(
        condition_row("all", math.nan, np.empty(0), stats.Interval(math.nan, math.nan), whole, math.nan), site=site,
        method=method, level=level, comparison=comparison, statistic=CELLS, n_groups=len(set(design.clusters)),
    )  # fmt: skip
    if n < NEEDED or k < 3:
        few = f"{n} conditions with all of {k} values; {NEEDED} and 3 are needed"
        return (replace(blank, note=few), replace(blank, statistic=TOLD, note=few))
    x, y = (_standard(design.centred(side[whole])) for side in (probe, behavior))
    totals = stats.moments(x, y).sum(axis=1)
    observed = float(correlations(totals.sum(axis=0)))
    rng = np.random.default_rng(seed)
    orders = list(design.orders(np.ones((n, 1), dtype=bool), draws, rng))
    null = np.array([float(correlations(stats.moments(x, y[order]).sum(axis=(0, 1)))) for order in orders])
    ends = stats.interval(design.sums(totals), correlations, seed=seed, resamples=resamples)
    made = condition_row("all", observed, null, ends, whole, math.nan)
    first = replace(blank, **{name: getattr(made, name) for name in _NUMBERS}, note=told(ends.reason, note))
    known = stats.identify(x, y, draws=draws, seed=seed)
    second = replace(
        blank, statistic=TOLD, estimate=known.accuracy, null_mean=known.chance, p=known.p,
        note=told(f"chance is 1 in {known.n}; null: conditions paired at random", design.note()),
    )  # fmt: skip
    return first, second


def _standard(x: np.ndarray) -> np.ndarray:
    """Standardise each value over conditions, then take each condition's mean over values away."""
    x = x - x.mean(axis=0)
    size = x.std(axis=0)
    real = size > stats.ROUND_OFF * np.abs(x).max(initial=0.0)
    return stats.without_generic(np.where(real, x / np.where(real, size, 1.0), 0.0))
