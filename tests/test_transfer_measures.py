"""What transfer makes of answers: sizes and signs by hand, and which figures are shown."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from vprobe import benchmarks, effects
from vprobe.config import RunConfig
from vprobe.pipeline import _said, _transfer
from vprobe.pipeline import _transfer_measures as measures
from vprobe.pipeline._read import Asked
from vprobe.scoring._svo_measure import payoffs
from vprobe.types import Direction, Response, Site, TransferRow

from tests.test_transfer import ratings
from tests.toy_backend import Toy

GROUPS = tuple(f"q{i // 5}" for i in range(60))
LABELS = np.random.default_rng(0).standard_normal(60)


def test_the_size_of_a_change_is_half_of_it_in_points_per_sd_of_label() -> None:
    found = benchmarks.load("everyday", limit=30)
    items = tuple(item.id for item in found.items)
    label = found.loadings(items, ("benevolence",))
    up, flat = ratings(found, 0.4 * label[:, 0]), ratings(found, np.zeros(len(items)))
    change = measures.measured(found, "benevolence", flat, up, flat)
    assert change is not None
    made = measures.estimate(change, seed=0)
    wanted = 0.1 * effects.label_spread(label, found.groups(items))[0]  # up moves a rating by 0.2 x label, down by none
    assert made.value == pytest.approx(wanted) == measures.size(change)
    assert made.low < made.value < made.high < 2 * made.value and made.n == len(items)


def told(word: str) -> tuple[Response, ...]:
    stems = benchmarks.load("valuelex", limit=6).items
    return tuple(Response(f"{s.id}/v1", s.id, s.group, s.source, "v1", (), None, word, None, "") for s in stems)


@pytest.mark.parametrize(("value", "predicted"), [("benevolence", 1), ("power", -1)])
def test_completions_count_half_of_what_one_dose_names_more_than_its_opposite(value: str, predicted: int) -> None:
    stems = benchmarks.load("valuelex", limit=6)
    change = measures.measured(stems, value, told("honesty"), told("kindness"), told("honesty"))
    assert change is not None and change.measure == "completions that name social"
    assert change.predicted == predicted and change.base == 0 and set(change.each) == {0.5}


def chosen(options: np.ndarray) -> tuple[Response, ...]:
    """Return choices among nine, the likeliest of them named."""
    out = []
    for item, number in zip(benchmarks.load("svo", limit=6).items, options, strict=True):
        logs = tuple(math.log(0.6 if n == number else 0.05) for n in range(1, 10))
        ratings_of = tuple(float(n) for n in range(1, 10))
        out.append(Response(f"{item.id}/v1", item.id, item.group, item.source, "v1", ratings_of, logs, None, None, ""))
    return tuple(out)


@pytest.mark.parametrize(("value", "predicted"), [("benevolence", 1), ("power", -1), ("tradition", 0)])
def test_choices_count_points_for_the_other_less_for_oneself(value: str, predicted: int) -> None:
    gap = payoffs().other[:6] - payoffs().own[:6]
    kind, mean = (gap.argmax(axis=1), gap.argmin(axis=1))
    change = measures.measured(benchmarks.load("svo", limit=6), value, chosen(mean + 1), chosen(kind + 1),
                               chosen(mean + 1))  # fmt: skip
    assert change is not None and change.predicted == predicted
    np.testing.assert_allclose(change.each, (gap.max(axis=1) - gap.min(axis=1)) / 2)
    assert change.base == pytest.approx(gap.min(axis=1).mean())
    down, up = change.measure.partition("angle ")[2].removesuffix(" degrees").split(" to ")
    assert float(down) < float(up)


# --- what is shown ---------------------------------------------------------------------------------------------------


def change(slope: float, *, predicted: int = 1, noise: float = 0.02) -> measures.Change:
    each = slope * LABELS + noise * np.random.default_rng(1).standard_normal(60)
    return measures.Change(each, math.nan, GROUPS, LABELS, True, predicted, "change along the label", "points")


def row(monkeypatch: pytest.MonkeyPatch, own: measures.Change, nulls: float, mass: float = 0.9) -> TransferRow:
    """Return the row of a change beside 40 null vectors of about a size."""
    rng = np.random.default_rng(2)
    some = [(own, mass), *((change(nulls * x), mass) for x in rng.uniform(-1, 1, 40))]
    monkeypatch.setattr(_transfer, "_changes", lambda *_: some)
    vector = Direction(np.ones(4, np.float32) / 2, Site(1), "power", "partial", "write")
    nothing = Asked((), (), ())
    found = benchmarks.load("everyday", limit=1)
    one, arms = _transfer._Instrument("everyday", found, nothing), _transfer._Arms(vector, 0.1, "residual norm", ())
    backend: Any = Toy()
    return _transfer._row(RunConfig(), backend, one, arms)


@pytest.mark.parametrize(
    ("own", "nulls", "mass", "shown"),
    [
        (change(0.5), 0.1, 0.9, True),
        (change(-0.5, predicted=-1), 0.1, 0.9, True),
        (change(-0.5), 0.1, 0.9, False),
        (change(0.5, predicted=-1), 0.1, 0.9, False),
        (change(0.5, predicted=0), 0.1, 0.9, False),
        (change(0.5), 2.0, 0.9, False),
        (change(0.1, noise=1.0), 0.01, 0.9, False),
        (change(0.5), 0.1, 0.3, False),
    ],
)
def test_an_effect_is_shown_only_as_predicted_beyond_its_nulls_and_of_a_model_that_answers(
    own, nulls, mass, shown, monkeypatch
) -> None:
    made = row(monkeypatch, own, nulls, mass)
    assert made.shown is shown and made.n_nulls == 40
    assert ("does not answer" in made.note) == (mass < 0.5)
    assert made.null_low < 0 < made.null_high


# --- own words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("moved", "strength", "against"), [(1, 0.5, 0), (1, -0.5, 12), (-1, 0.5, 12), (-1, -0.5, 0)])
def test_queries_that_go_against_the_dose_are_counted_whichever_way_it_goes(moved, strength, against) -> None:
    assert _said._against(moved * LABELS, LABELS, GROUPS, strength) == (against, 12)
    still = np.where(np.arange(60) < 5, 1.0, LABELS)
    assert _said._against(moved * still, still, GROUPS, strength)[1] == 11, "labels all alike have no slope"


def test_an_effect_against_the_label_is_as_unlikely_as_one_with_it() -> None:
    rng = np.random.default_rng(3)
    for sign in (1, -1):
        assert _said._p(sign * 0.5, sign * 0.5 * LABELS, LABELS, GROUPS, 0) == pytest.approx(0.001)
    assert _said._p(0.0, rng.standard_normal(60), LABELS, GROUPS, 0) > 0.5
