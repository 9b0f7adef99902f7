"""Rows of ablation and interchange stand for the value, site and arm they name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from vprobe.config import RunConfig
from vprobe.effects import Followed
from vprobe.pipeline import _ablate, _interchange
from vprobe.pipeline._read import Asked
from vprobe.pipeline._trial import Tried
from vprobe.pipeline._under import Under
from vprobe.types import Direction, Site, Steering

from tests.toy_backend import Toy

NOTHING = Asked((), (), ())


def way(value: str, layer: int = 1) -> Direction:
    return Direction(np.eye(4, dtype=np.float32)[0], Site(layer), value, "partial", "write")


def told(effect: np.ndarray, spread: float = 0.02) -> Followed:
    """Slopes of some arms with draws close about them."""
    rng = np.random.default_rng(0)
    draws = effect + spread * rng.standard_normal((400, *effect.shape))
    n = effect.shape[1]
    return Followed(effect, draws, np.arange(effect.size, dtype=float).reshape(effect.shape), np.arange(n) / 10, 40, 2)


def test_each_value_is_set_beside_null_vectors_of_its_own_site_and_the_other_values() -> None:
    real = [way("power"), way("tradition", 2), way("hedonism")]
    drawn = {"isotropic": 2, "random": 1, "shuffled": 1}
    nulls = [(kind, way("power", layer)) for layer in (1, 2) for kind, n in drawn.items() for _ in range(layer + n)]
    every = [*(("target", one) for one in real), *nulls]
    effect = np.ones((1 + len(every), 3))
    effect[1:4] = [[0.2, 0.9, 1.0], [0.8, 0.3, 1.0], [0.7, 1.0, 0.4]]
    for n, (_, one) in enumerate(nulls, start=4):
        effect[n] = 0.6 if one.site.layer == 1 else 0.1
    rows = _ablate._rows(RunConfig(), every, told(effect), np.array([0.1, 0.2, 0.3, *[9.0] * len(nulls)]), 6)
    assert [(r.value, r.site) for r in rows] == [(one.value, str(one.site)) for one in real]
    assert [r.slope for r in rows] == [0.2, 0.3, 0.4] and [r.mean_shift for r in rows] == [0.1, 0.2, 0.3]
    assert [r.n_null for r in rows] == [2, 3, 2] and [r.share for r in rows] == [0.0, 0.1, 0.2]
    for n, row in enumerate(rows):
        assert row.removed == pytest.approx(1 - (0.2 + 0.1 * n) ** 2) and row.low < row.removed < row.high
        layer = real[n].site.layer
        assert row.isotropic == row.random == row.shuffled == pytest.approx(0.64 if layer == 1 else 0.99)
        others = [1 - effect[1 + i, n] ** 2 for i in range(3) if i != n]
        assert row.other == pytest.approx(np.quantile(others, 0.95))
        assert row.reach == max(row.isotropic, row.other) and row.others_low < row.others < row.others_high
    assert [r.beyond for r in rows] == [True, False, True]


def test_an_ablation_is_beyond_its_nulls_only_with_its_whole_interval() -> None:
    every = [("target", way("power")), *((kind, way("power")) for kind in _ablate.NULLS)]
    effect = np.array([[1.0], [0.5], [0.6], [0.6], [0.6]])
    for spread, beyond in ((0.01, True), (0.1, False)):
        (row,) = _ablate._rows(RunConfig(), every, told(effect, spread), np.zeros(4), 6)
        assert row.removed > row.reach and row.beyond is beyond and math.isnan(row.other)


def pairs_of(x: np.ndarray, sites: tuple[Site, ...], asked: Asked = NOTHING) -> _interchange.Pairs:
    names = tuple(f"p{n}" for n in range(len(x)))
    return _interchange.Pairs(Under(names, asked, Tried(np.arange(0), True, asked, (), (), ())), x, sites)


def test_a_value_that_is_exchanged_has_its_own_arm_its_own_nulls_and_a_share_of_the_natural_slope() -> None:
    real = {"power": way("power"), "tradition": way("tradition", 2)}
    nulls = tuple(("random", way("power", layer)) for layer in (1, 1, 2, 2, 2))
    # natural, whole, taken (2), nulls (5), ablated (2)
    effect = np.array([[0.5, 0.4], [0.45, 0.5], [0.48, 9.0], [9.0, 0.36], *[[0.1, 9.0]] * 2, *[[9.0, -0.3]] * 3,
                       [0.49, 9.0], [9.0, 0.41]])  # fmt: skip
    ways = _ablate.Ways(real, nulls, ())
    pairs = pairs_of(np.zeros((3, 1, 2, 4), np.float32), (Site(1), Site(2)))
    one, other = _interchange._rows(RunConfig(), pairs, ways, told(effect), 0.9)
    assert (one.slope, one.natural, one.whole, one.ablated) == (0.48, 0.5, 0.45, 0.49)
    assert (other.slope, other.natural, other.whole, other.ablated) == (0.36, 0.4, 0.5, 0.41)
    assert one.reach == pytest.approx(0.1) and other.reach == pytest.approx(0.3), "either way"
    assert (one.n_null, other.n_null, one.n_pairs) == (2, 3, 3)
    assert one.ratio == pytest.approx(0.96) and other.ratio == pytest.approx(0.9)
    for row in (one, other):
        assert row.agrees and row.recovered == 0.9
        assert row.ratio_low < row.ratio < row.ratio_high and row.natural_low < row.natural < row.natural_high


def test_a_persona_takes_over_from_the_next_and_the_whole_is_put_in_where_the_last_value_is_read(monkeypatch) -> None:
    x = np.arange(3 * 2 * 4, dtype=np.float32).reshape(3, 1, 2, 4)
    pairs = pairs_of(x, (Site(1), Site(2)))
    np.testing.assert_array_equal(pairs.source, x[[1, 2, 0]])
    made: list[tuple[str, Direction]] = []

    def seen(self: _interchange.Pairs, operation: str, one: Direction, positions: str) -> list[Steering]:
        made.append((operation, one))
        raise StopIteration

    monkeypatch.setattr(_interchange.Pairs, "taken", seen)
    ways = _ablate.Ways({"tradition": way("tradition", 2), "power": way("power")}, (), ())
    backend: Any = Toy()
    with pytest.raises(StopIteration):
        _interchange.exchanged(backend, RunConfig(), pairs, ways, np.ones(2), lambda *_: None)
    assert [(name, one.site) for name, one in made] == [("patch", Site(2))]
