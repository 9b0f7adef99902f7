"""More ways to say how far measures agree: pairs, forms, cells of conditions, and methods side by side."""

from __future__ import annotations

import math

import numpy as np
import pytest
from vprobe import agreement, claims, controls, stats
from vprobe.claims.reading import Reading
from vprobe.errors import InputError
from vprobe.values import ANGLES, SCHWARTZ

GROUPS = np.repeat(np.arange(40), 5)
TURN = np.deg2rad(ANGLES)
CIRCLE = 0.4 * np.eye(10) + 0.6 * np.cos(TURN[:, None] - TURN)


def measured(seed, *, units=48, methods=3, noise=0.5, own=True):
    """Return scores of units by several methods that share traits on a circle, or nothing."""
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(CIRCLE + 1e-9 * np.eye(10))
    traits = rng.standard_normal((units, 1, 10)) @ root.T
    apart = rng.standard_normal((units, methods, 10)) @ root.T
    return (traits if own else apart) + noise * rng.standard_normal((units, methods, 10))


def side_by_side(x, **more):
    names = ("probe", "rating", "portraits")[: x.shape[1]]
    return agreement.methods(x, names=names, values=SCHWARTZ, seed=0, **{"draws": 99, "resamples": 50, **more})


def test_pairs_are_counted_with_their_null_interval_and_ceiling():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 2))
    y = x[:, [0]] + rng.standard_normal((200, 1))
    mixed = controls.shuffle_ratings(y[:, 0], GROUPS, draws=99, seed=0)[:, :, None]
    told, not_told = agreement.concordance(
        x, y, GROUPS, mixed, comparison="probe~rating", values=("power", "security"), ceilings=(0.5, math.nan), seed=0,
        resamples=200,
    )  # fmt: skip
    assert told.p == pytest.approx(0.01) and told.low < told.estimate < told.high and told.low > told.null_high
    assert not_told.null_low < not_told.estimate < not_told.null_high
    assert told.ceiling == pytest.approx(1 / 3) and math.isnan(not_told.ceiling)
    assert (told.n_scored, told.n_groups) == (200, 40) and "400 pairs" in told.note


def test_forms_of_one_rating_agree_and_a_shift_between_them_is_seen():
    rng = np.random.default_rng(1)
    truth = rng.normal(3.5, 1, 200)
    first, near, far = (truth + shift + 0.3 * rng.standard_normal(200) for shift in (0.0, 0.05, 1.0))
    first[4] = np.nan
    ccc, icc, gap = agreement.forms(first, near, GROUPS, comparison="forward~reversed", draws=39, seed=0, resamples=200)
    assert (ccc.statistic, icc.statistic, gap.statistic) == ("Lin's CCC", "ICC(2,1)", "mean difference")
    assert ccc.estimate > 0.85 and ccc.low < ccc.estimate < ccc.high and ccc.null_high < ccc.low
    assert icc.estimate == pytest.approx(stats.icc(np.stack([first, near], axis=1)).icc2)
    assert gap.p < 0.01 and ": equivalent" in gap.note and (gap.n_scored, gap.n_unscored) == (199, 1)
    moved = agreement.forms(first, far, GROUPS, comparison="forward~reversed", draws=39, seed=0, resamples=200)
    assert moved[0].estimate < 0.7 and moved[2].p > 0.9 and "not shown to be equivalent" in moved[2].note
    alike = agreement.forms(truth, 1.001 * truth, GROUPS, comparison="forward~reversed", draws=9, seed=0, resamples=20)
    assert "over queries, 0.00 (p" in alike[2].note, "a slope that rounds to 0 has no sign"


def test_nothing_in_common_is_no_number():
    blank = np.full(200, np.nan)
    rows = agreement.forms(blank, np.arange(200.0), GROUPS, comparison="a~b", draws=9, seed=0, resamples=20)
    assert all(math.isnan(row.estimate) and math.isnan(row.p) and row.n_scored == 0 for row in rows)


def test_responses_to_one_query_are_no_trend_of_their_own():
    small = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        query = rng.standard_normal((20, 2))[np.repeat(np.arange(20), 10)]
        first, second = (query + 0.3 * rng.standard_normal((200, 2))).T
        groups = np.repeat(np.arange(20), 10)
        note = agreement.forms(first, second, groups, comparison="a~b", draws=1, seed=0, resamples=5)[2].note
        small += float(note.rpartition("(p = ")[2].partition(")")[0]) <= 0.05
    assert small <= 6


def test_halves_that_repeat_exactly_are_measurable():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 1))
    y = 0.5 * x + rng.standard_normal((40, 1))
    halves = (np.stack([x, x]), np.stack([y, y]))
    row = agreement.over_ceiling(
        x, y, *halves, values=("power",), site="", method="", comparison="", seed=0, resamples=99
    )[0]  # fmt: skip
    assert row.estimate == pytest.approx(np.corrcoef(x[:, 0], y[:, 0])[0, 1]) and row.low < row.estimate < row.high


# Cells of conditions x values.


def cells(probe, behavior, **more):
    return agreement.cells(probe, behavior, site="s", method="m", **{"draws": 99, "seed": 0, "resamples": 100, **more})


def test_cells_agree_where_planted_whatever_units_and_levels_the_measures_have():
    rng = np.random.default_rng(2)
    truth = rng.standard_normal((40, 10))
    probe, behavior = truth + 0.5 * rng.standard_normal((40, 10)), truth + 0.5 * rng.standard_normal((40, 10))
    r, told = cells(probe, behavior)
    assert r.p == told.p == pytest.approx(0.01) and r.low < r.estimate < r.high and told.estimate > 0.8
    units = rng.uniform(0.1, 9, 10)
    moved, _ = cells(probe * units + rng.standard_normal((1, 10)), behavior + 5 * rng.standard_normal((40, 1)))
    assert moved.estimate > 0.6, "a condition that raises all values alike changes little"
    assert (r.n_scored, r.n_groups, told.null_mean) == (40, 40, pytest.approx(1 / 40))


def test_cells_of_unrelated_measures_are_significant_at_the_rate_alpha():
    hits = 0
    for seed in range(150):
        x = measured(seed, units=15, methods=2, own=False)
        hits += cells(x[:, 0], x[:, 1], draws=39, seed=seed, resamples=2)[0].p <= 0.05
    assert 0.01 < hits / 150 < 0.1


def test_doses_of_one_vector_are_one_cluster_and_not_so_many_conditions():
    # Ten vectors at four strengths: shuffling every arm by itself would count forty.
    clusters = [f"v{i // 4}" for i in range(40)]
    hits = naive = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        dose = np.tile([-2.0, -1.0, 1.0, 2.0], 10)[:, None]
        probe, behavior = (np.repeat(rng.standard_normal((10, 10)), 4, axis=0) * dose for _ in range(2))
        at = {"draws": 39, "seed": seed, "resamples": 2}
        hits += cells(probe, behavior, clusters=clusters, **at)[0].p <= 0.05
        naive += cells(probe, behavior, **at)[0].p <= 0.05
    assert hits / 100 <= 0.11 and naive > hits


def test_conditions_of_two_kinds_are_compared_within_their_kind():
    rng = np.random.default_rng(3)
    kinds = ["persona"] * 20 + ["prompt"] * 20
    gap = np.repeat([0.0, 8.0], 20)[:, None]
    probe, behavior = (rng.standard_normal((40, 3)) + gap for _ in range(2))
    at = {"values": ("a", "b", "c"), "site": "s", "method": "m", "draws": 99, "seed": 0, "resamples": 50}
    together = agreement.conditions(probe, behavior, **at)[-1]
    apart = agreement.conditions(probe, behavior, kinds=kinds, **at)[-1]
    assert together.estimate > 0.8 and together.p <= 0.01, "the two kinds differ in both measures"
    assert abs(apart.estimate) < 0.3 and apart.p > 0.05 and "within 2 kinds" in apart.note
    with pytest.raises(InputError, match="39 kinds"):
        agreement.conditions(probe, behavior, kinds=kinds[1:], **at)


def test_halves_give_the_reliability_of_the_whole():
    rng = np.random.default_rng(4)
    truth = rng.standard_normal((400, 2))
    first, second = (truth + noise * rng.standard_normal((400, 2)) for noise in (1.0, 1.0))
    assert agreement.halves(first, second) == pytest.approx([2 / 3, 2 / 3], abs=0.07)
    assert np.isnan(agreement.halves(first, np.full((400, 2), np.nan))).all()


# Methods side by side.


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [("power", "power", "same"), ("power", "security", "adjacent"), ("conformity", "tradition", "adjacent"),
     ("power", "hedonism", "middle"), ("power", "universalism", "opposite"), ("power", "competence", "other")],
)  # fmt: skip
def test_values_stand_to_each_other_as_on_the_circle(first, second, wanted):
    assert agreement.relation(first, second) == agreement.relation(second, first) == wanted


def test_methods_that_measure_the_same_meet_every_criterion():
    made = side_by_side(measured(0))
    assert len(made.cells) == 30 * 29 // 2 and len(made.validity) == 30 and len(made.pairs) == 45
    for row in made.validity:
        assert row.r > 0.5 and row.p_family <= 0.01 and row.won_apart == row.of_apart
        assert row.won_inside == row.of_inside and row.of_apart + row.of_adjacent == 18 and row.n == 48
    far = [abs(row.htmt) for row in made.pairs if row.relation == "middle"]
    assert max(far) < 0.85 and all(row.low < row.htmt < row.high for row in made.pairs)
    assert all(row.p <= 0.05 for row in made.patterns)
    cell = next(row for row in made.cells if (row.first_value, row.second_value) == ("power", "security"))
    x = measured(0)
    assert (cell.first, cell.second) == ("probe", "probe") and cell.relation == "adjacent"
    assert cell.r == pytest.approx(np.corrcoef(x[:, 0, 0], x[:, 0, 9])[0, 1])


def test_methods_that_share_nothing_win_by_chance_and_are_significant_at_the_rate_alpha():
    single = family = won = of = 0
    for seed in range(60):
        made = side_by_side(measured(seed, units=20, methods=2, own=False), draws=39, resamples=2)
        single += sum(row.p <= 0.05 for row in made.validity)
        family += any(row.p_family <= 0.05 for row in made.validity)
        won += sum(row.won_apart for row in made.validity)
        of += sum(row.of_apart for row in made.validity)
    assert 0.02 < single / 600 < 0.09 and family / 60 <= 0.14
    assert 0.42 < won / of < 0.58


def test_two_names_for_one_value_are_not_told_apart():
    x = measured(1)
    x[:, :, 8] = x[:, :, 7] + 0.01 * np.random.default_rng(0).standard_normal(x.shape[:2])
    made = side_by_side(x)
    one = next(row for row in made.pairs if (row.first, row.second) == ("conformity", "tradition"))
    assert one.htmt > 0.95


def test_gaps_cost_their_unit_and_a_value_that_does_not_agree_with_itself_has_no_ratio():
    x = measured(2)
    x[:4, 1, 0] = np.nan
    made = side_by_side(x)
    cell = next(row for row in made.validity if (row.first, row.second, row.value) == ("probe", "rating", "power"))
    assert cell.n == 44 and math.isfinite(cell.r)
    x[:, 1, 0] = np.nan
    gone = next(row for row in side_by_side(x).validity if (row.second, row.value) == ("rating", "power"))
    assert math.isnan(gone.r) and math.isnan(gone.p) and gone.of_apart == 0 and gone.n == 0
    y = measured(3, methods=2)
    y[:, 1, 0] = -y[:, 0, 0]
    assert all(math.isnan(row.htmt) for row in side_by_side(y).pairs if row.first == "power")


@pytest.mark.parametrize("shape", [(4, 2, 10), (20, 1, 10)])
def test_too_few_units_or_methods_are_refused(shape):
    with pytest.raises(InputError, match="multitrait-multimethod"):
        side_by_side(np.zeros(shape))


# The order of the circle.


def test_labels_hand_their_circle_to_random_activations_and_the_corrected_test_knows():
    root = np.linalg.cholesky(CIRCLE + 1e-9 * np.eye(10))
    groups = tuple(str(i) for i in np.repeat(np.arange(40), 5))
    published = corrected = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        labels, x = rng.standard_normal((200, 10)) @ root.T, rng.standard_normal((200, 16))
        read = Reading(x, labels, groups, (), SCHWARTZ, "covariance", "x.0")
        row = claims.correspondence(read, claims.Level(0.05, 39, seed), resamples=0, orders=199)
        published += float(row.note.partition("gives p = ")[2].partition(";")[0]) <= 0.05
        corrected += row.p <= 0.05
        assert row.null_mean > 0.3
    assert published >= 36 and corrected <= 5


def test_the_corrected_index_has_an_interval_and_needs_all_ten_values():
    rng = np.random.default_rng(0)
    labels, x = rng.standard_normal((200, 10)), rng.standard_normal((200, 16))
    groups = tuple(str(i) for i in np.repeat(np.arange(40), 5))
    row = claims.correspondence(Reading(x, labels, groups, (), SCHWARTZ, "m", "s"), claims.Level(0.05, 39, 0))
    assert row.low < row.high and (row.n_scored, row.n_groups, row.level) == (200, 40, "structure")
    labels[:, 3] = np.nan
    none = claims.correspondence(Reading(x, labels, groups, (), SCHWARTZ, "m", "s"), claims.Level(0.05, 39, 0))
    assert math.isnan(none.estimate) and math.isnan(none.p) and "all ten" in none.note
    labels[:, 3] = 0.3
    flat = claims.correspondence(Reading(x, labels, groups, (), SCHWARTZ, "m", "s"), claims.Level(0.05, 39, 0))
    assert (
        math.isnan(flat.estimate)
        and math.isnan(flat.p)
        and flat.note.endswith(f"never vary within a query: {SCHWARTZ[3]}")
    )
