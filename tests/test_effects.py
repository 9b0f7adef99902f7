"""Dose-response, effect matrix, specificity and leakage on ratings whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats
from vprobe import effects
from vprobe.cli import show
from vprobe.errors import InputError
from vprobe.values import SCHWARTZ, angle

DOSES = np.array([-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0])
GROUPS = tuple(f"q{i // 5}" for i in range(200))


def world(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels of ten values for 200 items, and ratings before steering."""
    rng = np.random.default_rng(seed)
    mix = np.eye(10) + 0.3 * rng.standard_normal((10, 10))
    return rng.standard_normal((200, 10)) @ mix, rng.uniform(2, 5, 200)


def test_slopes_are_those_of_linear_regression_item_by_item() -> None:
    rng = np.random.default_rng(1)
    ratings = rng.standard_normal((7, 4))
    ratings[2, 1] = np.nan
    ratings[1:, 3] = np.nan
    found = effects.item_slopes(ratings, DOSES)
    for item in (0, 1, 2):
        known = np.isfinite(ratings[:, item])
        assert found[item] == pytest.approx(np.polyfit(DOSES[known], ratings[known, item], 1)[0])
    assert np.isnan(found[3])


def test_a_vector_that_works_has_slope_trend_and_no_item_against_it() -> None:
    labels, base = world()
    ratings = base + 0.4 * DOSES[:, None] * labels[:, 0]
    found = effects.dose_response(ratings, DOSES, labels[:, 0], GROUPS, seed=0)
    assert found.slope == pytest.approx(0.4 * np.abs(labels[:, 0]).mean())
    assert found.low < found.slope < found.high
    assert (found.anti, found.rho, found.n_items, found.n_unscored) == (0.0, pytest.approx(1.0), 200, 0)
    assert found.trend > 10 and found.trend_p == pytest.approx(1 / 1000)
    assert found.asymmetry == pytest.approx(1.0) and np.isnan(found.saturation)


def test_items_that_hardly_express_the_value_can_be_left_out() -> None:
    labels, base = world()
    noise = np.random.default_rng(9).standard_normal(200) * 0.2
    ratings = base + DOSES[:, None] * (labels[:, 0] + noise)
    every = effects.dose_response(ratings, DOSES, labels[:, 0], GROUPS, seed=0)
    keyed = effects.dose_response(ratings, DOSES, labels[:, 0], GROUPS, seed=0, keyed=0.5)
    assert keyed.n_items == keyed.n_unscored == 100
    assert every.anti > 0.02 and keyed.anti == 0.0 and keyed.slope > every.slope


def test_round_off_goes_nobodys_way() -> None:
    labels, base = world()
    still = base + 1e-6 * np.random.default_rng(2).standard_normal((7, 200))
    found = effects.dose_response(still, 0.03 * DOSES, labels[:, 0], GROUPS, seed=0)
    assert found.anti == 0.0 and np.isnan(found.rho) and np.isnan(found.asymmetry) and np.isnan(found.saturation)
    assert effects.against_label(still[0] - base, labels[:, 0], keyed=0.5) == 0.0
    assert effects.against_label(-0.01 * labels[:, 0], labels[:, 0], keyed=0.5) == 1.0


def test_a_yes_bias_steers_half_of_the_items_against_their_label() -> None:
    base = world()[1]
    signs = np.where(np.arange(200) % 2, 1.0, -1.0)
    ratings = base + 0.4 * DOSES[:, None]
    found = effects.dose_response(ratings, DOSES, signs, GROUPS, seed=0)
    assert found.anti == 0.5 and found.anti_low < 0.5 < found.anti_high
    assert abs(found.slope) < 1e-12 and found.trend_p > 0.01


def test_no_effect_gives_a_uniform_p() -> None:
    rng = np.random.default_rng(3)
    p = [
        effects.dose_response(rng.standard_normal((7, 30)), DOSES, np.ones(30), GROUPS[:30], seed=i, draws=99).trend_p
        for i in range(100)
    ]
    assert scipy_stats.binomtest(int((np.array(p) <= 0.1).sum()), 100, 0.1).pvalue > 0.01


def test_page_trend_is_scipys() -> None:
    rng = np.random.default_rng(4)
    ratings = rng.standard_normal((7, 20)) + 0.3 * DOSES[:, None]
    found = effects.dose_response(ratings, DOSES, np.ones(20), GROUPS[:20], seed=0, draws=4999)
    wanted = scipy_stats.page_trend_test(ratings.T, method="asymptotic")
    assert found.trend_p == pytest.approx(wanted.pvalue, abs=0.01)


def test_saturation_and_asymmetry_are_seen() -> None:
    curve = np.array([-0.5, -0.5, -0.25, 0.0, 0.25, 0.5, 0.55])
    found = effects.dose_response(curve[:, None] + np.zeros((7, 20)), DOSES, np.ones(20), GROUPS[:20], seed=0)
    assert found.saturation == 0.5
    assert found.asymmetry == pytest.approx(0.55 / 0.5)
    down = np.array([-0.5, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0])
    found = effects.dose_response(down[:, None] + np.zeros((7, 20)), DOSES, np.ones(20), GROUPS[:20], seed=0)
    assert found.saturation == 0.5, "of the doses below 0 too"


def test_items_without_label_or_ratings_are_counted() -> None:
    labels, base = world()
    ratings = base + DOSES[:, None] * labels[:, 0]
    ratings[:, 0], labels[1, 0], labels[2, 0] = np.nan, np.nan, 0.0
    found = effects.dose_response(ratings, DOSES, labels[:, 0], GROUPS, seed=0)
    assert (found.n_items, found.n_unscored) == (197, 3)
    nothing = effects.dose_response(np.full((7, 4), np.nan), DOSES, np.ones(4), GROUPS[:4], seed=0)
    assert nothing.n_items == 0 and np.isnan(nothing.slope) and np.isnan(nothing.anti)
    with pytest.raises(InputError, match="doses"):
        effects.dose_response(ratings, np.zeros(7), labels[:, 0], GROUPS, seed=0)


def test_unique_effects_are_planted_ones_and_marginal_ones_follow_the_labels_correlation() -> None:
    labels, _ = world()
    truth = 0.5 * np.eye(10)
    truth[0, 3] = 0.2
    x = labels - np.array([labels[np.array(GROUPS) == g].mean(axis=0) for g in GROUPS])
    spread = np.sqrt((x**2).sum(axis=0) / (200 - 40))
    moved = truth @ (labels / spread).T + 0.7
    unique = effects.effect_matrix(moved, labels, GROUPS, kind="unique", seed=0)
    assert np.abs(unique.effect - truth).max() < 1e-9
    marginal = effects.effect_matrix(moved, labels, GROUPS, kind="marginal", seed=0)
    r = np.corrcoef((x / spread).T)
    assert np.abs(marginal.effect - truth @ r).max() < 1e-9
    assert (marginal.low <= marginal.effect).all() and (marginal.effect <= marginal.high).all()


def test_effects_of_different_items_compare_in_one_spread() -> None:
    labels, _ = world()
    few, many = labels[:100] * 0.8, labels  # the same points per unit of label, on items that differ less
    whole = effects.label_spread(many, GROUPS)
    own, unit = (
        [effects.effect_matrix(2.0 * x[:, :1].T, x, g, kind="unique", seed=0, spread=s).effect[0, 0]
         for x, g in ((few, GROUPS[:100]), (many, GROUPS))]
        for s in (None, whole)
    )  # fmt: skip
    assert unit == pytest.approx([2.0 * whole[0]] * 2) and own[0] / own[1] < 0.9
    x = labels - np.array([labels[np.array(GROUPS) == g].mean(axis=0) for g in GROUPS])
    assert whole == pytest.approx(np.sqrt((x**2).sum(axis=0) / (200 - 40)))
    labels[:, 4], labels[0, 0] = 1.0, np.nan
    assert np.isnan(effects.label_spread(labels, GROUPS)).tolist() == [i == 4 for i in range(10)]
    assert np.isnan(effects.label_spread(labels * np.nan, GROUPS)).all()


def test_intervals_of_the_matrix_hold_the_truth() -> None:
    rng, hits = np.random.default_rng(6), []
    for seed in range(60):
        labels = rng.standard_normal((200, 3))
        moved = 0.3 * labels[:, :1].T + rng.standard_normal((1, 200))
        found = effects.effect_matrix(moved, labels, GROUPS, kind="unique", seed=seed, resamples=300)
        x = labels - labels.reshape(40, 5, 3).mean(axis=1).repeat(5, axis=0)
        wanted = 0.3 * np.array([1, 0, 0]) * np.sqrt((x**2).sum(axis=0) / 160)
        hits.append((found.low[0] <= wanted) & (wanted <= found.high[0]))
        np.testing.assert_array_equal([found.low, found.high], np.quantile(found.draws, (0.025, 0.975), axis=0))
    assert 0.87 <= np.mean(hits) <= 0.99


def test_queries_too_few_to_tell_the_values_apart_when_drawn_again_give_no_interval() -> None:
    labels, _ = world()
    moved = labels[:, :1].T + np.random.default_rng(4).standard_normal((1, 200))
    few, some = (
        effects.effect_matrix(moved[:, :n], labels[:n], GROUPS[:n], kind="unique", seed=0, resamples=400)
        for n in (15, 40)
    )
    assert few.n_items == 15 and np.isfinite(few.effect).all()  # 12 degrees of freedom for 10 values
    assert np.isnan(few.low).all() and np.isnan(few.high).all()
    assert (some.low < some.high).all() and (np.isnan(some.draws).mean(axis=0) <= effects.LOST).all()
    labels[:, 9] = -labels[:, :9].sum(axis=1)  # told by the others: fewer are apart in all items, too
    told = effects.effect_matrix(moved, labels, GROUPS, kind="unique", seed=0, resamples=100)
    assert np.isfinite(told.low).all() and np.isfinite(told.draws).all()


def test_items_with_gaps_leave_the_matrix_and_a_constant_label_has_no_effect() -> None:
    labels, _ = world()
    labels[:, 4], labels[0, 0] = 1.0, np.nan
    found = effects.effect_matrix(labels[:, :1].T.copy() * 0 + 1.0, labels, GROUPS, kind="marginal", seed=0)
    assert (found.n_items, found.n_unscored) == (199, 1)
    assert np.isnan(found.effect[0, 4]) and np.isfinite(found.effect[0, 1])
    with pytest.raises(InputError, match="kind"):
        effects.effect_matrix(np.ones((1, 200)), labels, GROUPS, kind="both", seed=0)


def test_a_row_is_lift_plus_wave_plus_leakage() -> None:
    turn = np.deg2rad([angle(v) for v in SCHWARTZ])
    row = 0.2 + 0.5 * np.cos(turn - np.deg2rad(angle("hedonism") + 15))
    found = effects.circle_fit(row, "hedonism", SCHWARTZ)
    assert found.amplitude == pytest.approx(0.5) and found.displacement == pytest.approx(15.0)
    assert found.r2 == pytest.approx(1.0) and found.gain > 0.4 and 0.05 < found.leakage < 0.15
    row = 0.2 + 0.5 * np.cos(turn - np.deg2rad(angle("hedonism")))
    found = effects.circle_fit(row, "hedonism", SCHWARTZ)
    assert (found.uniform, found.gain) == (pytest.approx(0.2), pytest.approx(0.5))
    assert found.leakage == pytest.approx(0.0, abs=1e-12)
    leaking = row.copy()
    leaking[SCHWARTZ.index("security")] += 1.0
    assert effects.circle_fit(leaking, "hedonism", SCHWARTZ).leakage > 0.1
    assert np.isnan(effects.circle_fit(np.full(10, np.nan), "hedonism", SCHWARTZ).r2)


def test_what_only_the_target_gets_is_no_lift_no_circle_and_no_leakage() -> None:
    turn, own = np.deg2rad([angle(v) for v in SCHWARTZ]), SCHWARTZ.index("power")
    alone = np.zeros(10)
    alone[own] = 3.0
    found = effects.circle_fit(alone, "power", SCHWARTZ)
    assert (found.uniform, found.gain, found.leakage) == pytest.approx((0.0, 0.0, 0.0), abs=1e-12)
    both = alone + 0.1 + 0.4 * np.cos(turn - turn[own])
    found = effects.circle_fit(both, "power", SCHWARTZ)
    assert (found.uniform, found.gain, found.leakage) == pytest.approx((0.1, 0.4, 0.0), abs=1e-12)


def test_a_wave_that_peaks_beside_the_target_is_leakage() -> None:
    turn = np.deg2rad([angle(v) for v in SCHWARTZ])
    found = effects.circle_fit(0.5 * np.cos(turn - np.deg2rad(angle("power") + 90)), "power", SCHWARTZ)
    assert found.r2 == pytest.approx(1.0) and abs(found.gain) < 0.1 and found.leakage > 0.3


def test_others_at_one_distance_from_the_target_tell_no_lift_from_a_circle() -> None:
    four = ("hedonism", "achievement", "stimulation", "hedonism")
    assert np.isnan(effects.circle_fit(np.array([1.0, 0.2, 0.2, 1.0]), "hedonism", four).gain)


def test_selectivity_and_excess() -> None:
    effect = np.array([[1.0, 0.2], [-0.5, 2.0]])
    assert effects.selectivity(effect) == pytest.approx([0.2, 0.25])
    human = np.array([[1.0, 0.2], [-0.1, 1.0]])
    assert effects.excess(effect, human) == pytest.approx(np.array([[0.0, 0.0], [-0.3, 0.0]]))
    assert np.isnan(effects.selectivity(np.zeros((2, 2)))).all()


def test_leakage_in_its_normalisations() -> None:
    found = effects.Acceptance(np.array([0.5, 0.8]), np.array([[0.9, 0.9], [0.4, 0.95]]), 5)
    out = effects.leakage(found)
    assert out["raw"][0, 1] == pytest.approx(0.1) and out["raw"][1, 0] == 0.0
    assert out["gain"][0, 1] == pytest.approx(0.1 / 0.4)
    assert out["headroom"][0, 1] == pytest.approx(0.1 / 0.2)
    assert out["relative"][0, 1] == pytest.approx((0.1 / 0.2) / (0.4 / 0.5))
    assert all(np.isnan(one[0, 0]) for one in out.values())


def test_acceptance_reads_the_items_that_express_a_value_most() -> None:
    labels = np.array([[3.0, 0.0], [2.0, 0.0], [1.0, 5.0], [0.0, 4.0]])
    found = effects.acceptance(np.array([6.0, 1, 1, 1]), np.array([[1.0, 1, 6, 1]]), labels, low=1.0, high=6.0)
    assert found.base.tolist() == [1.0, 0.0] and found.steered.tolist() == [[0.0, 1.0]]
    with pytest.raises(InputError, match="scale"):
        effects.acceptance(np.ones(4), np.ones((1, 4)), labels, low=1.0, high=1.0)


def test_least_leakage_hits_the_target_and_leaves_the_others() -> None:
    rng = np.random.default_rng(8)
    effect = np.eye(4) * 2 + 0.3 * rng.standard_normal((4, 4))
    wanted = np.array([0.5, 0.0, 0.0, 0.0])
    doses = effects.least_leakage(effect, wanted, np.ones(4), most=np.ones(4))
    assert doses @ effect == pytest.approx(wanted, abs=1e-6)
    alone = effects.least_leakage(effect, wanted, np.array([1.0, 0, 0, 0]), most=np.ones(4))
    assert (alone @ effect)[0] == pytest.approx(0.5, abs=1e-6)
    bounded = effects.least_leakage(effect, wanted, np.ones(4), most=np.full(4, 0.1))
    assert np.abs(bounded).max() <= 0.1 + 1e-9 and (bounded @ effect)[0] < 0.5
    small = effects.least_leakage(effect, wanted, np.ones(4), most=np.ones(4), shrink=10.0)
    assert np.abs(small).sum() < np.abs(doses).sum()
    with pytest.raises(InputError, match="steer solve"):
        effects.least_leakage(effect * np.nan, wanted, np.ones(4), most=np.ones(4))


def test_a_miss_counts_by_its_weight_squared_and_corrected_effects_say_what_the_last_step_did() -> None:
    effect, wanted, weights = np.array([[2.0, 0.5]]), np.array([1.0, -1.0]), np.array([4.0, 1.0])
    best = (weights * effect[0] * wanted).sum() / (weights * effect[0] ** 2).sum()
    assert effects.least_leakage(effect, wanted, weights, most=np.ones(1)) == pytest.approx([best])
    believed, step, gained = np.eye(3) + 0.1, np.array([0.2, -0.1, 0.0]), np.array([0.3, 0.1, -0.2])
    found = effects.turned(believed, step, gained)
    np.testing.assert_allclose(step @ found, gained)
    for still in (np.array([0.0, 0.0, 1.0]), np.array([0.1, 0.2, 0.0])):
        np.testing.assert_allclose(still @ found, still @ believed, err_msg="nothing was learned of other doses")


def test_a_share_or_an_interval_that_does_not_exist_is_printed_as_such() -> None:
    assert show.share_of(0.3, float("nan"), float("nan")) == "30% (n/a)" and show.share_of(*[float("nan")] * 3) == "n/a"
    assert show.share_of(0.3, 0.1, 0.5) == "30% (10% .. 50%)" and show.ends(0.1, 0.25, "+.2f") == "+0.10 .. +0.25"
    assert show.ends(-0.0001, 0.1) == "0.000 .. 0.100" and show.share_of(-0.001, -0.1, 0.0) == "0% (-10% .. 0%)"


def test_a_p_value_is_never_printed_as_zero() -> None:
    told = [show.chance(p) for p in (0.0, 0.0004, 0.0006, 1.0, float("nan"))]
    assert told == ["<0.001", "<0.001", "0.001", "1.000", "n/a"] and show.chance(0.0005, 4) == "0.0005"


def test_a_title_keeps_its_line_above_a_narrow_table(capsys) -> None:
    show.table("a title that is wider than the table", ("x",), [("1",)])
    assert capsys.readouterr().out.splitlines()[0].rstrip() == "a title that is wider than the table"
