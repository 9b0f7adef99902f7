"""Agreement over items, within queries, and between the profiles they give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.errors import InputError
from vprobe.types import Agreement, Reliability

STATISTIC = "within-query r"
PROFILE_STATISTIC = "profile r"
NEEDED = 10
"""Values a profile correlation needs: all ten, because nine would already be another circle."""


@dataclass(frozen=True)
class Null:
    """What a statistic looks like by chance.

    Args:
        name: What was shuffled, such as "labels shuffled, probes refitted".
        r: The statistic in every draw, columns as in the estimate.
    """

    name: str
    r: Float[np.ndarray, "draw column"]


def draws(
    x: Float[np.ndarray, "#draw sample #column"], y: Float[np.ndarray, "#draw sample #column"], groups: stats.Groups
) -> Float[np.ndarray, "draws column"]:
    """Return within-query r for every draw, to make a `Null` of.

    Args:
        x: One side; an axis of length 1 is used with every draw or column of the other side.
        y: The other side.
        groups: The query of each sample.
    """
    shape = np.broadcast_shapes(x.shape, y.shape)
    step = max(1, 4_000_000 // (shape[1] * shape[2]))  # draws side by side as columns, as many as memory likes
    out = np.empty((shape[0], shape[2]))
    for start in range(0, shape[0], step):
        part = slice(start, start + step)
        a, b = (_columns(np.broadcast_to(side, shape)[part]) for side in (x, y))
        out[part] = stats.within_r(a, b, groups).reshape(-1, shape[2])
    return out


def _columns(x: np.ndarray) -> np.ndarray:
    return x.transpose(1, 0, 2).reshape(x.shape[1], -1)


def measure(
    x: Float[np.ndarray, "sample #column"],
    y: Float[np.ndarray, "sample #column"],
    groups: stats.Groups,
    nulls: Sequence[Null],
    *,
    comparison: str,
    values: Sequence[str],
    sites: Sequence[str] = (),
    method: str | Sequence[str] = "",
    reliability: Sequence[Reliability] | None = None,
    two_sided: bool = False,
    seed: int,
    resamples: int = 1000,
) -> tuple[Agreement, ...]:
    """Compare two measures of the same items within queries, column by column; the columns are one family.

    With several nulls the one with the largest p is reported and named.

    Args:
        x: One measure, such as held-out probe scores.
        y: The other, such as human labels; one column is used with every column of the other side.
        groups: The query of each item.
        nulls: At least one.
        comparison: What is compared, such as "probe~label".
        values: Value of each column.
        sites: Site of each column, "nested" when inner folds chose it; empty when no probe is involved.
        method: Direction method, or one per column when several are one family; empty when no probe is involved.
        reliability: Of the labels, when a side is labels; None when neither is.
        two_sided: True where a negative estimate is a finding too: a model's ratings may go against a value. The note
            says so.
        seed: Seed of the bootstrap.
        resamples: Draws of the bootstrap.

    Raises:
        InputError: No null, or columns, values, sites and nulls differ in number.
    """
    sums = stats.within(x, y, groups)
    observed = stats.correlation_of(sums.totals)
    places = tuple(sites) or ("",) * len(values)
    methods = (method,) * len(values) if isinstance(method, str) else tuple(method)
    if not nulls or {len(values), len(places), len(methods), *(null.r.shape[1] for null in nulls)} != {len(observed)}:
        raise InputError(
            f"{len(observed)} columns, {len(values)} values, {len(places)} sites, {len(nulls)} nulls",
            where=f"agreement {comparison}",
            expected="one value, site and null column per column, and at least one null",
        )
    size = np.abs if two_sided else np.asarray
    family = np.stack([stats.max_t_p(size(observed), size(null.r)) for null in nulls]).max(axis=0)
    rows = []
    for column, (value, site) in enumerate(zip(values, places, strict=True)):
        mine = [Null(null.name, null.r[:, [column]]) for null in nulls]
        chance = _chance(float(observed[column]), mine, two_sided=two_sided)
        ends = stats.interval(sums.column(column), stats.correlation_of, seed=seed, resamples=resamples)
        ceiling, note = _ceiling(value, reliability)
        counts = _Counts(int(sums.n[:, column].sum()), len(x), int((sums.df[:, column] > 0).sum()))
        row = _row(float(observed[column]), ends, chance, counts, level="item", comparison=comparison, value=value)
        p_family = float(family[column]) if len(values) > 1 else math.nan
        note = _join(note, "p is two-sided" if two_sided else "", row.note)
        rows.append(replace(row, p_family=p_family, ceiling=ceiling, site=site, method=methods[column], note=note))
    return tuple(rows)


def profile(
    probe: Float[np.ndarray, "sample value"],
    label: Float[np.ndarray, "sample value"],
    ratings: Float[np.ndarray, " sample"],
    groups: stats.Groups,
    *,
    refitted: Float[np.ndarray, "draw sample value"],
    shuffled_labels: Float[np.ndarray, "draw sample value"],
    shuffled_ratings: Float[np.ndarray, "draws sample"],
    moved_ratings: Float[np.ndarray, "draw sample"],
    needed: int = NEEDED,
    site: str = "",
    method: str = "",
    seed: int,
    resamples: int = 1000,
) -> Agreement:
    """Correlate a model's profile keyed by probe scores with its profile keyed by human labels, over values.

    Ten values on a circle are not ten independent points, so p comes from three nulls through the whole pipeline, and
    the largest is reported: label rows shuffled jointly with probes refitted, the same with the ratings moved along
    with their labels (ratings may follow labels without the activations adding anything), and ratings shuffled.

    Args:
        probe: Held-out probe scores.
        label: Human labels.
        ratings: One rating per item, points.
        groups: The query of each item.
        refitted: Held-out scores of probes refitted on each shuffled copy of the labels.
        shuffled_labels: Those copies.
        shuffled_ratings: Ratings shuffled within queries.
        moved_ratings: Ratings moved as the labels of each shuffled copy were.
        needed: Values that must exist in both profiles.
        site: Where the probes read.
        method: Direction method.
        seed: Seed of the bootstrap.
        resamples: Draws of the bootstrap.
    """
    sums = _profile_sums(probe, label, ratings, groups)
    slopes = _slopes(sums.sum(axis=0), label.shape[1])
    exist = int(np.isfinite(slopes).all(axis=0).sum())
    estimate, ends, few = math.nan, stats.Interval(math.nan, math.nan), f"{exist} values exist, {needed} are needed"
    if exist >= needed:
        estimate, few = float(_profile_r(sums.sum(axis=0))), ""
        ends = stats.interval(sums, _profile_r, seed=seed, resamples=resamples)
    pairs = list(zip(refitted, shuffled_labels, strict=True))
    together = [(*pair, moved) for pair, moved in zip(pairs, moved_ratings, strict=True)]
    nulls = (
        Null("label rows shuffled jointly, probes refitted", _profile_draws([(*p, ratings) for p in pairs], groups)),
        Null("label rows and ratings shuffled together, probes refitted", _profile_draws(together, groups)),
        Null("ratings shuffled within queries", _profile_draws([(probe, label, r) for r in shuffled_ratings], groups)),
    )
    known = np.isfinite(ratings) & np.isfinite(probe).all(axis=1) & np.isfinite(label).all(axis=1)
    counts = _Counts(int(known.sum()), len(ratings), len(sums))
    row = _row(estimate, ends, _chance(estimate, nulls), counts, level="profile", comparison="probe~label", value="all")
    note = _join(few, f"over {exist} values, which are not independent", row.note)
    return replace(row, statistic=PROFILE_STATISTIC, site=site, method=method, note=note)


@dataclass(frozen=True)
class _Chance:
    """What the sternest null says of one estimate."""

    mean: float
    low: float
    high: float
    p: float
    name: str


@dataclass(frozen=True)
class _Counts:
    scored: int
    of: int
    groups: int


def _chance(estimate: float, nulls: Sequence[Null], *, two_sided: bool = False) -> _Chance:
    """Return p and spread of the null with the largest p; nulls have one column."""
    size = np.abs if two_sided else np.asarray
    ps = [float(stats.permutation_p(size(np.array([estimate])), size(null.r))[0]) for null in nulls]
    worst = int(np.argmax([p if math.isfinite(p) else -1.0 for p in ps]))
    known = nulls[worst].r[np.isfinite(nulls[worst].r)]
    if not len(known):
        return _Chance(math.nan, math.nan, math.nan, math.nan, nulls[worst].name)
    low, high = np.quantile(known, [0.025, 0.975])
    return _Chance(float(known.mean()), float(low), float(high), ps[worst], nulls[worst].name)


def _row(
    estimate: float, ends: stats.Interval, chance: _Chance, counts: _Counts, *, level: str, comparison: str, value: str
) -> Agreement:
    return Agreement(
        level=level,
        comparison=comparison,
        value=value,
        statistic=STATISTIC,
        estimate=estimate,
        low=ends.low,
        high=ends.high,
        null_mean=chance.mean,
        null_low=chance.low,
        null_high=chance.high,
        p=chance.p,
        ceiling=math.nan,
        n_scored=counts.scored,
        n_unscored=counts.of - counts.scored,
        n_groups=counts.groups,
        note=_join(ends.reason and f"no interval: {ends.reason}", f"null: {chance.name}"),
    )


def _profile_sums(probe: np.ndarray, label: np.ndarray, ratings: np.ndarray, groups: stats.Groups) -> np.ndarray:
    """Return per group (df, xx, yy, xy) of every value, probe keys first, label keys after, as one row."""
    sums = stats.within(np.concatenate([probe, label], axis=1), ratings[:, None], groups)
    parts = np.stack([sums.df, sums.xx, sums.yy, sums.xy], axis=2)
    return parts[(sums.df > 0).any(axis=1)].reshape(-1, 8 * label.shape[1])


def _slopes(totals: np.ndarray, n_values: int) -> np.ndarray:
    return stats.slope_of(totals.reshape(*totals.shape[:-1], 2 * n_values, 4)).reshape(*totals.shape[:-1], 2, n_values)


def _profile_r(totals: np.ndarray) -> np.ndarray:
    """Return Pearson's r between the two profiles over the values both have."""
    slopes = _slopes(totals, totals.shape[-1] // 8)
    both = np.isfinite(slopes).all(axis=-2, keepdims=True)
    n = both.sum(axis=-1, keepdims=True)
    mean = np.where(both, slopes, 0.0).sum(axis=-1, keepdims=True) / np.maximum(n, 1)
    a, b = np.moveaxis(np.where(both, slopes - mean, 0.0), -2, 0)
    return stats.correlation_of(np.stack([n[..., 0, 0] - 1.0, (a * a).sum(-1), (b * b).sum(-1), (a * b).sum(-1)], -1))


def _profile_draws(cases: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], groups: stats.Groups) -> np.ndarray:
    return np.array([[float(_profile_r(_profile_sums(*case, groups).sum(axis=0)))] for case in cases]).reshape(-1, 1)


def _ceiling(value: str, reliability: Sequence[Reliability] | None) -> tuple[float, str]:
    """Return the highest expected r with labels of one value, and what a reader must know about it."""
    if reliability is None:
        return math.nan, ""
    one = next((r for r in reliability if r.value == value and r.within), None)
    if one is None or math.isnan(one.estimate):
        return math.nan, "unmeasurable: label reliability not known"
    low = one.estimate < stats.LEAST_RELIABILITY
    noisy = f"unmeasurable: label reliability {one.estimate:z.2f}" if low else ""
    return one.ceiling, _join(noisy, "ceiling of the whole benchmark")


def _join(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
