"""More ways to say how far two measures of the same items agree: concordance, correction for noise, absolute terms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.types import Agreement
from vprobe.values import ANGLES, HUMAN_COVARIANCE

GAMMA = "within-query concordance"
CORRECTED = "within-query r over its ceiling"
MARGIN = 0.3
"""Largest difference that counts as none, rating points: the median change when options are listed in reverse order."""
WITHIN = "ratings shuffled within queries"


def concordance(
    x: Float[np.ndarray, "sample value"],
    y: Float[np.ndarray, "sample #value"],
    groups: stats.Groups,
    shuffled: Float[np.ndarray, "draw sample #value"],
    *,
    comparison: str,
    values: Sequence[str],
    ceilings: Sequence[float] = (),
    site: str = "",
    method: str = "",
    seed: int,
    resamples: int = 1000,
) -> tuple[Agreement, ...]:
    """Return how often two measures prefer the same of two responses to one query, as Goodman and Kruskal's gamma.

    Args:
        x: One measure.
        y: The other; one column is used with every column of x.
        groups: The query of each sample.
        shuffled: The other measure shuffled within queries.
        comparison: What is compared, such as "probe~rating".
        values: Of the columns.
        ceilings: Highest expected r of each; turned into gamma as if both were normal. NaN or empty is not known.
        site: Where the probe reads.
        method: Direction method.
        seed: Seed of the bootstrap.
        resamples: Its draws.
    """
    pairs = stats.pairs_within(x, y, groups)
    observed = stats.gamma_of(pairs.totals)
    drawn = np.concatenate([stats.gamma_of(stats.pairs_within(x, one, groups).totals)[None] for one in shuffled])
    family = stats.max_t_p(np.abs(observed), np.abs(drawn))
    out = []
    for column, value in enumerate(values):
        parts = pairs.column(column)
        ends = stats.interval(parts, stats.gamma_of, seed=seed, resamples=resamples)
        side = y[:, column if y.shape[1] > 1 else 0]
        known = int((np.isfinite(x[:, column]) & np.isfinite(side)).sum())
        tied = int(pairs.tied[:, column].sum())
        top = ceilings[column] if ceilings else math.nan
        row = _row(
            "item", comparison, value, GAMMA, float(observed[column]), drawn[:, column], known, len(x), len(parts)
        )
        out.append(
            replace(
                row, low=ends.low, high=ends.high, p_family=float(family[column]), site=site, method=method,
                ceiling=2 / math.pi * math.asin(min(top, 1.0)) if math.isfinite(top) else math.nan,
                note=_join(
                    ends.reason and f"no interval: {ends.reason}", f"null: {WITHIN}", "p is two-sided",
                    f"{int(parts.sum())} pairs, {tied} tied",
                ),
            )
        )  # fmt: skip
    return tuple(out)


def corrected(
    x: Float[np.ndarray, "sample value"],
    others: Sequence[np.ndarray],
    groups: stats.Groups,
    *,
    comparison: str,
    values: Sequence[str],
    reliability_x: Sequence[float],
    reliability_y: Sequence[float],
    site: str = "",
    method: str = "",
    seed: int,
    resamples: int = 500,
) -> tuple[Agreement, ...]:
    """Return the within-query r over its ceiling, or why it is unmeasurable; the interval is of the whole ratio.

    Args:
        x: One measure.
        others: Per value the other measure, one column per version it was taken in (sample form).
        groups: The query of each sample.
        comparison: What is compared.
        values: Of the columns of x.
        reliability_x: Of each column of x; 1 for probe scores, which repeat exactly; NaN is not known.
        reliability_y: Of each of the others that has one version only; several versions tell their own.
        site: Where the probe reads.
        method: Direction method.
        seed: Seed of the bootstrap.
        resamples: Its draws.
    """
    out = []
    for column, (value, other) in enumerate(zip(values, others, strict=True)):
        found = stats.corrected(
            x[:, [column]], other, groups, reliability_x=reliability_x[column], reliability_y=reliability_y[column],
            seed=seed, resamples=resamples,
        )  # fmt: skip
        known = int((np.isfinite(x[:, column]) & np.isfinite(other).all(axis=1)).sum())
        row = _row("item", comparison, value, CORRECTED, found.estimate, np.empty(0), known, len(x), found.n_groups)
        note = _join(
            f"uncorrected r = {found.r:z.2f} of at most {found.ceiling:z.2f}", found.reason,
            f"reliabilities {found.reliability_x:z.2f} and {found.reliability_y:z.2f}" if not found.reason else "",
            "above 1: a reliability is too low, or luck" if found.estimate > 1 else "",
        )  # fmt: skip
        top = math.nan if found.reason else 1.0
        out.append(replace(row, low=found.low, high=found.high, ceiling=top, site=site, method=method, note=note))
    return tuple(out)


def forms(
    first: Float[np.ndarray, " sample"],
    second: Float[np.ndarray, " sample"],
    groups: stats.Groups,
    *,
    comparison: str,
    draws: int = 199,
    margin: float = MARGIN,
    seed: int,
    resamples: int = 1000,
) -> tuple[Agreement, ...]:
    """Compare two measures in the same unit: Lin's concordance, ICC(2,1), and whether their means are equivalent.

    Args:
        first: Such as ratings with the options in order.
        second: Such as ratings with the options reversed.
        groups: The query of each sample; queries are drawn, shuffled within, and one difference per query is tested.
        comparison: What is compared, such as "forward~reversed".
        draws: Shuffles within queries.
        margin: Largest difference that counts as none, same unit.
        seed: Seed of shuffles and bootstrap.
        resamples: Draws of the bootstrap.
    """
    code = stats.codes(groups)
    known = np.isfinite(first) & np.isfinite(second)
    rng = np.random.default_rng(seed)
    parts = _by_group(stats.moments(first, second), code, known)
    table = _by_group(stats.icc_moments(np.stack([first, second], axis=1)), code, known)
    mixed = [_shuffled(second, code, rng) for _ in range(draws)]
    null = np.array([
        [float(stats.ccc_of(stats.moments(first, one).sum(axis=0))),
         float(stats.icc_of(stats.icc_moments(np.stack([first, one], axis=1)).sum(axis=0))[1])]
        for one in mixed
    ]).reshape(-1, 2)  # fmt: skip
    n, of, used = int(known.sum()), len(first), len(parts)
    out = []
    for name, sums, statistic, column in (
        ("Lin's CCC", parts, stats.ccc_of, 0),
        ("ICC(2,1)", table, lambda totals: stats.icc_of(totals)[..., 1], 1),
    ):
        estimate = float(statistic(sums.sum(axis=0))) if used else math.nan
        ends = stats.interval(sums, statistic, seed=seed, resamples=resamples)
        row = _row("item", comparison, "all", name, estimate, null[:, column], n, of, used)
        out.append(replace(row, low=ends.low, high=ends.high, ceiling=1.0, note=_join(ends.reason, f"null: {WITHIN}")))
    return (*out, _difference(first, second, code, known, comparison, margin))


def _difference(
    first: np.ndarray, second: np.ndarray, code: np.ndarray, known: np.ndarray, comparison: str, margin: float
) -> Agreement:
    """Return bias, limits of agreement, equivalence and slope; tests take a pair per query, the limits all pairs."""
    means = np.array([[first[at].mean(), second[at].mean()] for g in np.unique(code[known])
                      if (at := (code == g) & known).any()]).reshape(-1, 2)  # fmt: skip
    same, far = stats.equivalence(means[:, 0], means[:, 1], margin=margin), stats.limits(first, second)
    trend = stats.limits(means[:, 0], means[:, 1])
    row = _row(
        "item", comparison, "all", "mean difference", same.difference, np.empty(0), int(known.sum()), len(first),
        len(means),
    )  # fmt: skip
    verdict = "equivalent" if same.equivalent else "not shown to be equivalent"
    note = _join(
        f"p of equivalence within {margin:g} points (two one-sided tests over queries): {verdict}",
        "90 % interval", f"95 % of differences from {far.low:z.2f} to {far.high:z.2f} points",
        f"slope of the difference on the mean, over queries, {trend.slope:z.2f} (p = {trend.slope_p:.2g})",
    )  # fmt: skip
    return replace(row, low=same.low, high=same.high, p=same.p, note=note)


def smooth(
    whole: Agreement,
    x: Float[np.ndarray, "10"],
    y: Float[np.ndarray, "10"],
    *,
    draws: int = 999,
    seed: int,
) -> Agreement:
    """Test the likeness of two profiles of the ten values against nulls in which neighbours are alike.

    Args:
        whole: A row about the two profiles, whose comparison, interval and counts are kept.
        x: One profile in the order of `values.SCHWARTZ`.
        y: The other.
        draws: Draws of each null.
        seed: Their seed.
    """
    found = stats.profile_test(
        x, y, np.array(ANGLES), covariance=np.array(HUMAN_COVARIANCE), draws=draws, seed=seed
    )  # fmt: skip
    return replace(
        whole, statistic="profile r, smooth nulls", estimate=found.r, p=found.p, p_family=math.nan,
        null_mean=found.null_mean, null_low=found.null_low, null_high=found.null_high, ceiling=math.nan,
        note=_join(f"null: {found.null}" if found.null else "a value is missing or a profile is flat",
                   "p is two-sided", "ten values on a circle are not ten points"),
    )  # fmt: skip


def blank(level: str, comparison: str, *, value: str = "all", n: int = 0, of: int = 0) -> Agreement:
    """Return a row without numbers, to be filled.

    Args:
        level: "item", "profile", "condition" or "model".
        comparison: What is compared.
        value: Canonical value name, or "all".
        n: Scored.
        of: Scored and unscored.
    """
    return _row(level, comparison, value, "", math.nan, np.empty(0), n, of, 0)


def _row(
    level: str, comparison: str, value: str, statistic: str, estimate: float, null: np.ndarray, n: int, of: int,
    groups: int,
) -> Agreement:  # fmt: skip
    exists = null[np.isfinite(null)]
    none = math.nan
    low, high = (float(one) for one in np.quantile(exists, [0.025, 0.975])) if len(exists) else (none, none)
    size = np.abs(null)[:, None]
    p = float(stats.permutation_p(np.array([abs(estimate)]), size)[0]) if len(exists) else none
    return Agreement(
        level=level, comparison=comparison, value=value, statistic=statistic, estimate=float(estimate), low=none,
        high=none, null_mean=float(exists.mean()) if len(exists) else none, null_low=low, null_high=high, p=p,
        ceiling=none, n_scored=n, n_unscored=of - n, n_groups=groups,
    )  # fmt: skip


def _by_group(cells: np.ndarray, code: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return sums per group, for the groups with a known pair."""
    out = np.zeros((int(code.max(initial=-1)) + 1, cells.shape[1]))
    np.add.at(out, code, cells)
    return out[np.bincount(code[known], minlength=len(out)) > 0]


def _shuffled(y: np.ndarray, code: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle the numbers that exist within each group."""
    out, known = y.copy(), np.flatnonzero(np.isfinite(y))
    place = known[np.lexsort((np.arange(len(known)), code[known]))]
    out[place] = y[known[np.lexsort((rng.random(len(known)), code[known]))]]
    return out


def _join(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
