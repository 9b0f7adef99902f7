"""Over conditions, what is read and what is done agree where planted; what all conditions share is no agreement."""

import math

import numpy as np
import pytest
from vprobe import agreement
from vprobe.errors import InputError

VALUES = ("power", "security", "tradition")


def compare(probe, behavior, *, values=VALUES, draws=199, seed=0, resamples=200):
    return agreement.conditions(
        probe, behavior, values=values, site="resid_post.3", method="partial", draws=draws, seed=seed,
        resamples=resamples,
    )  # fmt: skip


def tied(seed, *, r=0.8, n=30, k=3):
    """Return two measures of k values over n conditions that correlate r in the population."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, k))
    return x, r * x + math.sqrt(1 - r * r) * rng.standard_normal((n, k))


def test_planted_agreement_is_found_value_by_value_and_together():
    probe, behavior = tied(0)
    rows = compare(probe, behavior, draws=999)
    assert [row.value for row in rows] == [*VALUES, "all"]
    for row in rows:
        assert row.p == pytest.approx(0.001) and row.low < row.estimate < row.high
        assert row.low > row.null_high and abs(row.null_mean) < 0.03
        assert (row.level, row.comparison, row.statistic) == ("condition", "probe~behavior", "r over conditions")
        assert (row.n_scored, row.n_unscored, row.n_groups) == (30, 0, 30)
        assert (row.site, row.method) == ("resid_post.3", "partial") and math.isnan(row.ceiling)
    for column, row in enumerate(rows[:-1]):
        assert row.estimate == pytest.approx(np.corrcoef(probe[:, column], behavior[:, column])[0, 1])
        assert row.p_family == pytest.approx(0.001)
    assert rows[-1].estimate == pytest.approx(np.mean([row.estimate for row in rows[:-1]]))
    assert math.isnan(rows[-1].p_family), "the mean is not of the values' family"


def test_measures_that_go_against_each_other_do_not_agree():
    probe, behavior = tied(1)
    for row in compare(probe, -behavior):
        assert row.estimate < -0.5 and row.p == pytest.approx(1.0) and row.high < row.null_low


def test_conditions_paired_at_random_are_called_agreement_at_the_rate_alpha():
    single = together = family = 0
    for seed in range(300):
        probe, behavior = tied(seed, n=15)
        shared = np.random.default_rng(9000 + seed).permutation(15)
        rows = compare(probe, behavior[shared], draws=39, seed=seed, resamples=2)
        single += sum(row.p <= 0.05 for row in rows[:-1])
        family += any(row.p_family <= 0.05 for row in rows[:-1])
        together += rows[-1].p <= 0.05
    assert 0.03 < single / 900 < 0.07
    assert 0.02 < together / 300 < 0.09 and 0.02 < family / 300 < 0.09


def test_correlations_between_values_do_not_make_the_mean_over_values_significant():
    # Ten measures of one thing are one: shuffling each value apart would give a null for the mean far too narrow.
    hits = naive = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        one, other = rng.standard_normal((2, 15, 1))
        probe, behavior = (side + 0.2 * rng.standard_normal((15, 10)) for side in (one, other))
        row = compare(probe, behavior, values=tuple("abcdefghij"), draws=39, seed=seed, resamples=2)[-1]
        hits += row.p <= 0.05
        naive += row.estimate > 1.645 / math.sqrt(14 * 10)
    assert hits / 100 <= 0.1 and naive / 100 > 0.2


def test_what_all_conditions_share_is_taken_out():
    profile = np.array([5.0, -3.0, 1.0])
    probe, behavior = tied(2)
    plain, moved = compare(probe, behavior), compare(probe + 7 * profile, behavior - 2 * profile)
    for one, other in zip(plain, moved, strict=True):
        for name in ("estimate", "low", "high", "p", "null_low", "null_high"):
            assert getattr(other, name) == pytest.approx(getattr(one, name), abs=1e-9)
    for scaled, one in zip(compare(3 * probe, 0.01 * behavior), plain, strict=True):
        assert scaled.estimate == pytest.approx(one.estimate) and scaled.p == one.p
    probe, behavior = tied(3, r=0.0)
    rows = compare(probe + profile, behavior + profile)
    assert np.corrcoef((probe + profile).ravel(), (behavior + profile).ravel())[0, 1] > 0.8
    assert all(abs(row.estimate) < 0.4 and row.p > 0.05 for row in rows)
    assert "generic profile removed" in rows[0].note and "conditions shuffled, values together" in rows[0].note


def test_a_missing_number_leaves_out_its_condition_for_its_value_only():
    probe, behavior = tied(4)
    probe[3, 0], behavior[[3, 7], 0] = np.nan, np.nan
    rows, kept = compare(probe, behavior), np.delete(np.arange(30), [3, 7])
    assert rows[0].estimate == pytest.approx(np.corrcoef(probe[kept, 0], behavior[kept, 0])[0, 1])
    assert [(row.n_scored, row.n_unscored) for row in rows] == [(28, 2), (30, 0), (30, 0), (28, 2)]
    assert all(row.p < 0.02 for row in rows)
    whole = compare(*tied(4))
    assert [row.estimate for row in rows[1:3]] == [row.estimate for row in whole[1:3]]


def test_a_value_never_measured_has_no_number_and_neither_has_the_mean():
    probe, behavior = tied(5)
    behavior[:, 1] = np.nan
    rows = compare(probe, behavior)
    for row in (rows[1], rows[3]):
        assert math.isnan(row.estimate) and math.isnan(row.p) and math.isnan(row.low) and row.n_scored == 0
    assert rows[0].p == rows[2].p == pytest.approx(0.005)
    assert rows[0].p_family == pytest.approx(0.005), "the others are a family still"


def test_fewer_than_five_conditions_or_columns_without_a_value_are_refused():
    probe, behavior = tied(6)
    assert agreement.NEEDED_CONDITIONS == 5
    assert all(math.isfinite(row.estimate) for row in compare(probe[:5], behavior[:5]))
    with pytest.raises(InputError, match=r"agreement over conditions: \(4, 3\)[\s\S]*5 conditions"):
        compare(probe[:4], behavior[:4])
    with pytest.raises(InputError, match="for 2 values"):
        compare(probe, behavior, values=VALUES[:2])


@pytest.mark.parametrize(("r", "n"), [(0.7, 30), (0.0, 20)])
def test_intervals_hold_the_true_correlation_about_as_often_as_they_say(r, n):
    single = together = 0
    for seed in range(200):
        rows = compare(*tied(1000 + seed, r=r, n=n, k=2), values=VALUES[:2], draws=1, resamples=300)
        single += sum(row.low <= r <= row.high for row in rows[:-1])
        together += rows[-1].low <= r <= rows[-1].high
    assert 0.88 < single / 400 < 0.99
    assert 0.85 < together / 200 < 0.99


def test_the_same_seed_gives_the_same_rows():
    probe, behavior = tied(7, r=0.3)
    assert compare(probe, behavior, seed=1) == compare(probe, behavior, seed=1)
    one, other = compare(probe, behavior, seed=1)[0], compare(probe, behavior, seed=2)[0]
    assert one.estimate == other.estimate and (one.p, one.low) != (other.p, other.low)
