"""Rows of the effect matrix by hand: excess over correlations, leaks of each target, and what moves all alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vprobe import effects
from vprobe.config import RunConfig
from vprobe.pipeline import _matrix
from vprobe.pipeline._push import push_of
from vprobe.types import Direction, EffectRow, Site
from vprobe.values import HUMAN_COVARIANCE, SCHWARTZ

from tests.toy_backend import Toy

VALUES = ("power", "benevolence", "tradition")
GROUPS = tuple(f"q{i // 5}" for i in range(80))
RNG = np.random.default_rng(5)
LABELS = RNG.standard_normal((80, 3)) @ (np.eye(3) + 0.4 * RNG.standard_normal((3, 3)))
METHODS = dict.fromkeys(VALUES, "partial")
DOSES, SHIFT, OWN = np.array([-0.2, 0.0, 0.1]), np.array([0.0, 3.0, -1.0]), np.array([4.0, 2.0, 1.0])
BASE = RNG.uniform(2.5, 4.5, 80)


def moved() -> _matrix._Moved:
    """Ratings that follow each target's own label and shift all items alike."""
    steps = np.stack([OWN[i] * LABELS[:, i] + SHIFT[i] for i in range(3)])
    ratings = BASE + DOSES[None, :, None] * steps[:, None]
    return _matrix._Moved(ratings, DOSES, LABELS, GROUPS, (1.0, 6.0))


def cells(kind: str) -> tuple[effects.Matrix, dict[tuple[str, str], EffectRow]]:
    one = moved()
    matrix = effects.effect_matrix(one.slopes, LABELS, GROUPS, kind=kind, seed=0, resamples=100)
    rows = _matrix._cells(matrix, one, METHODS, _matrix._leaks(one))
    return matrix, {(row.target, row.measured): row for row in rows}


@pytest.mark.parametrize("kind", ["marginal", "unique"])
def test_what_the_labels_correlation_brings_along_is_no_excess(kind: str) -> None:
    matrix, rows = cells(kind)
    spread = effects.label_spread(LABELS, GROUPS)
    for i, value in enumerate(VALUES):
        assert rows[value, value].effect == pytest.approx(OWN[i] * spread[i])
    assert all(abs(row.excess) < 1e-9 for row in rows.values())
    off = max(abs(row.effect) for (target, measured), row in rows.items() if target != measured)
    assert off > 0.5 if kind == "marginal" else off < 1e-9
    human = np.array(HUMAN_COVARIANCE)
    for i, target in enumerate(VALUES):
        for measured in VALUES:
            a, b = SCHWARTZ.index(target), SCHWARTZ.index(measured)
            r = human[a, b] / np.sqrt(human[a, a] * human[b, b])
            wanted = rows[target, measured].effect - matrix.effect[i, i] * r
            assert rows[target, measured].excess_human == pytest.approx(wanted, abs=1e-9)


def test_leaks_are_rises_from_the_unsteered_ratings_to_the_largest_dose_beside_the_targets_own() -> None:
    one, rows = moved(), cells("unique")[1]
    top = [np.argsort(-LABELS[:, j])[:20] for j in range(3)]
    rise = np.array([[(one.ratings[i, 2, top[j]] - BASE[top[j]]).mean() / 5 for j in range(3)] for i in range(3)])
    room = np.array([1 - (BASE[top[j]].mean() - 1) / 5 for j in range(3)])
    assert (rise < 0).any() and (rise[~np.eye(3, dtype=bool)] > 0).any()
    for i, target in enumerate(VALUES):
        for j, measured in enumerate(VALUES):
            if i != j:
                row, leak = rows[target, measured], max(rise[i, j], 0.0)
                found = (row.leak, row.leak_gain, row.leak_headroom, row.leak_relative)
                wanted = (leak, leak / rise[i, i], leak / room[j], leak / room[j] / (rise[i, i] / room[i]))
                assert found == pytest.approx(wanted, abs=1e-12)


def test_selectivity_and_what_moves_all_alike_are_each_targets_own() -> None:
    matrix, _ = cells("marginal")
    for i, row in enumerate(_matrix._specific(matrix, METHODS)):
        others = np.abs(np.delete(matrix.effect[i], i)).mean()
        assert (row.target, row.own, row.others) == (
            VALUES[i],
            pytest.approx(matrix.effect[i, i]),
            pytest.approx(others),
        )
        assert row.ratio == pytest.approx(others / matrix.effect[i, i])
    config = RunConfig()
    backend: Any = Toy()
    way = Direction(np.eye(4, dtype=np.float32)[0], Site(0), "power", "partial", "write", unit=2.0)
    vectors = {value: replace(way, value=value, site=Site(n)) for n, value in enumerate(VALUES)}
    pushes = {value: push_of(Path(), config, backend, one) for value, one in vectors.items()}
    told = _matrix._responses(config, pushes, moved(), METHODS)
    for i, row in enumerate(told):
        assert (row.value, row.site, row.unit) == (VALUES[i], f"resid_post.{i}", 2.0)
        assert row.mean_shift == pytest.approx(SHIFT[i] + OWN[i] * LABELS[:, i].mean())
        assert row.slope > 0
