"""Audits of steering: does an effect follow what an option means, what an item says, and the value asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.effects._dose import STILL

MEANING, PLACE, AGAINST, UNSHOWN, FEW = (
    "follows the meaning", "follows the place in the list", "goes against the label", "not shown",
    "too few queries to say",
)  # fmt: skip
FLIPS, YES, NO_REVERSED = "flips with the item", "yes-bias: does not flip", "no items that speak against the value"
OWN, INSTRUCTED, NOTHING = "the value's own", "mostly instruction-following", "no effect to divide"
HALF = 0.5
"""Share of an effect that must be left, or gone, without what all instructions share."""
POINTS, SLOPE = "points", "points per SD of label"
Move = Float[np.ndarray, " item"]


@dataclass(frozen=True)
class Figure:
    """One number of an audit with its 95 % interval, whole queries drawn; NaN ends where there is none."""

    measure: str
    estimate: float
    low: float
    high: float
    unit: str


@dataclass(frozen=True)
class Audit:
    """What one audit found.

    Args:
        figures: Its numbers.
        verdict: What they say.
        n_items: Items used.
        n_unscored: Items left out.
        note: Why there is no verdict, where something was missing.
    """

    figures: tuple[Figure, ...]
    verdict: str
    n_items: int
    n_unscored: int
    note: str = ""


def keyed_items(labels: Float[np.ndarray, " item"], *, keyed: float) -> np.ndarray:
    """Return +1 for items that speak for a value, -1 for those against it, 0 for those that hardly speak of it.

    Args:
        labels: How far each item expresses the value, with its sign.
        keyed: Share of the labelled items that count: those with the largest labels either way.
    """
    size = np.where(np.isfinite(labels), np.abs(labels), 0.0)
    least = np.quantile(size[size > 0], 1 - keyed) if (size > 0).any() else math.inf
    return np.where((size >= least) & (size > 0), np.sign(np.where(size > 0, labels, 0.0)), 0.0)


def against_label(moved: Move, labels: Float[np.ndarray, " item"], *, keyed: float) -> float:
    """Return the share of the items that express a value most whose change goes against their label, by over `STILL`.

    Args:
        moved: Change in the direction of the dose.
        labels: How far each item expresses the value.
        keyed: Share of the items that express it most.

    Source: Tan et al. (2024), arXiv 2407.12404, section 3 (anti-steerable).
    """
    signed = moved * keyed_items(labels, keyed=keyed)
    real = np.isfinite(moved) & (keyed_items(labels, keyed=keyed) != 0)
    return float((signed[real] < -STILL).mean()) if real.any() else math.nan


def options(
    listed: Move, reverse: Move, labels: Float[np.ndarray, " item"], groups: stats.Groups, *, seed: int
) -> Audit:
    """Tell an effect on what options mean from one on where they stand, by asking with the list turned round.

    A change that follows the meaning is the same in both orders; one that follows the place changes its sign.

    Args:
        listed: Change of each item's rating with the options in their order, in the direction of the dose.
        reverse: The same with the list of options reversed.
        labels: How far each item expresses the value.
        groups: The query of each item.
        seed: Seed of the bootstrap.
    """
    both = np.stack([listed, reverse])
    found = _slopes(both, labels, groups, seed, (
        ("order as given", lambda s: s[..., 0]),
        ("order reversed", lambda s: s[..., 1]),
        ("by meaning", lambda s: (s[..., 0] + s[..., 1]) / 2),
        ("by place", lambda s: (s[..., 0] - s[..., 1]) / 2),
    ))  # fmt: skip
    one, other = found[:2]
    verdict = UNSHOWN if _known(one, other) else FEW
    if one.low > 0 and other.low > 0:
        verdict = MEANING
    elif one.high < 0 and other.high < 0:
        verdict = AGAINST
    elif (one.low > 0 and other.high < 0) or (one.high < 0 and other.low > 0):
        verdict = PLACE
    known = np.isfinite(both).all(axis=0) & np.isfinite(labels)
    sums = _sums(np.stack([known, *np.where(known, both, 0.0)]).astype(np.float64), groups)
    shifts = (
        _figure("shift of all by meaning", sums, lambda t: (t[..., 1] + t[..., 2]) / t[..., 0] / 2, seed, POINTS),
        _figure("shift of all by place", sums, lambda t: (t[..., 1] - t[..., 2]) / t[..., 0] / 2, seed, POINTS),
    )
    return Audit((*found, *shifts), verdict, int(known.sum()), int((~known).sum()))


def reversed_items(
    moved: Move, labels: Float[np.ndarray, " item"], groups: stats.Groups, *, seed: int, keyed: float = 0.5
) -> Audit:
    """Tell an effect on a value from a wish to say yes: on items that speak against the value its sign must flip.

    Args:
        moved: Change of each item's rating in the direction of the dose.
        labels: How far each item expresses the value, with its sign.
        groups: The query of each item.
        seed: Seed of the bootstrap.
        keyed: Share of the items that are used, those with the largest labels either way.
    """
    sign = np.where(np.isfinite(moved), keyed_items(labels, keyed=keyed), 0.0)
    kept = np.where(np.isfinite(moved), moved, 0.0)
    up, down = (sign > 0).astype(np.float64), (sign < 0).astype(np.float64)
    sums = _sums(np.stack([up, up * kept, down, down * kept]), groups)
    n = int((sign != 0).sum())
    if not (sign > 0).any() or not (sign < 0).any():
        missing = NO_REVERSED if (sign > 0).any() else "no items that speak for the value"
        return Audit((), missing, n, len(sign) - n, "use an instrument with items keyed both ways, such as portraits")

    def both(t: np.ndarray) -> Any:  # an array, or a number where t is one row
        with np.errstate(divide="ignore", invalid="ignore"):
            return t[..., 1] / t[..., 0], t[..., 3] / t[..., 2]

    found = (
        _figure("items for the value", sums, lambda t: both(t)[0], seed, POINTS),
        _figure("items against it", sums, lambda t: both(t)[1], seed, POINTS),
        _figure("value: half the difference", sums, lambda t: (both(t)[0] - both(t)[1]) / 2, seed, POINTS),
        _figure("yes-bias: half the sum", sums, lambda t: (both(t)[0] + both(t)[1]) / 2, seed, POINTS),
    )
    one, other = found[:2]
    verdict = UNSHOWN if _known(one, other) else FEW
    if one.low > 0 and other.high < 0:
        verdict = FLIPS
    elif one.high < 0 and other.low > 0:
        verdict = AGAINST
    elif (one.low > 0 and other.low > 0) or (one.high < 0 and other.high < 0):
        verdict = YES
    return Audit(found, verdict, n, len(sign) - n)


def compliance(
    whole: Move, purged: Move, shared: Move, labels: Float[np.ndarray, " item"], groups: stats.Groups, *, seed: int
) -> Audit:
    """Say how much of a prompted vector's effect is left without what all instructions share.

    Args:
        whole: Change of each item's rating under the vector of being asked for the value, in the dose's direction.
        purged: The same under what is left of it without the shared part.
        shared: The same under its shared part alone.
        labels: How far each item expresses the value.
        groups: The query of each item.
        seed: Seed of the bootstrap.

    Source: Han et al. (2025), arXiv 2509.24319 (prompted-unique part as a channel of following instructions).
    """

    def left(slopes: np.ndarray) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            return slopes[..., 1] / slopes[..., 0]

    moves = np.stack([whole, purged, shared])
    found = _slopes(moves, labels, groups, seed, (
        ("whole vector", lambda s: s[..., 0]),
        ("without the shared part", lambda s: s[..., 1]),
        ("shared part alone", lambda s: s[..., 2]),
        ("share of the effect left", left),
    ))  # fmt: skip
    remains = found[-1] = Figure(found[-1].measure, found[-1].estimate, found[-1].low, found[-1].high, "share")
    known = np.isfinite(moves).all(axis=0) & np.isfinite(labels)
    verdict = UNSHOWN if _known(found[0], remains) else FEW
    if _known(found[0]) and not (found[0].low > 0 or found[0].high < 0):
        verdict = NOTHING
    elif remains.low > HALF:
        verdict = OWN
    elif remains.high < HALF:
        verdict = INSTRUCTED
    return Audit(tuple(found), verdict, int(known.sum()), int((~known).sum()))


def within_queries(one: Move, other: Move, groups: stats.Groups, *, seed: int) -> Figure:
    """Return the correlation of two changes over items within queries, with its interval.

    Args:
        one: Change of each item's rating.
        other: The same under something else.
        groups: The query of each item.
        seed: Seed of the bootstrap.
    """
    sums = stats.within(one[:, None], other[:, None], groups)
    ends = stats.interval(sums.column(0), stats.correlation_of, seed=seed)
    return Figure("r", float(stats.correlation_of(sums.totals)[0]), ends.low, ends.high, "correlation")


def _slopes(
    moves: np.ndarray,
    labels: np.ndarray,
    groups: stats.Groups,
    seed: int,
    measures: Sequence[tuple[str, Callable[[np.ndarray], np.ndarray]]],
) -> list[Figure]:
    """Return figures made of the within-query slopes of several changes on the label, over items that have them all."""
    known = np.isfinite(moves).all(axis=0) & np.isfinite(labels)
    x = np.where(known, labels, np.nan)[:, None]
    sums = stats.within(x, np.where(known, moves, np.nan).T, groups)
    parts = np.stack([sums.df, sums.xx, sums.yy, sums.xy], axis=-1)
    parts = parts[sums.df[:, 0] > 0].reshape(-1, 4 * len(moves))

    def of(measure: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
        return lambda totals: measure(stats.slope_of(totals.reshape(*totals.shape[:-1], len(moves), 4)))

    return [_figure(name, parts, of(measure), seed, SLOPE) for name, measure in measures]


def _known(*figures: Figure) -> bool:
    """Return whether all have intervals, which a bootstrap over few queries may not give."""
    return all(math.isfinite(one.low) and math.isfinite(one.high) for one in figures)


def _sums(columns: np.ndarray, groups: stats.Groups) -> np.ndarray:
    """Return sums per query of several columns."""
    code = stats.codes(groups)
    return np.stack([np.bincount(code, column) for column in columns], axis=1)


def _figure(
    name: str, parts: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], seed: int, unit: str
) -> Figure:
    if not len(parts):
        return Figure(name, math.nan, math.nan, math.nan, unit)
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = float(statistic(parts.sum(axis=0)))
        ends = stats.interval(parts, statistic, seed=seed)
        without = np.asarray(statistic(parts.sum(axis=0) - parts))
    if len(parts) > 2 and math.isnan(ends.low) and (without == estimate).all():
        return Figure(name, estimate, estimate, estimate, unit)  # the same whichever queries are drawn
    return Figure(name, estimate, ends.low, ends.high, unit)
