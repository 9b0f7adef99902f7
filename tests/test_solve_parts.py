"""The parts of `steer solve` on ratings that are known: which queries, which unit, which differences, which row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from vprobe import effects, steering
from vprobe.config import RunConfig
from vprobe.errors import InputError, RefusedError
from vprobe.pipeline import Wish, _solve
from vprobe.pipeline._manner import Manner
from vprobe.pipeline._push import Push
from vprobe.pipeline._read import Asked
from vprobe.pipeline._trial import Tried
from vprobe.pipeline._wish import Point
from vprobe.scores import Behavior
from vprobe.types import Direction, Item, Loading, Site, Steering

from tests.fake_backend import FakeBackend

VALUES = ("power", "benevolence", "security")
STRAIGHT = np.array([[1.0, -0.4, 0.3], [-0.5, 1.2, 0.1], [0.2, 0.1, 0.8]])
"""Points per SD of label (column) per unit of dose of each vector (row)."""
EVEN, CUBED = 0.7, 0.9
"""What the square and the third power of a dose add to a vector's own value."""
SPREAD = np.array([0.5, 2.0, 1.5])


@cache
def tried(queries: int = 80) -> Tried:
    rng = np.random.default_rng(0)
    items = tuple(
        Item(f"i{k}", f"q{k // 6}", "s", "message", "t", "r", loadings=tuple(
            Loading(value, float(x)) for value, x in zip(VALUES, rng.uniform(-1, 1, size=3), strict=True)
        ))
        for k in range(6 * queries)
    )  # fmt: skip
    ids, groups = tuple(item.id for item in items), tuple(item.group for item in items)
    return Tried(np.arange(3), True, Asked((), (), ()), ids, groups, items)


def push(value: str, k: int, size: float = 2.0) -> Push:
    vector = Direction(np.eye(8, dtype=np.float32)[k], Site(k), value, "test", "write", unit=1.0)
    return Push(vector, Manner(steering.load("add"), "all"), lambda sign: size, f"unit {k}")


def doses(arm: Sequence[Steering]) -> np.ndarray:
    """Doses of the values' vectors, whatever the order in which they are put in; a strength of 1 is 2 units."""
    out = np.zeros(3)
    for one in arm:
        out[VALUES.index(one.direction.value)] += one.coefficient / 2.0
    return out


def moved(c: np.ndarray) -> np.ndarray:
    return c @ STRAIGHT + EVEN * c**2 + CUBED * c**3


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    asked: list[tuple[int, int]] = []

    def rated(config: Any, on: Tried, backend: Any, arms: Sequence[Any], tell: Any) -> list[Behavior]:
        asked.append((len(set(on.groups)), len(arms)))
        labels = on.labels_of(VALUES)
        query = np.array([int(group[1:]) for group in on.groups])
        late = np.where(query < 60, 1.0, 3.0)  # later queries respond three times as much
        base = 3.0 + 0.1 * query + labels @ [0.3, 0.2, 0.1]
        made = [base + late * (labels / SPREAD @ moved(doses(arm))) for arm in arms]
        return [behavior(on, one) for one in made]

    monkeypatch.setattr(_solve, "rated", rated)
    pushes = {value: push(value, k) for k, value in enumerate(VALUES)}
    config = replace(RunConfig(), strengths=(-0.4, 0.2), seed=0)
    made = _solve._Bench(config, FakeBackend(), pushes, SPREAD, tried(), (), lambda done, total: None)  # type: ignore[arg-type]
    return made, asked


def behavior(on: Tried, expected: np.ndarray) -> Behavior:
    made = Behavior.__new__(Behavior)
    object.__setattr__(made, "expected", expected)
    return made


def test_first_effects_are_central_differences_at_a_quarter_of_the_largest_dose_on_the_first_queries(
    bench: Any,
) -> None:
    made, asked = bench
    found = made.first(0.8)
    np.testing.assert_allclose(found, STRAIGHT + CUBED * 0.2**2 * np.eye(3), atol=1e-9)
    assert asked == [(60, 6), (60, 1)] or asked == [(60, 1), (60, 6)]


def test_changes_count_from_the_ratings_without_steering_in_the_spread_given(bench: Any) -> None:
    made, _ = bench
    few = replace(made, items=made.items.only(frozenset(f"q{k}" for k in range(60))))
    arms = [np.array([0.3, 0.0, -0.2]), np.zeros(3), np.array([0.0, 0.5, 0.1])]
    np.testing.assert_allclose(few.moved(arms).effect, [moved(arm) for arm in arms], atol=1e-9)
    changes = made.steered(arms[0])
    assert [(one.direction.value, one.coefficient) for one in changes] == [("power", 0.6), ("security", -0.4)]


def test_halves_are_every_second_query_and_share_none(bench: Any) -> None:
    tune, test = _solve._halves(tried())
    assert set(tune.groups) == {f"q{k}" for k in range(0, 80, 2)}
    assert set(test.groups) == {f"q{k}" for k in range(1, 80, 2)}
    assert len(tune.item_ids) == len(test.item_ids) == 240 and tune.item_ids == tuple(i.id for i in tune.items)
    _solve._halves(tried(6))
    with pytest.raises(RefusedError, match="5 held-out queries"):
        _solve._halves(tried(5))


def test_the_largest_dose_is_that_of_either_side(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = bench
    seen: list[float] = []

    def run(self: Any, first: np.ndarray) -> Point:
        seen.append(self.most)
        np.testing.assert_allclose(self.moved(np.zeros(3)), np.zeros(3), atol=1e-9)
        return Point(np.zeros(3), np.zeros(3))

    monkeypatch.setattr(_solve.Search, "run", run)
    _solve._search(made, Wish((("power", 0.3),)))
    assert seen == [0.4]
    for none in ((), (0.0,)):
        with pytest.raises(InputError, match="no dose beside 0"):
            _solve._search(replace(made, config=replace(made.config, strengths=none)), Wish((("power", 0.3),)))


def test_nothing_is_asked_of_the_model_where_no_dose_is_put_in(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = bench
    tokens = np.array([[0.5, 2.0, 2.0, 1.0], [0.1, 2.0, 2.0, 3.0]])
    monkeypatch.setattr(_solve, "drift", lambda *_: tokens)
    assert made.kl(np.zeros(3)) == 0.0 and made.kl(np.array([0.1, 0.0, 0.0])) == pytest.approx(0.8 / 4)


def test_rows_hold_what_was_wanted_tuned_and_reached(bench: Any) -> None:
    made, _ = bench
    effect, low, high = (
        np.array([[0.31, 0.02, 0.5]]),
        np.array([[0.11, -0.08, math.nan]]),
        np.array([[0.51, 0.12, 1.0]]),
    )
    reached = effects.Matrix(effect, low, high, np.zeros((0, 1, 3)), "unique", SPREAD, 200, 3)
    best = Point(np.array([0.2, -0.1, 0.05]), np.array([0.3, 0.001, 0.4]), 9.0, 4)
    wish = Wish((("power", 0.3),), ("benevolence",))
    power, kind, safe = _solve._rows(wish, made, best, reached, 0.7)
    assert (power.role, kind.role, safe.role) == ("target", "keep", "free")
    assert (power.wanted, kind.wanted) == (0.3, 0.0) and math.isnan(safe.wanted) and math.isnan(safe.miss)
    assert power.miss == pytest.approx(0.01) and kind.miss == pytest.approx(0.02)
    assert (power.strength, power.tuned, power.reached, power.kl, power.rounds) == (0.2, 0.3, 0.31, 0.7, 4)
    assert (power.n_items, power.n_tuned) == (200, 480) and (kind.spread, kind.site) == (2.0, "resid_post.1")
    assert power.n_needed == math.ceil(200 * (0.2 / 0.05) ** 2) and kind.n_needed == 200 * 4
    assert math.isnan(safe.n_needed) and (kind.operation, kind.dose) == ("add", "unit 1")
    facts = dict(_solve._facts(wish, [power, kind, safe]))
    assert facts["misses on untouched items"] == "power +0.010 (-0.190 to +0.210)"
    assert facts["items"] == "480 to choose doses, 200 untouched"


def test_intervals_are_drawn_from_the_seed_of_the_run(bench: Any) -> None:
    made, _ = bench
    arm = [np.array([0.3, 0.0, -0.2])]
    lows = [replace(made, config=replace(made.config, seed=seed)).moved(arm).low for seed in (1, 1, 2)]
    assert (lows[0] == lows[1]).all() and (lows[0] != lows[2]).any()
