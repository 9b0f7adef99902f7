"""Hard cases of claims and agreement: each was got wrong once."""

import dataclasses
import math

import numpy as np
import pytest
from vprobe import agreement, claims, directions
from vprobe.claims import Level

from tests import test_claims_structure as made
from tests.test_claims import GOOD, causal, reading, sweep, world
from tests.test_conditions import compare, tied

STERN = Level(0.001, 2000, 0)


# partial.py / _fit.probes -> test_partial.py
def test_a_partial_direction_keeps_its_sign_when_a_correlated_value_points_the_other_way():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 5)
    y = rng.standard_normal((300, 2)) @ np.linalg.cholesky([[1, 0.8], [0.8, 1]]).T
    encoding = np.array([[1.0, 0, 0, 0], [-3.0, 1, 0, 0]])
    x = y @ encoding + 0.1 * rng.standard_normal((300, 4))
    found = directions.fit(x, y, groups, method="partial", seed=0)
    assert found[0] @ encoding[0] > 0.9


# agreement/_conditions.py -> test_conditions.py
@pytest.mark.parametrize("constant", [0.1, 0.353, 2.47])
def test_a_value_that_never_moves_has_no_agreement(constant):
    probe, behavior = tied(8)
    probe[:, 1] = constant
    rows = compare(probe, behavior)
    assert math.isnan(rows[1].estimate) and math.isnan(rows[-1].estimate)


def test_a_missing_number_costs_its_condition_and_no_more():
    x, y = tied(9, n=20, k=1)
    x[:10] = np.nan
    holed = compare(x, y, values=("power",), draws=999)[0]
    alone = compare(x[10:], y[10:], values=("power",), draws=999)[0]
    assert holed.null_high == pytest.approx(alone.null_high, abs=0.05)


# claims/reading.py -> test_claims.py
def test_random_labels_are_called_beyond_text_in_no_more_than_alpha_of_studies():
    false = 0
    for seed in range(60):
        read = world(seed, (0.0, 0.0, 0.0), queries=60, d=32)
        lengths = np.random.default_rng(seed).standard_normal((300, 2))
        rows = claims.beyond_text(
            claims.held_out(read, 0), read, Level(0.05, 99, seed), lengths=lengths, words=np.zeros((300, 3))
        )
        false += any(row.made for row in rows)
    assert false <= 7


def test_a_value_that_is_not_read_at_all_is_not_explained_by_the_text():
    read = world(3, (0.0,), d=16)
    lengths = np.random.default_rng(0).standard_normal((300, 2))
    (row,) = claims.beyond_text(claims.held_out(read, 0), read, STERN, lengths=lengths, words=np.zeros((300, 1)))
    assert not row.made and "explain" not in row.reason


def test_a_value_without_any_label_is_refused_and_leaves_the_others_alone():
    read = world(4, (1.0, 1.0, 1.0))
    y = read.y.copy()
    y[:, 1] = np.nan
    rows = claims.decodable(dataclasses.replace(read, y=y), STERN).rows
    assert [row.made for row in rows] == [True, False, True]


# claims/acting.py -> test_claims.py
def test_a_sweep_without_a_dose_of_each_sign_shows_no_change_of_sign():
    assert not causal(sweep((0.4, 0.5), doses=(0.25, 0.5)))[0].made
    assert not causal(sweep((0.5,), doses=(0.5,)))[0].made


def test_a_refusal_for_the_sign_says_so():
    (row,) = causal(sweep((0.4, 0.2, 0.2, 0.4)))
    assert "sign" in row.reason


# claims/structure.py -> test_claims_structure.py
@pytest.mark.parametrize("held", [2, 9])
def test_planted_dimensions_are_counted(held):
    for seed in range(3):
        read = made.planted(seed, held, d=16)
        assert claims.dimensions(read, STERN).estimate == held


def test_no_dimension_is_counted_in_noise_more_often_than_alpha():
    counted = 0
    for seed in range(40):
        read = made.planted(seed, 0, d=16, queries=60)
        counted += claims.dimensions(read, Level(0.05, 99, 0)).estimate > 0
    assert counted <= 6


@pytest.mark.parametrize("reliability", [0.6, 0.9])
def test_two_values_that_are_one_do_not_take_the_others_with_them(reliability):
    rows = claims.unique(made.twins(0, reliability), STERN, reliability=made.known(reliability))
    assert [row.value for row in rows if not row.made] == ["universalism", "benevolence"]


def test_a_value_without_any_label_is_not_unique_and_nothing_breaks():
    read = made.world(3)
    y = read.y.copy()
    y[:, 4] = np.nan
    rows = claims.unique(dataclasses.replace(read, y=y), STERN, reliability=made.known(0.6))
    assert not rows[4].made


def test_one_label_not_known_does_not_undo_the_circle():
    read = made.world(0, encoding=made.around(0.7), queries=208)
    y = read.y.copy()
    y[3, 4] = np.nan
    row = claims.circle(dataclasses.replace(read, y=y), STERN, reliability=made.known(0.6))
    assert row.made and row.n == 1039


# house rules for names left
assert reading and GOOD and agreement
