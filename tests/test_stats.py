"""Statistics agree with published examples, references and simulated truth, and refuse where there is none."""

import gc
import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests
from vprobe import stats
from vprobe.errors import RefusedError

SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float
)


def clusters(rng, n_groups=104, size=5, icc=0.3, r=0.0):
    """Return x, y and groups: deviations correlate with r, and both have a group component of share icc."""
    groups = np.repeat(np.arange(n_groups), size)
    inner = rng.standard_normal((n_groups * size, 2))
    inner[:, 1] = r * inner[:, 0] + math.sqrt(1 - r * r) * inner[:, 1]
    outer = rng.standard_normal((n_groups, 2))[groups]
    both = math.sqrt(icc) * outer + math.sqrt(1 - icc) * inner
    return both[:, 0], both[:, 1], groups


def test_icc_gives_the_published_numbers():
    found = stats.icc(SHROUT_FLEISS)
    got = (found.icc1, found.icc2, found.icc3, found.icc1k, found.icc2k, found.icc3k)
    assert np.round(got, 2).tolist() == [0.17, 0.29, 0.71, 0.44, 0.62, 0.91]


def test_icc_leaves_incomplete_rows_out_and_does_not_exist_without_variation():
    holed = np.vstack([SHROUT_FLEISS, [1.0, np.nan, 3.0, 4.0]])
    assert stats.icc(holed) == stats.icc(SHROUT_FLEISS)
    assert math.isnan(stats.icc(np.ones((5, 3))).icc3k)
    assert math.isnan(stats.icc(np.ones((5, 1))).icc3)


def test_correlations_equal_scipy_with_ties_and_gaps():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 5, 60).astype(float), rng.standard_normal(60)
    y[:3] = np.nan
    assert stats.pearson(x, y) == pytest.approx(scipy_stats.pearsonr(x[3:], y[3:])[0], abs=1e-12)
    assert stats.spearman(x, y) == pytest.approx(scipy_stats.spearmanr(x[3:], y[3:])[0], abs=1e-12)
    assert math.isnan(stats.pearson(np.full(9, 0.1), y[:9]))
    assert math.isnan(stats.pearson(x[:2], y[3:5]))


def test_fisher_mean_leaves_missing_out():
    r = np.array([0.9, np.nan, 0.1])
    assert stats.fisher_mean(r) == pytest.approx(math.tanh((math.atanh(0.9) + math.atanh(0.1)) / 2))
    assert stats.fisher_mean(np.ones(2)) == pytest.approx(1.0)
    assert math.isnan(stats.fisher_mean(np.array([np.nan])))


def test_spearman_brown_matches_parallel_tests():
    assert stats.spearman_brown(0.5) == pytest.approx(2 / 3)
    assert stats.spearman_brown(0.25, 4.0) == pytest.approx(4 / 7)
    assert math.isnan(stats.spearman_brown(-1.0))


def test_correcting_for_noise_is_refused_below_a_fifth():
    assert stats.disattenuate(0.3, 0.36) == pytest.approx(0.5)
    for reliability in (0.19, -0.2, math.nan):
        with pytest.raises(RefusedError, match="unmeasurable"):
            stats.disattenuate(0.3, reliability)


def test_within_group_sums_equal_a_plain_loop_with_gaps_and_any_row_order():
    rng = np.random.default_rng(1)
    groups = np.repeat(list("cabd"), [4, 3, 5, 1])
    x, y = rng.standard_normal((2, 13, 3))
    x[2, 0] = y[5, 1] = np.nan
    found = stats.within_r(x, y, tuple(groups))
    for column in range(3):
        a, b = [], []
        for group in "abcd":
            rows = (groups == group) & np.isfinite(x[:, column]) & np.isfinite(y[:, column])
            a += list(x[rows, column] - x[rows, column].mean())
            b += list(y[rows, column] - y[rows, column].mean())
        assert found[column] == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-12)
    order = rng.permutation(13)
    np.testing.assert_allclose(stats.within_r(x[order], y[order], tuple(groups[order])), found, atol=1e-12)


def test_within_group_correlation_ignores_group_means_and_a_pooled_one_does_not():
    rng = np.random.default_rng(2)
    x, y, groups = clusters(rng, 2000, 5, icc=0.8)
    shared = 3 * rng.standard_normal(2000)[groups]
    assert abs(stats.within_r((x + shared)[:, None], (y + shared)[:, None], groups)[0]) < 0.03
    assert stats.pearson(x + shared, y + shared) > 0.8


def test_a_side_without_variation_has_no_correlation():
    groups = np.repeat(np.arange(4), 3)
    constant = np.repeat(np.array([0.1, 0.7, 1e6, -3.3]), 3)[:, None] + 0.1
    assert np.isnan(stats.within_r(constant, np.arange(12.0)[:, None], groups)).all()
    assert np.isnan(stats.within_r(np.arange(12.0)[:, None], np.full((12, 1), np.nan), groups)).all()


def test_slope_is_points_per_within_group_standard_deviation():
    rng = np.random.default_rng(3)
    x, noise, groups = clusters(rng, 3000, 5, icc=0.5)
    y = 0.7 * x + 0.1 * noise
    slope = stats.slope_of(stats.within(x[:, None], y[:, None], groups).totals)[0]
    assert slope == pytest.approx(0.7 * math.sqrt(0.5), abs=0.01)


@pytest.mark.parametrize("icc", [0.3, 0.8])
def test_the_interval_covers_the_truth_and_an_interval_over_single_items_does_not(icc):
    # Ratings of one query share an effect of x here, so items are not independent even as deviations.
    rng = np.random.default_rng(4)
    covered, naive, reps = 0, 0, 300
    for rep in range(reps):
        groups = np.repeat(np.arange(104), 5)
        x = rng.standard_normal(520)
        slope = 0.3 + math.sqrt(icc) * rng.standard_normal(104)[groups]
        y = slope * x + math.sqrt(1 - icc + 0.05) * rng.standard_normal(520)
        truth = 0.3 / math.sqrt(0.09 + icc + 1 - icc + 0.05)
        sums = stats.within(x[:, None], y[:, None], groups).column(0)
        ends = stats.interval(sums, stats.correlation_of, seed=rep, resamples=400)
        covered += ends.low <= truth <= ends.high
        z = math.atanh(stats.correlation_of(sums.sum(axis=0)))
        naive += abs(z - math.atanh(truth)) <= 1.96 / math.sqrt(520 - 104 - 2)
    assert 0.90 <= covered / reps <= 0.985  # .95 less and plus 3 standard errors and BCa's small-sample error
    if icc == 0.8:
        assert naive / reps < 0.90


def test_an_interval_that_cannot_be_had_says_why():
    one = np.ones((2, 4))
    assert "needs 3" in stats.interval(one, stats.correlation_of, seed=0).reason
    same = stats.interval(np.tile([4.0, 2.0, 2.0, 2.0], (9, 1)), stats.correlation_of, seed=0, resamples=200)
    assert math.isnan(same.low) and "degenerate" in same.reason


def test_intervals_repeat_with_a_seed():
    x, y, groups = clusters(np.random.default_rng(5), r=0.3)
    parts = stats.within(x[:, None], y[:, None], groups).column(0)
    first, again, other = (stats.interval(parts, stats.correlation_of, seed=s, resamples=200) for s in (1, 1, 2))
    assert first == again != other


def test_permutation_p_counts_ties_and_never_reaches_zero():
    null = np.array([[0.1], [0.2], [0.3], [np.nan]])
    assert stats.permutation_p(np.array([0.2]), null)[0] == pytest.approx(3 / 4)
    assert stats.permutation_p(np.array([0.9]), null)[0] == pytest.approx(1 / 4)
    assert math.isnan(stats.permutation_p(np.array([np.nan]), null)[0])
    assert math.isnan(stats.permutation_p(np.array([0.2]), null[3:])[0])


def test_max_t_holds_the_family_error_and_single_p_does_not():
    rng = np.random.default_rng(6)
    single = family = 0
    for _ in range(400):
        stat, null = rng.standard_normal(20), rng.standard_normal((99, 20))
        single += stats.permutation_p(stat, null).min() <= 0.05
        family += stats.max_t_p(stat, null).min() <= 0.05
    assert single / 400 > 0.5
    assert family / 400 < 0.09
    assert stats.max_t_p(np.array([9.0, 0.0]), rng.standard_normal((99, 2)))[0] == 0.01


def test_holm_is_that_of_statsmodels_leaves_out_what_does_not_exist_and_keeps_nothing_frozen():
    p = stats.holm(np.array([0.01, np.nan, 0.04, 0.03]))
    assert p[0] == pytest.approx(0.03) and math.isnan(p[1]) and p[2:] == pytest.approx((0.06, 0.06))
    assert stats.holm(np.array([])).shape == (0,) and np.isnan(stats.holm(np.array([np.nan]))).all()
    rng = np.random.default_rng(5)
    for n in (1, 2, 10, 200):
        p = np.round(rng.uniform(0.0, 1.0, n) ** 3, 2)  # with ties
        assert (stats.holm(p) == multipletests(p, method="holm")[1]).all()
    frozen = gc.get_freeze_count()
    assert frozen == 0 and np.isnan(stats.holm(np.array([np.nan, 0.5]))[0]) and gc.get_freeze_count() == 0
