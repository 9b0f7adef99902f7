"""Statistics of agreement equal published examples and closed forms, keep their error rates, or say there is none."""

from __future__ import annotations

import math
import warnings
from dataclasses import astuple

import numpy as np
import pytest
from scipy import stats as scipy_stats
from vprobe import stats
from vprobe.errors import InputError
from vprobe.values import ANGLES, HUMAN_COVARIANCE, SCHWARTZ, TEN_PLACES

SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float
)
GROUPS = np.repeat(np.arange(60), 5)


def pair(seed, n=60, slope=0.7, shift=1.4):
    rng = np.random.default_rng(seed)
    x = rng.normal(3.5, 1.2, n)
    return x, slope * x + rng.normal(shift, 0.6, n)


# Intraclass correlations.


def test_intervals_of_intraclass_correlations_are_those_of_pingouin():
    found = stats.icc_intervals(SHROUT_FLEISS)
    told = {"icc1": (-0.13, 0.72), "icc2": (0.02, 0.76), "icc3": (0.34, 0.95), "icc1k": (-0.88, 0.91),
            "icc2k": (0.07, 0.93), "icc3k": (0.68, 0.99)}  # fmt: skip
    for name, ends in told.items():
        one = getattr(found, name)
        assert (round(one.low, 2), round(one.high, 2)) == ends
    assert math.isnan(stats.icc_intervals(np.ones((4, 3))).icc2.low)


def test_intraclass_correlations_from_sums_are_those_of_the_table():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(30, 1)) + rng.normal(size=(30, 3))
    table[4, 1] = np.nan
    from_sums = stats.icc_of(stats.icc_moments(table).sum(axis=0))
    assert from_sums == pytest.approx(astuple(stats.icc(table)))
    assert np.isnan(stats.icc_of(stats.icc_moments(np.full((5, 3), 0.1)).sum(axis=0))).all()


def test_intervals_of_intraclass_correlations_hold_the_truth_about_as_often_as_they_say():
    held = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        one = stats.icc_intervals(rng.normal(size=(20, 1)) + rng.normal(size=(20, 3))).icc3
        held += one.low <= 0.5 <= one.high
    assert 0.92 < held / 300 < 0.98


# Absolute agreement.


def test_concordance_is_one_less_the_squared_distance_over_its_value_for_independent_measures():
    for seed in range(20):
        x, y = pair(seed)
        wanted = 1 - ((x - y) ** 2).mean() / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
        found = stats.concordance(x, y)
        assert found.estimate == pytest.approx(wanted, abs=1e-12)
        assert found.r == pytest.approx(np.corrcoef(x, y)[0, 1]) and found.low < found.estimate < found.high


def test_concordance_knows_identity_opposites_shifts_and_what_does_not_exist():
    x, _ = pair(0)
    assert stats.concordance(x, x).estimate == pytest.approx(1.0)
    assert stats.concordance(x, 2 * x.mean() - x).estimate == pytest.approx(-1.0)
    moved = stats.concordance(x, x + 5)
    assert moved.r == pytest.approx(1.0) and moved.estimate < 0.2 and moved.bias == pytest.approx(moved.estimate)
    assert math.isnan(stats.concordance(x[:2], x[:2]).estimate)
    flat = np.full(9, 0.1)
    assert math.isnan(stats.concordance(flat, flat).estimate) and stats.concordance(flat, x[:9]).estimate == 0.0
    holed = x.copy()
    holed[3] = np.nan
    assert stats.concordance(holed, x).n == len(x) - 1
    assert stats.concordance(x + 1e8, 1.1 * x + 1e8).estimate == pytest.approx(stats.concordance(x, 1.1 * x).estimate)


def test_intervals_of_concordance_hold_the_truth_about_as_often_as_they_say():
    truth, held = 2 * 0.8 / (1 + 1 + 0.25), 0
    for seed in range(400):
        z = np.random.default_rng(seed).standard_normal((60, 2))
        one = stats.concordance(z[:, 0], 0.8 * z[:, 0] + 0.6 * z[:, 1] + 0.5)
        held += one.low <= truth <= one.high
    assert 0.92 < held / 400 < 0.98


def test_limits_of_agreement_are_the_mean_difference_and_two_standard_deviations():
    x, y = pair(1)
    y[5] = np.nan
    d = np.delete(x - y, 5)
    found = stats.limits(x, y)
    assert (found.bias, found.sd, found.n) == (pytest.approx(d.mean()), pytest.approx(d.std(ddof=1)), 59)
    assert found.high - found.low == pytest.approx(2 * 1.959964 * d.std(ddof=1), abs=1e-5)
    assert found.slope > 0 and found.slope_p < 0.02, "y is compressed, so the difference grows with the level"
    assert math.isnan(stats.limits(x[:2], y[:2]).bias) and math.isnan(stats.limits(np.ones(9), np.ones(9)).slope)


def test_equivalence_is_found_inside_the_margin_and_not_at_it():
    x, _ = pair(2, n=400)
    noise = np.random.default_rng(3).normal(0, 0.5, 400)
    inside, outside = (stats.equivalence(x, x + shift + noise, margin=0.3) for shift in (0.05, 0.6))
    assert inside.equivalent and -0.3 < inside.low < inside.high < 0.3
    assert not outside.equivalent and outside.p > 0.9
    few = stats.equivalence(x[:2], x[:2], margin=0.3)
    assert math.isnan(few.p) and not few.equivalent
    assert stats.equivalence(x, x, margin=0.3).p == 0.0 and stats.equivalence(x, x + 1, margin=0.3).p == 1.0
    for margin in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match="margin"):
            stats.equivalence(x, x, margin=margin)


def test_two_measures_a_margin_apart_are_called_equivalent_at_the_rate_alpha():
    found = 0
    for seed in range(600):
        d = np.random.default_rng(seed).normal(0.3, 1.0, 200)
        found += stats.equivalence(d, np.zeros(200), margin=0.3).equivalent
    assert 0.03 < found / 600 < 0.075


# Pairs within queries.


def test_gamma_equals_a_count_by_hand_with_ties_and_gaps():
    rng = np.random.default_rng(4)
    x, y = rng.integers(0, 4, (30, 2)).astype(float), rng.integers(0, 4, (30, 1)).astype(float)
    groups = np.repeat(list("bca"), 10)
    x[3, 0] = y[14, 0] = np.nan
    found = stats.pairs_within(x, y, tuple(groups))
    for column in range(2):
        alike = other = tied = 0
        for i in range(30):
            for j in range(i):
                product = (x[i, column] - x[j, column]) * (y[i, 0] - y[j, 0])
                if groups[i] == groups[j] and np.isfinite(product):
                    alike, other, tied = alike + (product > 0), other + (product < 0), tied + (product == 0)
        assert tuple(found.totals[column]) == (alike, other) and found.tied[:, column].sum() == tied
        assert stats.gamma_of(found.totals)[column] == pytest.approx((alike - other) / (alike + other))


def test_gamma_of_one_group_without_ties_is_kendalls_tau_and_of_ties_only_does_not_exist():
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((2, 25, 1))
    tau = float(np.asarray(scipy_stats.kendalltau(x[:, 0], y[:, 0])[0]))
    assert stats.gamma_of(stats.pairs_within(x, y, np.zeros(25, int)).totals)[0] == pytest.approx(tau)
    flat = stats.pairs_within(np.full((25, 1), 0.1), y, np.zeros(25, int))
    assert np.isnan(stats.gamma_of(flat.totals)).all() and flat.tied.sum() == 300
    alone = stats.pairs_within(x, y, np.arange(25))
    assert np.isnan(stats.gamma_of(alone.totals)).all()


# Correction for noise.


def noisy(seed, rel, r=0.6, forms=4, n=300):
    """Return a measure without noise, and forms of another whose mean has a reliability of rel; r is between truths."""
    rng = np.random.default_rng(seed)
    x, rest = rng.standard_normal((2, n))
    truth = r * x + math.sqrt(1 - r * r) * rest
    spread = math.sqrt((1 / rel - 1) * forms)
    return x[:, None], truth[:, None] + spread * rng.standard_normal((n, forms))


def test_correction_recovers_the_correlation_of_truths_and_its_interval_covers_it():
    held, estimates = 0, []
    for seed in range(60):
        x, forms = noisy(seed, 0.5)
        found = stats.corrected(x, forms, GROUPS, reliability_x=1.0, seed=seed, resamples=200)
        estimates.append(found.estimate)
        held += found.low <= 0.6 <= found.high
        assert found.r < found.estimate and found.ceiling == pytest.approx(math.sqrt(found.reliability_y))
    assert np.mean(estimates) == pytest.approx(0.6, abs=0.03) and held >= 52


def test_the_reliability_of_several_forms_is_that_of_their_mean_within_queries():
    x, forms = noisy(1, 0.5)
    found = stats.corrected(x, forms + 9 * GROUPS[:, None], GROUPS, reliability_x=1.0, seed=0, resamples=50)
    again = stats.corrected(x, forms, GROUPS, reliability_x=1.0, seed=0, resamples=50)
    assert found.reliability_y == pytest.approx(again.reliability_y), "what a query's responses share is out"
    one = np.zeros(300, dtype=int)
    assert stats.corrected(x, forms, one, reliability_x=1.0, seed=0).reliability_y == pytest.approx(
        stats.icc(forms).icc3k
    )


@pytest.mark.parametrize(("known", "why"), [(0.19, "below 0.2"), (math.nan, "not known"), (-0.3, "below 0.2")])
def test_correction_is_refused_where_a_reliability_is_low_or_not_known(known, why):
    x, forms = noisy(2, 0.5)
    found = stats.corrected(x, forms[:, :1], GROUPS, reliability_x=1.0, reliability_y=known, seed=0)
    assert (
        math.isnan(found.estimate) and math.isnan(found.low) and "unmeasurable" in found.reason and why in found.reason
    )
    assert math.isfinite(found.r), "the uncorrected correlation stands"


def test_forms_that_share_nothing_are_unmeasurable():
    x, _ = noisy(3, 0.5)
    refused = 0
    for seed in range(20):
        forms = np.random.default_rng(seed).standard_normal((300, 4))
        refused += bool(stats.corrected(x, forms, GROUPS, reliability_x=1.0, seed=0, resamples=200).reason)
    assert refused >= 19


# Order on a circle.


def matrix(upper, n=6):
    out = np.eye(n)
    out[np.triu_indices(n, 1)] = upper
    return np.maximum(out, out.T)


INTERESTS = (0.62, 0.40, 0.38, 0.44, 0.61, 0.62, 0.55, 0.53, 0.55, 0.52, 0.53, 0.43, 0.49, 0.48, 0.74)


def test_correspondence_index_of_the_published_example():
    found = stats.correspondence(matrix(INTERESTS), seed=0)
    assert (found.n_predictions, found.n_met, found.n_tied, found.n_orders) == (72, 59, 1, 720)
    assert (round(found.index, 3), round(found.p, 4)) == (0.653, 0.0167)
    assert stats.correspondence_index(matrix(INTERESTS), stats.circular(6)) == pytest.approx(found.index)


def test_a_perfect_circle_of_ten_meets_all_800_predictions_and_noise_none_on_balance():
    distance = stats.circular(10)
    perfect = stats.correspondence(-distance.astype(float), seed=0, orders=500)
    assert (perfect.index, perfect.n_predictions, perfect.n_met) == (1.0, 800, 800) and perfect.p < 0.01
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((200, 10, 10))
    index = stats.correspondence_index(noise + noise.transpose(0, 2, 1), distance)
    assert abs(index.mean()) < 0.05
    assert stats.correspondence_index(np.ones((10, 10)), distance) == 0.0, "ties meet nothing and break nothing"


def test_orders_of_unrelated_matrices_are_significant_at_the_rate_alpha():
    hits = 0
    for seed in range(200):
        noise = np.random.default_rng(seed).standard_normal((6, 6))
        hits += stats.correspondence(noise + noise.T, seed=0).p <= 0.05
    assert 0.015 < hits / 200 < 0.09


def test_matrices_with_gaps_or_without_predictions_are_refused():
    holed = matrix(INTERESTS)
    holed[0, 3] = holed[3, 0] = np.nan
    with pytest.raises(InputError, match="correspondence index"):
        stats.correspondence(holed, seed=0)
    with pytest.raises(InputError, match="0 predictions"):
        stats.correspondence(matrix(INTERESTS), np.ones((6, 6)), seed=0)
    assert np.isnan(stats.correspondence_index(holed, stats.circular(6)))


def test_the_ten_places_have_tradition_beside_benevolence():
    assert (
        sorted(TEN_PLACES) == sorted(SCHWARTZ) and TEN_PLACES.index("tradition") == TEN_PLACES.index("benevolence") + 1
    )


# Congruence.


def test_a_turned_configuration_is_congruent_and_an_unrelated_one_only_as_chance_is():
    rng = np.random.default_rng(0)
    points = rng.standard_normal((10, 2))
    turn, _ = np.linalg.qr(rng.standard_normal((2, 2)))
    same = stats.congruence(points @ turn, points, draws=200, seed=0)
    assert same.phi == pytest.approx(np.ones(2)) and same.p < 0.01
    assert same.null_mean > 0.3, "turning towards a target flatters everybody"
    hits = sum(stats.congruence(rng.standard_normal((10, 2)), points, draws=39, seed=i).p <= 0.05 for i in range(120))
    assert 0.01 < hits / 120 < 0.1
    lost = points.copy()
    lost[:8] = np.nan
    assert math.isnan(stats.congruence(lost, points, seed=0).mean)
    with pytest.raises(InputError, match="same points"):
        stats.congruence(points[:5], points, seed=0)


# Smooth profiles.


def unrelated(rng, w, n):
    turn = np.deg2rad(ANGLES)
    root = np.linalg.cholesky(w * np.cos(turn[:, None] - turn) + (1 - w) * np.eye(10) + 1e-9 * np.eye(10))
    return rng.standard_normal((n, 2, 10)) @ root.T


@pytest.mark.parametrize("w", [0.0, 0.7, 0.9])
def test_unrelated_smooth_profiles_are_called_alike_at_most_at_the_rate_alpha(w):
    drawn = unrelated(np.random.default_rng(1), w, 250)
    covariance = np.array(HUMAN_COVARIANCE)
    p = [stats.profile_test(x, y, np.array(ANGLES), covariance=covariance, draws=99, seed=i).p
         for i, (x, y) in enumerate(drawn)]  # fmt: skip
    assert np.mean(np.array(p) <= 0.05) <= 0.075
    naive = np.mean([abs(stats.spearman(x, y)) >= 0.6485 for x, y in drawn])
    assert naive > 0.15 or w == 0.0


def test_profiles_that_share_more_than_smoothness_are_found():
    rng = np.random.default_rng(2)
    found = 0
    for seed in range(50):
        shared = rng.standard_normal(10)
        x, y = shared + 0.3 * rng.standard_normal((2, 10))
        one = stats.profile_test(x, y, np.array(ANGLES), draws=199, seed=seed)
        found += one.p <= 0.05
        assert one.null_low < 0 < one.null_high and one.null
    assert found >= 40


def test_profiles_that_are_flat_or_have_gaps_have_no_test():
    x, y = unrelated(np.random.default_rng(3), 0.5, 1)[0]
    holed = x.copy()
    holed[2] = np.nan
    for bad in (holed, np.full(10, 0.1)):
        one = stats.profile_test(bad, y, np.array(ANGLES), seed=0)
        assert math.isnan(one.r) and math.isnan(one.p)
    with pytest.raises(InputError, match="profile test"):
        stats.profile_test(x[:4], y[:4], np.array(ANGLES[:4]), seed=0)


def test_what_all_units_share_and_what_a_unit_adds_to_all_is_taken_out():
    rng = np.random.default_rng(4)
    own = stats.without_generic(rng.standard_normal((6, 10)))
    again = stats.without_generic(own + rng.standard_normal((6, 1)) + rng.standard_normal((1, 10)))
    np.testing.assert_allclose(again, own, atol=1e-12)
    np.testing.assert_allclose([own.mean(axis=0).max(), own.mean(axis=1).max()], 0, atol=1e-12)
    holed = rng.standard_normal((6, 10))
    holed[2, 3] = np.nan
    left = stats.without_generic(holed)
    assert np.isnan(left[2, 3]) and np.isfinite(left).sum() == 59
    np.testing.assert_allclose(np.nansum(left, axis=0), 0, atol=1e-6)
    assert (stats.without_generic(np.add.outer(np.arange(4.0), np.arange(5.0))) == 0).all()


def test_units_are_identified_by_their_own_profile_and_not_by_what_all_share():
    rng = np.random.default_rng(5)
    generic, own = 5 * rng.standard_normal(10), rng.standard_normal((12, 10))
    x, y = (generic + own + 0.3 * rng.standard_normal((12, 10)) for _ in range(2))
    found = stats.identify(x, y, seed=0)
    assert found.accuracy > 0.9 and found.p < 0.01 and found.chance == pytest.approx(1 / 12)
    hits = [
        stats.identify(*(generic + rng.standard_normal((2, 12, 10))), draws=39, seed=i).p <= 0.05 for i in range(150)
    ]
    assert np.mean(hits) <= 0.09
    assert math.isnan(stats.identify(x[:2], y[:2], seed=0).accuracy)
    assert stats.identify(np.ones((5, 10)), y[:5], seed=0).accuracy == pytest.approx(1 / 5), "ties are shared out"


# Independent libraries, where they are installed.


def test_references_agree_where_they_are_installed():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        audmetric = pytest.importorskip("audmetric")
        rthor = pytest.importorskip("rthor")
        told = rthor.test(matrix(INTERESTS), order="circular6")
    x, y = pair(7)
    assert stats.concordance(x, y).estimate == pytest.approx(audmetric.concordance_cc(x, y), abs=1e-12)
    found = stats.correspondence(matrix(INTERESTS), seed=0)
    assert (found.index, found.p) == (pytest.approx(told["ci"].iloc[0]), pytest.approx(told["p_value"].iloc[0]))
