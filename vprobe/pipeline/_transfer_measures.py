"""What a steered model's answers to an instrument come to: changes along labels, named words, points given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats as scipy_stats

from vprobe import controls, scores, stats
from vprobe.scoring import as_answers, valuelex
from vprobe.scoring import svo as rule
from vprobe.types import Benchmark, Response
from vprobe.values import VALUELEX_SUB

DRAWS = 999
NAMED = {
    "achievement": ("self_competent", 1), "self_direction": ("self_competent", 1), "benevolence": ("social", 1),
    "universalism": ("idealistic", 1), "tradition": ("ethical", 1), "conformity": ("professional", 1),
    "security": ("professional", 1), "power": ("social", -1),
}  # fmt: skip
"""ValueLex sub-dimension that must be named more or less often when a value is steered. A choice of ours, made before
anything was measured: nobody has published a map from the ten values."""
GIVEN = {"benevolence": 1, "universalism": 1, "power": -1, "achievement": -1}
"""Way the SVO angle must turn: up is more for the other. Values that say nothing of it have no prediction."""


@dataclass(frozen=True)
class Change:
    """What an instrument says of one arm and its opposite, unit by unit.

    Args:
        each: Half the change of every item, stem or choice; NaN where one side has no usable answer.
        base: The same measure without steering.
        groups: What is drawn together.
        labels: How far each item expresses the value; all 1 where changes are simply averaged.
        along: Whether changes are regressed on labels.
        predicted: +1, -1 or 0.
        measure: In words.
        unit: Of the estimate.
    """

    each: Float[np.ndarray, " unit"]
    base: float
    groups: tuple[str, ...]
    labels: Float[np.ndarray, " unit"]
    along: bool
    predicted: int
    measure: str
    unit: str


@dataclass(frozen=True)
class Estimate:
    """One number with its interval and p."""

    value: float
    low: float
    high: float
    p: float
    n: int


def measured(
    benchmark: Benchmark, value: str, base: Sequence[Response], up: Sequence[Response], down: Sequence[Response]
) -> Change | None:
    """Return how far answers under a dose differ from those under its opposite; None where nothing is said of a value.

    Args:
        benchmark: The instrument.
        value: Value steered.
        base: Answers without steering.
        up: Under the outermost dose.
        down: Under its opposite.
    """
    if benchmark.name == "valuelex":
        return _words(value, base, up, down)
    if benchmark.name == "svo":
        return _choices(value, base, up, down)
    items = tuple(dict.fromkeys(one.item_id for one in base))
    labels = benchmark.loadings(items, (value,))[:, 0] if value in benchmark.values else np.full(len(items), np.nan)
    if not np.isfinite(labels).any():
        return None
    each = (scores.rate(up, items).expected - scores.rate(down, items).expected) / 2
    own = benchmark.groups(items)
    groups = own if len(set(own)) < len(own) else ("",) * len(own)  # one item to a query: compare over items
    where = "within queries" if groups is own else "over items"
    return Change(each, math.nan, groups, labels, True, 1, f"change along the label, {where}", "points per SD of label")


def estimate(change: Change, *, seed: int) -> Estimate:
    """Return the size of a change with its interval, and p against labels shuffled or signs flipped.

    Args:
        change: What was measured.
        seed: Seed of bootstrap and permutations.
    """
    known = np.isfinite(change.each) & np.isfinite(change.labels)
    n = int(known.sum())
    if n < 3:
        return Estimate(math.nan, math.nan, math.nan, math.nan, n)
    each, labels = change.each[known], change.labels[known]
    groups = tuple(name for name, kept in zip(change.groups, known, strict=True) if kept)
    if not change.along:
        ends = stats.interval(np.stack([each, np.ones(n)], axis=1), lambda t: t[..., 0] / t[..., 1], seed=seed)
        found = scipy_stats.permutation_test(
            (each,), np.mean, permutation_type="samples", n_resamples=DRAWS, rng=np.random.default_rng(seed)
        )
        return Estimate(float(each.mean()), ends.low, ends.high, float(found.pvalue), n)
    own = size(change)
    mixed = controls.shuffle_ratings(labels, groups, draws=DRAWS, seed=seed)
    null = np.array([_slope(each, one, groups) for one in mixed])
    code = np.arange(n) if set(groups) == {""} else stats.codes(groups)
    x, y = _centred(each, labels, groups)
    spread = math.sqrt(float((x**2).sum()) / max(n - len(set(groups)), 1))
    parts = np.bincount(code, x * y)[:, None] * (spread / max(float((x**2).sum()), 1e-300))
    ends = stats.interval(
        parts, lambda t: t[..., 0], seed=seed
    )  # the labels stay: a draw may hold no item of the value
    p = float(stats.permutation_p(np.abs(np.array([own])), np.abs(null)[:, None])[0])
    return Estimate(own, ends.low, ends.high, p, n)


def size(change: Change) -> float:
    """Return the size of a change alone, as it is wanted of many null vectors.

    Args:
        change: What was measured.
    """
    known = np.isfinite(change.each) & np.isfinite(change.labels)
    if known.sum() < 3:
        return math.nan
    if not change.along:
        return float(change.each[known].mean())
    groups = tuple(name for name, kept in zip(change.groups, known, strict=True) if kept)
    return _slope(change.each[known], change.labels[known], groups)


def _centred(each: np.ndarray, labels: np.ndarray, groups: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    both = stats.centre(np.stack([labels, each], axis=1), stats.codes(groups))
    return both[:, 0], both[:, 1]


def _slope(each: np.ndarray, labels: np.ndarray, groups: tuple[str, ...]) -> float:
    """Return the within-group slope of the change on the label, times the label's SD within groups."""
    x, y = _centred(each, labels, groups)
    total = float((x**2).sum())
    if not total > 0:
        return math.nan
    return float((x * y).sum() / total * math.sqrt(total / max(len(x) - len(set(groups)), 1)))


def _words(value: str, *answers: Sequence[Response]) -> Change | None:
    """Return per stem how far completions name the sub-dimension that a value is to bring out."""
    sub, way = NAMED.get(value, ("", 0))
    if not way:
        return None
    stems = tuple(dict.fromkeys(one.item_id for one in answers[0]))
    named = []
    for some in answers:
        texts = {one.item_id: one.text or "" for one in some}
        shares = valuelex.by_words([texts.get(stem, "") for stem in stems])
        named.append(shares[:, VALUELEX_SUB.index(sub)])
    base, up, down = named
    level = float(np.nanmean(base)) if np.isfinite(base).any() else math.nan
    measure = f"completions that name {sub.replace('_', ' ')}"
    return Change((up - down) / 2, level, stems, np.ones(len(stems)), False, way, measure, "share of value words")


def _choices(value: str, *answers: Sequence[Response]) -> Change:
    """Return per choice how many points more go to the other than to oneself, of the likeliest option.

    One choice asked in several wordings is one unit, the mean over those answered under both doses: wordings of it say
    much the same, and counted one by one would make six choices look like many.
    """
    gaps, angles = [], []
    for some in answers:
        table = as_answers(some, respondent="model", likeliest=True)
        cube = table.cube()[0]
        given = np.stack([rule.amounts(cube[version][None, :])[0] for version in range(len(table.versions))])
        gaps.append(given[..., 1] - given[..., 0])
        angles.append(float(np.nanmean(rule.version_angles(table))))
    base, up, down = gaps
    moved = _over_versions((up - down) / 2)
    names = tuple(f"{n}" for n in range(len(moved)))
    measure = f"points for the other less for oneself, per choice; angle {angles[2]:.1f} to {angles[1]:.1f} degrees"
    return Change(moved, float(np.nanmean(base)), names, np.ones(len(moved)), False, GIVEN.get(value, 0), measure,
                  "points")  # fmt: skip


def _over_versions(x: Float[np.ndarray, "version choice"]) -> Float[np.ndarray, " choice"]:
    """Return the mean over the versions that are known; NaN where none is."""
    n = np.isfinite(x).sum(axis=0)
    return np.where(n > 0, np.nansum(x, axis=0) / np.maximum(n, 1), np.nan)
