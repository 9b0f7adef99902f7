"""Scores of instruments whose items are tagged with scales: how far a scale's items lie above all tagged items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats as scipy_stats

from vprobe import stats
from vprobe.errors import InputError, unknown
from vprobe.types import AnswerTable, Benchmark, ScaleRow

KIND = "rating"
UNIT = "rating points above the mean of the family's tagged items"
FEWEST_QUERIES = 3
"""An interval over queries needs at least this many."""


@dataclass(frozen=True)
class Family:
    """Scales scored together, and the items each is measured by.

    Args:
        name: Such as "pvq".
        scales: Canonical value names.
        member: True where an item is tagged with a scale; items in the order of the benchmark.
    """

    name: str
    scales: tuple[str, ...]
    member: Bool[np.ndarray, "item scale"]


@dataclass(frozen=True)
class _Scored:
    """Numbers of one family for every respondent and scale.

    Args:
        raw: Mean of the scale's items.
        base: Mean of all tagged items of the family, each once.
        spread: Standard deviation over the scale's items.
        n: Items used.
        half: Half the width of the 95 % interval.
    """

    raw: Float[np.ndarray, "respondent scale"]
    base: Float[np.ndarray, " respondent"]
    spread: Float[np.ndarray, "respondent scale"]
    n: Float[np.ndarray, "respondent scale"]
    half: Float[np.ndarray, "respondent scale"]


def family(
    benchmark: Benchmark,
    name: str,
    scales: Sequence[str],
    *,
    above: float,
    p_below: float | None = None,
    without: Sequence[tuple[str, str]] = (),
) -> Family:
    """Tag items with the scales they load on.

    Args:
        benchmark: The items.
        name: Name of the family.
        scales: Its scales.
        above: A tag needs a loading larger than this.
        p_below: And a p smaller than this; None asks for no p.
        without: (item id, scale) that are not tagged whatever their loading.
    """
    member = benchmark.loadings(tuple(item.id for item in benchmark.items), tuple(scales)) > above
    if p_below is not None:
        p = [{one.value: one.p for one in item.loadings} for item in benchmark.items]
        member &= np.array([[row.get(scale, math.nan) < p_below for scale in scales] for row in p], dtype=bool)
    left_out = set(without)
    for row, item in enumerate(benchmark.items):
        for column, scale in enumerate(scales):
            member[row, column] &= (item.id, scale) not in left_out
    return Family(name, tuple(scales), member)


def score(
    answers: AnswerTable,
    benchmark: Benchmark,
    families: Sequence[Family],
    *,
    rule: str,
    lost: Bool[np.ndarray, "respondent item"] | None = None,
    less: Float[np.ndarray, " item"] | None = None,
) -> tuple[ScaleRow, ...]:
    """Score every respondent on every scale: mean of the scale's items less the mean of the family's tagged items.

    An item's rating is its mean over the versions answered, all alike. Items without an answer drop out and are
    counted. The interval treats queries as drawn at random, see `_half_width`.

    Args:
        answers: Any respondents, versions of the benchmark, items of the benchmark.
        benchmark: The items.
        families: Each with its own baseline.
        rule: Named in the rows.
        lost: True where a respondent's item has no tags; items in the order of the benchmark.
        less: Taken off the item ratings first, such as other people's mean ratings.

    Raises:
        InputError: An item or a version the benchmark does not have.
    """
    cube = _aligned(answers, benchmark)
    cube = cube if less is None else cube - less
    x = _over_versions(cube)
    used = np.isfinite(x) if lost is None else np.isfinite(x) & ~lost
    groups = stats.codes([item.group for item in benchmark.items])
    mass = answers.masses()
    scored = [_family_scores(x, used, one.member, groups) for one in families]
    return tuple(
        _row(answers.respondents[at], benchmark.name, rule, one, found, at, column, cube[at], used[at], float(mass[at]))
        for at in range(len(answers.respondents))
        for one, found in zip(families, scored, strict=True)
        for column in range(len(one.scales))
    )


def _row(
    respondent: str,
    instrument: str,
    rule: str,
    one: Family,
    found: _Scored,
    at: int,
    column: int,
    table: Float[np.ndarray, "version item"],
    used: Bool[np.ndarray, " item"],
    mass: float,
) -> ScaleRow:
    items = one.member[:, column]
    repeat, of = _reliability(table[:, items & used])
    estimate, half = float(found.raw[at, column] - found.base[at]), float(found.half[at, column])
    return ScaleRow(
        respondent=respondent,
        instrument=instrument,
        family=one.name,
        scale=one.scales[column],
        kind=KIND,
        rule=rule,
        estimate=estimate,
        raw=float(found.raw[at, column]),
        spread=float(found.spread[at, column]),
        n=int(found.n[at, column]),
        n_unscored=int(items.sum() - found.n[at, column]),
        unit=UNIT,
        low=estimate - half,
        high=estimate + half,
        option_mass=mass,
        reliability=repeat,
        reliability_of=of,
    )


def _aligned(answers: AnswerTable, benchmark: Benchmark) -> Float[np.ndarray, "respondent version item"]:
    """Return the answers with items in the order of the benchmark; NaN for items nobody was asked."""
    for version in answers.versions:
        if version not in benchmark.versions:
            raise unknown("version", version, benchmark.versions, where=f"answers to {benchmark.name}")
    row = {item.id: i for i, item in enumerate(benchmark.items)}
    lost = [name for name in answers.item_ids if name not in row]
    if lost:
        raise InputError(
            f"{len(lost)} items are not in {benchmark.name}, first {lost[0]!r}",
            where="answers",
            expected=f"some of its {len(row)} items",
            do="score answers with the instrument they were given to",
        )
    out = np.full((len(answers.respondents), len(answers.versions), len(row)), np.nan)
    out[:, :, [row[name] for name in answers.item_ids]] = answers.cube()
    return out


def _over_versions(cube: Float[np.ndarray, "respondent version item"]) -> Float[np.ndarray, "respondent item"]:
    known = np.isfinite(cube)
    n = known.sum(axis=1)
    return np.where(n > 0, np.where(known, cube, 0.0).sum(axis=1) / np.maximum(n, 1), np.nan)


def _family_scores(
    x: Float[np.ndarray, "respondent item"],
    used: Bool[np.ndarray, "respondent item"],
    member: Bool[np.ndarray, "item scale"],
    groups: np.ndarray,
) -> _Scored:
    filled, there = np.where(used, x, 0.0), used.astype(np.float64)
    tags, union = member.astype(np.float64), member.any(axis=1).astype(np.float64)
    n, n_union = there @ tags, there @ union
    raw, base = _ratio(filled @ tags, n), _ratio(filled @ union, n_union)
    spread, half = np.full(raw.shape, np.nan), np.full(raw.shape, np.nan)
    off_base = np.where(used & (union > 0), x - base[:, None], 0.0)
    by_query = np.eye(groups.max() + 1)[groups]
    for column in range(len(tags[0])):
        part = used & member[:, column]
        off = np.where(part, x - raw[:, column, None], 0.0)
        spread[:, column] = np.sqrt(_ratio((off**2).sum(axis=1), n[:, column]))
        pull = _ratio(off, n[:, column, None]) - _ratio(off_base, n_union[:, None])
        half[:, column] = _half_width(pull @ by_query, (part @ by_query > 0).sum(axis=1))
    return _Scored(raw, base, spread, n, half)


def _half_width(pull: Float[np.ndarray, "respondent query"], n_queries: np.ndarray) -> Float[np.ndarray, " respondent"]:
    """Return half a 95 % interval of a difference of means, from how far each query pulls it.

    Linearised variance with queries as the units drawn, and Student's t with one degree of freedom less than the
    queries the scale has items in. Needs no draws, so the same answers give the same interval.

    Source: Binder (1983), International Statistical Review 51, 279-292.
    """
    enough = n_queries >= FEWEST_QUERIES
    n = np.where(enough, n_queries, FEWEST_QUERIES)
    width = scipy_stats.t.ppf(0.975, n - 1) * np.sqrt(n / (n - 1) * (pull**2).sum(axis=1))
    return np.where(enough, width, np.nan)


def _reliability(table: Float[np.ndarray, "version item"]) -> tuple[float, str]:
    """Return how repeatable the item ratings are over the versions answered, and what that is called."""
    asked = table[np.isfinite(table).any(axis=1)]
    if len(asked) < 2:
        return math.nan, ""
    found = stats.icc(asked.T).icc3k
    return found, f"ICC(3,{len(asked)}) over versions" if math.isfinite(found) else ""


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1.0), np.nan)
