"""Whether demographic personas move a model's values as the groups they name differ among people."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import sparse

from vprobe import stats
from vprobe.errors import InputError
from vprobe.ess._groups import GroupRow
from vprobe.ess._read import AXES

ORDERED = ("age", "politics", "education")
"""Axes of the survey whose levels have an order."""


@dataclass(frozen=True)
class Effect:
    """How far a persona moves a model on one value.

    Args:
        axis: Such as "age".
        level: Such as "under_30".
        value: Canonical value name.
        difference: Score under the persona less score without it, centred rating points; NaN when there are no items.
        low: Lower end of the 95 % interval over queries; NaN where none is made.
        high: Upper end.
        n: Items of the value answered both times.
        n_unscored: Items of the value that were not.
        option_mass: Mean total probability of the options under the persona; NaN where no log-probs were taken.
    """

    axis: str
    level: str
    value: str
    difference: float
    low: float
    high: float
    n: int
    n_unscored: int
    option_mass: float = math.nan


@dataclass(frozen=True)
class PairMatch:
    """A persona's effect beside the difference among people.

    Args:
        axis: Such as "age".
        level: Such as "under_30".
        value: Canonical value name.
        model: The persona's effect, centred rating points.
        people: The group's difference from everybody, centred rating points.
        same_sign: 1 when both go the same way, 0 when not; NaN when one is not known or exactly 0.
        clear: True when neither interval holds 0.
    """

    axis: str
    level: str
    value: str
    model: float
    people: float
    same_sign: float
    clear: bool


@dataclass(frozen=True)
class TrendMatch:
    """Whether a value rises or falls along an ordered axis in the model as it does among people.

    Args:
        axis: Such as "age".
        value: Canonical value name.
        n_levels: Levels known for both.
        model: Rank correlation of the personas' effects with the order of levels; NaN below three levels.
        people: The same for people.
        monotone_model: 1 when every step goes one way, 0 when not, NaN below three levels.
        monotone_people: The same for people.
        same_direction: 1 when both correlations have one sign, 0 when not; NaN when one is 0 or not known.
    """

    axis: str
    value: str
    n_levels: int
    model: float
    people: float
    monotone_model: float
    monotone_people: float
    same_direction: float


@dataclass(frozen=True)
class AxisMatch:
    """How often effects and group differences of one axis agree.

    Args:
        axis: Such as "age".
        n: Pairs of level and value whose sign can be compared.
        same_sign: Share of them that go the same way; chance is about a half. NaN without any.
        n_clear: Pairs where neither interval holds 0.
        same_sign_clear: Share of those that go the same way.
        r: Correlation of effects with group differences over all pairs of the axis; NaN below three.
        ratio: Slope of effects on differences through 0: above 1 the model overdraws, below 1 it plays down.
    """

    axis: str
    n: int
    same_sign: float
    n_clear: int
    same_sign_clear: float
    r: float
    ratio: float


@dataclass(frozen=True)
class Comparison:
    """Persona effects against differences among people, pair by pair, along ordered axes, and axis by axis."""

    pairs: tuple[PairMatch, ...]
    trends: tuple[TrendMatch, ...]
    axes: tuple[AxisMatch, ...]


def effects(
    persona: Float[np.ndarray, " item"],
    vanilla: Float[np.ndarray, " item"],
    keys: Float[np.ndarray, "item value"],
    values: Sequence[str],
    groups: Sequence[str],
    *,
    axis: str,
    level: str,
    seed: int,
    resamples: int = 1000,
) -> tuple[Effect, ...]:
    """Return how far a persona moves a model on each value, item by item against the same model without it.

    A score is the mean rating of a value's items less the mean of all keyed items, each once, those keyed -1 turned
    round (by their largest key). The difference of two such scores is taken over the items answered both times; its
    interval draws whole queries.

    Args:
        persona: One rating per item under the persona; NaN is unscored.
        vanilla: The same items without it.
        keys: Above 0 where an item speaks for a value, below 0 where against, else 0 or NaN.
        values: Names of the columns.
        groups: The query of each item.
        axis: Axis of the persona.
        level: Level of the persona.
        seed: Seed of the bootstrap.
        resamples: Draws of the bootstrap.

    Raises:
        InputError: Arrays of different length.
    """
    sizes = {len(persona), len(vanilla), len(keys), len(groups)}
    if len(sizes) > 1 or keys.shape[1] != len(values):
        raise InputError(
            f"{sorted(sizes)} items, {keys.shape[1]} columns for {len(values)} values", where="persona effects",
            expected="as many ratings as rows of keys and groups, and one name per column",
        )  # fmt: skip
    sign = np.sign(np.nan_to_num(keys))
    gap = (persona - vanilla)[:, None]
    known = np.isfinite(gap) & (sign != 0)
    moved = np.where(known, np.nan_to_num(gap) * sign, 0.0)
    code = stats.codes(groups)
    member = sparse.csr_array((np.ones(len(code)), (code, np.arange(len(code)))))
    mine, n = member @ moved, member @ known.astype(np.float64)
    largest = np.abs(np.nan_to_num(keys)).argmax(axis=1)
    rows_of = np.arange(len(keys))
    every, of = member @ moved[rows_of, largest], member @ known[rows_of, largest].astype(np.float64)
    rows = []
    for column, value in enumerate(values):
        parts = np.stack([mine[:, column], n[:, column], every, of], axis=1)
        ends = stats.interval(parts[of > 0], _above, seed=seed, resamples=resamples)
        used, keyed = int(known[:, column].sum()), int((sign[:, column] != 0).sum())
        found = float(_above(parts.sum(axis=0)))
        rows.append(Effect(axis, level, value, found, ends.low, ends.high, used, keyed - used))
    return tuple(rows)


def _above(parts: Float[np.ndarray, "*draw 4"]) -> Float[np.ndarray, "*draw"]:
    """Return the mean of a value's items less the mean of all, from (sum, n, sum of all, n of all)."""
    mine, n, every, of = np.moveaxis(parts, -1, 0)
    return np.asarray(np.where(n > 0, mine / np.maximum(n, 1.0) - every / np.maximum(of, 1.0), np.nan))


def compare(found: Sequence[Effect], people: Sequence[GroupRow]) -> Comparison:
    """Set persona effects beside group differences among people; axes the survey does not have are left out.

    Args:
        found: From `effects`, any personas.
        people: From `groups`.

    Raises:
        InputError: One persona and value twice.
    """
    keys = [(one.axis, one.level, one.value) for one in found]
    if len(set(keys)) < len(keys):
        raise InputError("a persona and value stand there twice", where="comparison with people", expected="each once")
    among = {(one.axis, one.level, one.value): one for one in people}
    pairs = tuple(_pair(one, among[key]) for key, one in zip(keys, found, strict=True) if key in among)
    names = tuple(axis.name for axis in AXES if any(one.axis == axis.name for one in pairs))
    values = tuple(dict.fromkeys(one.value for one in pairs))
    trends = tuple(_trend(axis, value, pairs) for axis, value in itertools.product(names, values) if axis in ORDERED)
    return Comparison(pairs, trends, tuple(_axis(name, pairs) for name in names))


def _pair(effect: Effect, group: GroupRow) -> PairMatch:
    return PairMatch(
        axis=effect.axis,
        level=effect.level,
        value=effect.value,
        model=effect.difference,
        people=group.difference,
        same_sign=_alike(effect.difference, group.difference),
        clear=effect.low * effect.high > 0 and group.low * group.high > 0,
    )


def _alike(a: float, b: float) -> float:
    return math.nan if math.isnan(a * b) or a * b == 0 else float(a * b > 0)


def _trend(axis: str, value: str, pairs: Sequence[PairMatch]) -> TrendMatch:
    order = next(one.levels for one in AXES if one.name == axis)
    mine = [one for one in pairs if one.axis == axis and one.value == value]
    mine = [one for one in mine if math.isfinite(one.model) and math.isfinite(one.people)]
    mine = sorted(mine, key=lambda one: order.index(one.level))
    model, people = (np.array([getattr(one, side) for one in mine], np.float64) for side in ("model", "people"))
    steps = np.arange(float(len(mine)))
    a, b = stats.spearman(steps, model), stats.spearman(steps, people)
    return TrendMatch(axis, value, len(mine), a, b, _monotone(model), _monotone(people), _alike(a, b))


def _monotone(x: Float[np.ndarray, " level"]) -> float:
    steps = np.diff(x)
    return math.nan if len(x) < 3 else float((steps > 0).all() or (steps < 0).all())


def _axis(name: str, pairs: Sequence[PairMatch]) -> AxisMatch:
    mine = [one for one in pairs if one.axis == name]
    signs = np.array([one.same_sign for one in mine], np.float64)
    known = np.isfinite(signs)
    clear = known & np.array([one.clear for one in mine])
    both = [(one.model, one.people) for one in mine if math.isfinite(one.model) and math.isfinite(one.people)]
    model, people = np.array(both, np.float64).reshape(-1, 2).T
    size = float(people @ people)
    return AxisMatch(
        axis=name,
        n=int(known.sum()),
        same_sign=float(signs[known].mean()) if known.any() else math.nan,
        n_clear=int(clear.sum()),
        same_sign_clear=float(signs[clear].mean()) if clear.any() else math.nan,
        r=stats.pearson(model, people),
        ratio=float(model @ people) / size if size > 0 else math.nan,
    )
