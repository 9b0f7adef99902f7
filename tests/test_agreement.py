"""Agreement is found where planted, not in noise, and never travels without null, ceiling and counts."""

import math

import numpy as np
import pytest
from vprobe import agreement, controls, directions, splits, stats
from vprobe.errors import InputError
from vprobe.types import Reliability

VALUES = tuple("abcdefghij")
GROUPS = np.repeat(np.arange(60), 5)
KNOWN = tuple(Reliability(v, 0.36, 0.6, True) for v in VALUES)


def compare(x, y, *, reliability=KNOWN, draws=99, seed=0, values=VALUES):
    shuffled = controls.shuffle_labels(y, GROUPS, draws=draws, seed=seed)
    null = agreement.Null("labels shuffled", agreement.draws(x[None], shuffled, GROUPS))
    return agreement.measure(
        x, y, GROUPS, [null], comparison="probe~label", values=values, reliability=reliability, seed=0, resamples=300
    )


def labels(rng, n_values=10):
    return rng.standard_normal((300, n_values)) + rng.standard_normal((60, n_values))[GROUPS]


def test_planted_agreement_has_a_small_p_and_an_interval_around_it():
    rng = np.random.default_rng(0)
    y = labels(rng)
    x = 0.5 * y + rng.standard_normal(y.shape)
    rows = compare(x, y)
    for row in rows:
        assert row.p == pytest.approx(0.01) and row.p_family == pytest.approx(0.01)
        assert row.low < row.estimate < row.high and row.low > row.null_high
        assert row.null_low < 0 < row.null_high and abs(row.null_mean) < 0.02
        assert (row.level, row.n_scored, row.n_unscored, row.n_groups, row.ceiling) == ("item", 300, 0, 60, 0.6)
    assert np.mean([row.estimate for row in rows]) == pytest.approx(0.5 / math.sqrt(1.25), abs=0.03)


def test_a_shared_query_component_is_not_agreement():
    hits = family = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        shared = 3 * rng.standard_normal((60, 10))[GROUPS]
        rows = compare(labels(rng) + shared, labels(rng) + shared, draws=39, seed=seed)
        hits += sum(row.p <= 0.05 for row in rows)
        family += any(row.p_family <= 0.05 for row in rows)
        assert np.mean([abs(row.estimate) for row in rows]) < 0.12
    assert 0.02 < hits / 300 < 0.085
    assert family <= 5


def test_unreliable_labels_are_called_unmeasurable_and_nothing_is_corrected():
    rng = np.random.default_rng(1)
    y = labels(rng, 3)
    x = y + rng.standard_normal(y.shape)
    known = (Reliability("a", 0.12, math.sqrt(0.12), True), Reliability("b", math.nan, math.nan, True))
    known += (Reliability("c", 0.9, 0.95, False),)
    rows = compare(x, y, reliability=known, values=("a", "b", "c"))
    assert [row.estimate for row in rows] == pytest.approx(stats.within_r(x, y, GROUPS))
    assert "unmeasurable: label reliability 0.12" in rows[0].note and rows[0].ceiling == pytest.approx(0.346, abs=0.001)
    for row in rows[1:]:  # the reliability of c is not for differences within queries
        assert "reliability not known" in row.note and math.isnan(row.ceiling)
    assert "unmeasurable" not in compare(x, y, reliability=None, values=("a", "b", "c"))[0].note


def test_missing_scores_are_left_out_and_counted():
    rng = np.random.default_rng(2)
    y = labels(rng, 2)
    x = y + rng.standard_normal(y.shape)
    x[:7, 0], x[:, 1] = np.nan, np.nan
    first, second = compare(x, y, values=("a", "b"))
    assert (first.n_scored, first.n_unscored, first.n_groups) == (293, 7, 59)
    assert math.isnan(second.estimate) and math.isnan(second.p) and math.isnan(second.null_mean)
    assert second.n_scored == 0 and "no interval" in second.note


def test_the_sterner_of_two_nulls_is_reported_and_named():
    rng = np.random.default_rng(3)
    y = labels(rng, 2)
    x = 0.3 * y + rng.standard_normal(y.shape)
    nulls = [agreement.Null("narrow", 0.01 * rng.standard_normal((99, 2)))]
    nulls.append(agreement.Null("wide", rng.uniform(-1, 1, (99, 2))))
    row = agreement.measure(x, y, GROUPS, nulls, comparison="probe~rating", values=("a", "b"), seed=0)[0]
    assert row.p > 0.2 and "null: wide" in row.note and row.null_high > 0.8
    with pytest.raises(InputError, match="0 nulls"):
        agreement.measure(x, y, GROUPS, [], comparison="probe~rating", values=("a", "b"), seed=0)


def test_ratings_against_a_value_are_found_when_both_sides_count_and_only_then():
    rng = np.random.default_rng(5)
    y = labels(rng, 2)
    ratings = -0.6 * y[:, 0] + rng.standard_normal(300)
    null = agreement.Null(
        "n", agreement.draws(y[None], controls.shuffle_ratings(ratings, GROUPS, draws=99, seed=0)[:, :, None], GROUPS)
    )
    both, one = (
        agreement.measure(
            y, ratings[:, None], GROUPS, [null], comparison="rating~label", values=("a", "b"), two_sided=t, seed=0
        )
        for t in (True, False)
    )
    assert both[0].p == pytest.approx(0.01) and both[1].p > 0.05 and "two-sided" in both[0].note
    assert one[0].p == pytest.approx(1.0) and both[0].estimate == one[0].estimate < -0.4


def test_draws_side_by_side_equal_draws_one_by_one():
    rng = np.random.default_rng(6)
    x, y = rng.standard_normal((7, 300, 3)), rng.standard_normal((1, 300, 1))
    x[3, :4, 1] = np.nan
    expected = np.stack([stats.within_r(one, y[0], GROUPS) for one in x])
    np.testing.assert_allclose(agreement.draws(x, y, GROUPS), expected, atol=1e-12)


def case(seed, *, tie, d=24, draws=39, reads=True):
    """Return everything `agreement.profile` asks for; tie is how far ratings follow the labels' first two axes."""
    rng = np.random.default_rng(seed)
    turn = np.deg2rad(np.array([0, 40, 80, 120, 160, 200, 240, 280, 280, 320]))
    axes = rng.standard_normal((300, 2))
    y = axes @ np.stack([np.cos(turn), np.sin(turn)]) + 0.7 * rng.standard_normal((300, 10))
    x = rng.standard_normal((300, d)) + (axes @ rng.standard_normal((2, d)) if tie and reads else 0.0)
    ratings = tie * axes[:, 0] + rng.standard_normal(300) + rng.standard_normal(60)[GROUPS]
    shuffled = controls.shuffle_labels(y, GROUPS, draws=draws, seed=seed)
    folds = splits.by_group(GROUPS, seed=seed)
    every = controls.stack(y, shuffled)
    scores = controls.unstack(directions.held_out(x, every, GROUPS, folds, method="covariance", seed=0), 10)
    again = controls.shuffle_ratings(ratings, GROUPS, draws=draws, seed=seed)
    beside = np.column_stack([y, ratings])
    return agreement.profile(
        scores[0],
        y,
        ratings,
        GROUPS,
        refitted=scores[1:],
        shuffled_labels=shuffled,
        shuffled_ratings=again,
        moved_ratings=controls.shuffle_labels(beside, GROUPS, draws=draws, seed=seed)[:, :, -1],
        seed=0,
        resamples=300,
    )


def test_a_profile_that_probe_and_labels_share_is_found():
    row = case(1, tie=1.0)
    assert row.level == "profile" and row.value == "all" and row.statistic == "profile r"
    assert row.estimate > 0.9 and row.low > 0.7 and row.p == pytest.approx(0.025)
    assert row.null_mean > 0.3  # unrelated profiles of circular values look alike: zero is not what chance gives
    assert math.isnan(row.ceiling) and math.isnan(row.p_family) and "not independent" in row.note


def test_profiles_without_a_tie_are_not_found_though_the_plain_test_would_claim_some():
    ours = naive = 0
    for seed in range(40):
        row = case(seed, tie=0.0, draws=19)
        ours += row.p <= 0.05
        naive += row.estimate > 0.549  # one-sided .05 for ten independent points
    assert ours <= 4
    assert naive >= 5


def test_ratings_that_follow_labels_make_no_profile_agreement_when_activations_add_nothing():
    found = sum(case(seed, tie=1.5, draws=19, reads=False).p <= 0.05 for seed in range(40))
    assert found <= 5


def test_ratings_move_with_their_label_rows():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((300, 3))
    draws = controls.shuffle_labels(np.column_stack([y, 2 * y[:, 0]]), GROUPS, draws=3, seed=5)
    np.testing.assert_array_equal(draws[:, :, :3], controls.shuffle_labels(y, GROUPS, draws=3, seed=5))
    np.testing.assert_array_equal(draws[:, :, 3], 2 * draws[:, :, 0])


def test_a_profile_with_too_few_values_does_not_exist():
    rng = np.random.default_rng(4)
    y = labels(rng)
    y[:, 9] = np.nan
    probe = y + rng.standard_normal(y.shape)
    draws = np.stack([y] * 3)
    ratings = y[:, 0] + rng.standard_normal(300)
    args = dict(refitted=draws, shuffled_labels=draws, shuffled_ratings=np.stack([ratings] * 3), seed=0)
    args["moved_ratings"] = args["shuffled_ratings"]
    row = agreement.profile(probe, y, ratings, GROUPS, **args)
    assert math.isnan(row.estimate) and math.isnan(row.p) and "9 values exist, 10 are needed" in row.note
    assert math.isfinite(agreement.profile(probe, y, ratings, GROUPS, needed=9, **args).estimate)
