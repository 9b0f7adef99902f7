"""r over conditions divided by the r to be expected of perfect agreement, with the interval of the whole ratio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.agreement._conditions import NEEDED, condition_row, correlations
from vprobe.agreement._design import Design, told
from vprobe.types import Agreement

OVER = "r over conditions, over its ceiling"
"""Values alone, and their mean as "all"."""


def over_ceiling(
    probe: Float[np.ndarray, "condition value"],
    behavior: Float[np.ndarray, "condition value"],
    probe_halves: Float[np.ndarray, "2 condition value"],
    behavior_halves: Float[np.ndarray, "2 condition value"],
    *,
    values: Sequence[str],
    site: str,
    method: str,
    comparison: str,
    kinds: Sequence[str] = (),
    clusters: Sequence[str] = (),
    seed: int,
    resamples: int = 500,
) -> tuple[Agreement, ...]:
    """Return how much of the agreement that noise allows for there is, value by value and as the mean of these.

    The reliability of either side comes from its two halves of the queries, stepped up to the whole. It is computed
    anew in every draw of the bootstrap. A value with a reliability below .2, or whose interval reaches 0, is called
    unmeasurable and has no number.

    Args:
        probe: What is read inside.
        behavior: What the model does.
        probe_halves: `probe` on either half of the queries.
        behavior_halves: `behavior` on either half.
        values: Of the columns.
        site: Where it is read.
        method: Direction method.
        comparison: What is compared.
        kinds: Kind of each condition, compared within kinds only; one kind when empty.
        clusters: Cluster of each, drawn together; each its own when empty.
        seed: Seed of the bootstrap.
        resamples: Its draws.

    Source: Spearman (1904, 1910), Am. J. Psychol. 15 and Brit. J. Psychol. 3.
    """
    design = Design.of(len(probe), kinds, clusters)
    sides = np.stack([probe, behavior, *probe_halves, *behavior_halves])
    known = np.asarray(np.isfinite(sides).all(axis=0))
    x, y, x1, x2, y1, y2 = (design.centred(np.where(known, side, np.nan)) for side in sides)
    sums = np.stack([stats.moments(a, b) for a, b in ((x, y), (x1, x2), (y1, y2))], axis=2)
    parts = [design.sums(sums[:, column].reshape(len(probe), 18)) for column in range(len(values))]
    made = [
        _one(value, part, known[:, column], seed, resamples)
        for column, (value, part) in enumerate(zip(values, parts, strict=True))
    ]
    sure = [column for column, row in enumerate(made) if math.isfinite(row.estimate)]
    all_of_them = _mean([parts[column] for column in sure], known, len(values), seed, resamples)
    more = told("reliabilities from two halves of the queries, stepped up", design.note())
    return tuple(
        replace(row, site=site, method=method, comparison=comparison, statistic=OVER, note=told(row.note, more),
                n_groups=design.counted(known, None if row.value == "all" else values.index(row.value)))
        for row in (*made, all_of_them)
    )  # fmt: skip


def _three(totals: Float[np.ndarray, "*more 18"]) -> Float[np.ndarray, "*more 3"]:
    """Return r, and the reliability of either side."""
    r = correlations(totals.reshape(*totals.shape[:-1], 3, 6))
    lower = 1.0 + r[..., 1:]
    stepped = np.where(lower > 0, 2.0 * r[..., 1:] / np.where(lower > 0, lower, 1.0), np.nan)
    return np.concatenate([r[..., :1], stepped], axis=-1)


def _ratio(totals: Float[np.ndarray, "*more 18"]) -> Float[np.ndarray, "*more"]:
    r, first, second = np.moveaxis(_three(totals), -1, 0)
    real = (first > 0) & (second > 0)
    return np.where(real, r / np.sqrt(np.where(real, first * second, 1.0)), np.nan)


def _one(value: str, parts: np.ndarray, known: np.ndarray, seed: int, resamples: int) -> Agreement:
    """Return the row of one value; no number where a side is unmeasurable."""
    used = parts[parts[:, 0] > 0]
    blank = condition_row(value, math.nan, np.empty(0), stats.Interval(math.nan, math.nan), known, math.nan)
    if len(used) < NEEDED:
        return replace(blank, note=f"{len(used)} conditions with both halves; {NEEDED} are needed")
    r, first, second = (float(one) for one in _three(used.sum(axis=0)))
    for name, which, rel in (("what is read", 1, first), ("behaviour", 2, second)):
        ends = stats.interval(used, lambda t, which=which: _three(t)[..., which], seed=seed, resamples=resamples)
        low = 1.0 if math.isnan(ends.low) and rel >= 1.0 - stats.ROUND_OFF else ends.low  # halves alike in every draw
        if not (rel >= stats.LEAST_RELIABILITY and low > 0):
            why = f"unmeasurable: reliability of {name} {rel:z.2f} (from {low:z.2f})"
            return replace(blank, note=told(f"uncorrected r = {r:z.2f}", why))
    ends = stats.interval(used, _ratio, seed=seed, resamples=resamples)
    estimate, top = float(_ratio(used.sum(axis=0))), math.sqrt(first * second)
    note = told(
        f"uncorrected r = {r:z.2f} of at most {top:z.2f}", f"reliabilities {first:z.2f} and {second:z.2f}",
        "above 1: a reliability is too low, or luck" if estimate > 1 else "", ends.reason,
    )  # fmt: skip
    return replace(blank, estimate=estimate, low=ends.low, high=ends.high, ceiling=1.0, note=note)


def _mean(parts: Sequence[np.ndarray], known: np.ndarray, of: int, seed: int, resamples: int) -> Agreement:
    """Return the mean over the values that are measurable."""
    whole = np.asarray(known.all(axis=1))
    blank = condition_row("all", math.nan, np.empty(0), stats.Interval(math.nan, math.nan), whole, math.nan)
    note = f"mean over {len(parts)} of {of} values, the others are unmeasurable" if len(parts) < of else ""
    if not parts:
        return replace(blank, note="no value is measurable")
    together = np.stack(parts, axis=1)
    together = together[(together[:, :, 0] > 0).any(axis=1)]

    def mean(totals: np.ndarray) -> np.ndarray:
        return np.asarray(_ratio(totals.reshape(*totals.shape[:-1], len(parts), 18)).mean(axis=-1))

    flat = together.reshape(len(together), -1)
    ends = stats.interval(flat, mean, seed=seed, resamples=resamples)
    return replace(
        blank, estimate=float(mean(flat.sum(axis=0))), low=ends.low, high=ends.high, ceiling=1.0,
        note=told(note, ends.reason),
    )  # fmt: skip
