"""Each estimator is what it says it is: scikit-learn's, the theorem's or the formula's, and finds what it is for."""

import numpy as np
import pytest
from scipy import optimize
from sklearn.covariance import OAS, LedoitWolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression
from vprobe import controls, directions, registry, stats
from vprobe.directions import (
    haufe,
    label_shuffled,
    lda,
    lda_oas,
    leace,
    logistic,
    pca_pairs,
    random_isotropic,
    random_matched,
    relu_l1,
    ridge,
    whitened,
)
from vprobe.errors import InputError, RefusedError

GROUPS = np.repeat(np.arange(60), 5)
METHODS = directions.methods()
NULLS = directions.nulls()
JOINT = tuple(m for m in METHODS if registry.load("vprobe.directions", m).JOINT)


def world(seed, *, k=3, d=16, r=0.0, noise=1.0):
    """Return x, y and the encodings: k values correlated r, written along unit directions at right angles."""
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((300, k)) @ np.linalg.cholesky((1 - r) * np.eye(k) + r).T
    encoding = np.linalg.qr(rng.standard_normal((d, k)))[0].T
    shared = rng.standard_normal((60, k))[GROUPS]
    return 2 * scores @ encoding + noise * rng.standard_normal((300, d)) + shared @ encoding, scores + shared, encoding


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def centred(x, y):
    return stats.centre(x, GROUPS), stats.centre(y, GROUPS)


def same_line(a, b, atol=1e-6):
    np.testing.assert_allclose(unit(a), unit(b), atol=atol)


# All of them.


@pytest.mark.parametrize("method", [m for m in METHODS if m not in NULLS])
def test_planted_directions_of_several_values_are_found_and_each_is_its_own(method):
    x, y, encoding = world(0)
    found = directions.fit(x, y, GROUPS, method=method, seed=0) @ encoding.T
    assert np.diag(found).min() > 0.85
    assert np.abs(found[~np.eye(3, dtype=bool)]).max() < 0.5


@pytest.mark.parametrize("method", NULLS)
def test_nulls_find_no_planted_direction_and_their_signs_and_seeds_are_chance(method):
    x, y, encoding = world(1)
    drawn = np.stack([directions.fit(x, y, GROUPS, method=method, seed=s) for s in range(60)])
    along = (drawn * encoding).sum(axis=2)
    assert abs(along.mean()) < 4 * along.std() / np.sqrt(along.size)
    assert np.abs(along).mean() < 0.6 and 0.3 < (along > 0).mean() < 0.7
    assert len(np.unique(drawn[:, 0, 0])) == 60, "another seed must be another draw"
    np.testing.assert_array_equal(drawn[7], directions.fit(x, y, GROUPS, method=method, seed=7))


@pytest.mark.parametrize("d", [16, 400])
@pytest.mark.parametrize("method", METHODS)
def test_labels_of_no_use_have_no_direction_and_constant_activations_have_none(method, d):
    x, y, _ = world(2, d=d)
    y[:, 1] = np.linspace(0, 1, 60)[GROUPS]
    found = directions.fit(x, y, GROUPS, method=method, seed=0)
    assert np.isnan(found[1]).all() and np.isfinite(found[[0, 2]]).all()
    assert np.isnan(directions.fit(x * 0 + 3, y, GROUPS, method=method, seed=0)[0]).all()
    y[:, 0] = np.nan
    assert np.isnan(directions.fit(x, y, GROUPS, method=method, seed=0, block=1)[0]).all()


@pytest.mark.parametrize("method", JOINT)
def test_joint_methods_know_their_block_and_no_other(method):
    x, y, _ = world(3, r=0.5)
    twice = np.column_stack([y, y[:, ::-1]])
    found = directions.fit(x, twice, GROUPS, method=method, seed=0, block=3)
    np.testing.assert_allclose(found[:3], directions.fit(x, y, GROUPS, method=method, seed=0), atol=1e-9)
    alone = directions.fit(x, y, GROUPS, method=method, seed=0, block=1)
    assert np.abs(alone - found[:3])[1:].max() > 0.01 or method == "label-shuffled"  # rows move together anyway


def test_the_settings_that_ship_pick_no_null():
    from vprobe.config import RunConfig

    picked = {*RunConfig().method, RunConfig().steer_method}
    assert picked and picked.isdisjoint(NULLS)


# scikit-learn's.


@pytest.mark.parametrize("d", [16, 400])
def test_logistic_is_sklearns_optimum_found_by_another_solver_and_its_default_stops_early(d):
    x, y, _ = world(4, d=d, noise=3.0)
    cx, cy = centred(x, y)
    cx /= np.sqrt((cx**2).sum() / 300)
    found = logistic.estimate(x, y, GROUPS, seed=0)
    penalties = ridge.penalties(cx, cy, GROUPS, 0)
    assert set(np.round(np.log10(penalties), 9)) <= set(range(-3, 4))
    away = []
    for column, c in enumerate(4 / penalties):
        for tol in (1e-9, 1e-4):
            model = LogisticRegression(C=c, solver="lbfgs", tol=tol, max_iter=10_000).fit(cx, cy[:, column] > 0)
            away.append(np.abs(found[column] - model.coef_[0]).max() / np.abs(found[column]).max())
    assert max(away[::2]) < 1e-6 < max(away[1::2])


def test_logistic_leaves_out_responses_just_at_their_querys_mean():
    x, y, _ = world(5, k=1)
    y[GROUPS == 3] = np.array([[-1.0], [0.0], [1.0], [0.0], [0.0]])
    kept = stats.centre(y, GROUPS)[:, 0] != 0
    assert kept.sum() == 297
    cx, cy = centred(x, y)
    (penalty,) = ridge.penalties(cx, cy, GROUPS, 0)
    model = LogisticRegression(C=4 / penalty, tol=1e-12, max_iter=10_000).fit(cx[kept], cy[kept, 0] > 0)
    same_line(logistic.estimate(x, y, GROUPS, seed=0), model.coef_)
    model.fit(cx, cy[:, 0] > 0)
    assert np.abs(unit(logistic.estimate(x, y, GROUPS, seed=0)) - unit(model.coef_)).max() > 1e-4


class Within:
    """Covariance estimator for scikit-learn's LDA: that of one class plus a given multiple of the identity."""

    def __init__(self, more):
        self.more = more

    def get_params(self, deep=True):
        return {"more": self.more}

    def fit(self, x):
        self.covariance_ = np.cov(x.T, bias=True) + self.more * np.eye(x.shape[1])
        return self


@pytest.mark.parametrize("d", [1, 16, 400])
@pytest.mark.parametrize(("module", "estimator"), [(lda, LedoitWolf), (lda_oas, OAS)])
def test_lda_is_sklearns_with_the_covariance_within_classes_and_ledoit_wolfs_or_oas_shrinkage(module, estimator, d):
    x, y, _ = world(6, d=d, k=min(d, 3), noise=3.0)
    x *= np.linspace(0.2, 3, d)
    cx, cy = centred(x, y)
    shrunk = estimator(assume_centered=True).fit(cx)
    found = module.estimate(x, y, GROUPS, seed=0)
    if d == 1:
        assert (found != 0).all()
        return
    for column in range(y.shape[1]):
        above = cy[:, column] > 0
        gap = cx[above].mean(axis=0) - cx[~above].mean(axis=0)
        expected = np.linalg.solve(shrunk.covariance_, gap)
        assert np.abs(found[column] - expected).max() < 1e-6 * np.abs(expected).max()
        more = shrunk.shrinkage_ / (1 - shrunk.shrinkage_) * (cx**2).sum() / cx.size
        model = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=Within(more)).fit(cx, above)
        same_line(found[column], model.coef_[0])


@pytest.mark.parametrize("d", [16, 400])
def test_leace_is_least_squares_without_a_penalty(d):
    x, y, _ = world(7, d=d)
    cx, cy = centred(x, y)
    found = leace.estimate(x, y, GROUPS, seed=0)
    expected = LinearRegression(fit_intercept=False, tol=1e-12).fit(cx, cy).coef_
    assert np.abs(found - expected).max() < 1e-6 * np.abs(expected).max()
    assert np.abs(cx @ found.T - cy).max() < 1e-9 or d == 16  # more dimensions than samples: a perfect fit


def test_readers_read_through_correlated_noise_where_writers_do_not():
    rng = np.random.default_rng(8)
    s, loud = rng.standard_normal((2, 300, 1))
    x = np.concatenate([s + 8 * loud, loud, 0.3 * rng.standard_normal((300, 8))], axis=1)
    r = {m: stats.within_r(x @ directions.fit(x, s, GROUPS, method=m, seed=0).T, s, GROUPS)[0] for m in METHODS}
    assert min(r[m] for m in ("lda", "leace", "logistic", "ridge")) > 0.8
    assert max(r[m] for m in ("covariance", "mean-difference", "pca-pairs", "haufe")) < 0.5


def relu_loss(cx, t, w, b, penalty):
    return ((t - np.maximum(cx @ w + b, 0)) ** 2).mean() / 2 + penalty * np.abs(w).sum()


def lowest(cx, t, w, penalty):
    return optimize.minimize_scalar(lambda b: relu_loss(cx, t, w, b, penalty), bracket=(-1, 1), tol=1e-12).x


def test_relu_l1_stops_where_its_own_loss_has_no_way_down_and_below_the_lasso_it_started_from():
    for seed in range(3):
        x, y, _ = world(9 + seed, k=1, d=30, noise=3.0)
        cx, cy = centred(x, y)
        cx /= np.sqrt((cx**2).mean())
        t = np.maximum(cy[:, 0], 0)
        t /= np.sqrt((t**2).mean())
        penalty = relu_l1.PENALTY * np.abs(cx.T @ (t - t.mean())).max() / 300
        w = relu_l1.estimate(x, y, GROUPS, seed=0)[0]
        b = lowest(cx, t, w, penalty)
        active = cx @ w + b > 0
        slope = -cx[active].T @ (t - cx @ w - b)[active] / 300
        np.testing.assert_allclose(slope[w != 0], -penalty * np.sign(w[w != 0]), atol=1e-6)
        assert np.abs(slope[w == 0]).max() <= penalty and 0 < (w == 0).sum() < 30
        start = Lasso(alpha=penalty).fit(cx, t)
        assert 5 < (~active).sum() < 295
        assert relu_loss(cx, t, w, b, penalty) < relu_loss(cx, t, start.coef_, start.intercept_, penalty) - 1e-4


def test_relu_l1_finds_a_direction_only_above_the_mean_and_keeps_few_weights():
    rng = np.random.default_rng(12)
    x = rng.standard_normal((300, 40))
    y = np.maximum(x[:, :1] * 2 - 0.5, 0) + 0.3 * rng.standard_normal((300, 1))
    found = directions.fit(x, y, GROUPS, method="relu-l1", seed=0)[0]
    assert found[0] > 0.95 and (found == 0).sum() > (ridge.estimate(x, y, GROUPS, seed=0) == 0).sum()


# The formulas'.


def test_whitened_is_the_nearest_orthonormal_set_and_no_value_goes_first():
    x, y, _ = world(13, k=4, r=0.6)
    cx, cy = centred(x, y)
    rows = unit(cy.T @ cx)
    found = whitened.estimate(x, y, GROUPS, seed=0, block=4)
    np.testing.assert_allclose(found @ found.T, np.eye(4), atol=1e-9)
    left, _, right = np.linalg.svd(rows, full_matrices=False)  # the polar factor
    np.testing.assert_allclose(found, left @ right, atol=1e-9)
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(whitened.estimate(x, y[:, order], GROUPS, seed=0, block=4), found[order], atol=1e-9)


def test_orthogonalised_keeps_clear_of_the_other_values_and_loses_as_little_as_it_can():
    x, y, _ = world(14, k=4, r=0.5)
    cx, cy = centred(x, y)
    rows = unit(cy.T @ cx)
    found = directions.fit(x, y, GROUPS, method="orthogonalised", seed=0)
    cosines = found @ rows.T
    np.testing.assert_allclose(cosines[~np.eye(4, dtype=bool)], 0, atol=1e-9)
    for i in range(4):
        others = np.delete(rows, i, 0)
        same_line(found[i], rows[i] - np.linalg.lstsq(others.T, rows[i], rcond=None)[0] @ others, atol=1e-9)
    assert np.abs(unit(rows) @ rows.T)[~np.eye(4, dtype=bool)].min() > 0.1


@pytest.mark.parametrize("method", ["orthogonalised", "whitened", "haufe"])
def test_labels_that_sum_to_nothing_leave_no_value_a_direction_of_its_own(method):
    x, y, _ = world(15, k=4)
    assert np.isfinite(directions.fit(x, y, GROUPS, method=method, seed=0)).all()
    y -= y.mean(axis=1, keepdims=True)
    if method == "haufe":  # penalties differ from value to value, so probes need not sum to nothing as labels do
        assert np.isnan(directions.fit(x, np.column_stack([y, y[:, 0]]), GROUPS, method=method, seed=0)[[0, 4]]).all()
    else:
        assert np.isnan(directions.fit(x, y, GROUPS, method=method, seed=0)).all()


def test_haufe_is_the_pattern_of_the_ridge_probes_full_in_a_block_and_plain_alone():
    x, y, _ = world(16, r=0.3)
    cx = stats.centre(x, GROUPS)
    w = ridge.estimate(x, y, GROUPS, seed=0).T
    spread = cx.T @ cx
    full = directions.fit(x, y, GROUPS, method="haufe", seed=0)
    same_line(full, (spread @ w @ np.linalg.inv(w.T @ spread @ w)).T, atol=1e-9)
    alone = directions.fit(x, y, GROUPS, method="haufe", seed=0, block=1)
    same_line(alone, (spread @ w).T, atol=1e-9)
    assert np.abs(full - alone).max() > 0.05


def test_haufe_finds_where_a_value_is_written_though_its_ridge_weights_point_elsewhere():
    rng = np.random.default_rng(17)
    s, loud = rng.standard_normal((2, 300, 1))
    x = np.concatenate([s + loud, loud, 0.1 * rng.standard_normal((300, 8))], axis=1)
    found, weights = (directions.fit(x, s, GROUPS, method=m, seed=0)[0] for m in ("haufe", "ridge"))
    assert found[0] > 0.95 and weights[0] < 0.8
    assert haufe.estimate(x, s, GROUPS, seed=0, block=1).shape == (1, 10)


def test_pca_pairs_is_the_longest_line_of_top_less_bottom_whichever_side_is_smaller():
    for d in (16, 90):
        x, y, _ = world(18, d=d)
        for column in range(3):
            by_query = y[:, column].reshape(60, 5)
            top, low = (5 * np.arange(60) + side for side in (by_query.argmax(axis=1), by_query.argmin(axis=1)))
            expected = np.linalg.svd(x[top] - x[low])[2][0]
            found = directions.fit(x, y, GROUPS, method="pca-pairs", seed=0)[column]
            assert abs(found @ expected) == pytest.approx(1, abs=1e-9)


def test_pca_pairs_shares_places_among_ties_and_skips_queries_without_a_gap():
    x = np.array([[1.0, 0], [3, 0], [0, 0], [0, 9], [0, -9]])
    y = np.array([[1.0], [1.0], [-1.0], [2.0], [2.0]])
    same_line(np.abs(pca_pairs.estimate(x, y, np.array([0, 0, 0, 1, 1]), seed=0)), np.array([[1.0, 0.0]]))


def test_pca_pairs_follows_a_loud_difference_that_has_nothing_to_do_with_the_value():
    x, y, encoding = world(19, k=1)
    x = x + 20 * np.random.default_rng(19).standard_normal((300, 1)) * np.eye(16)[5]
    found, mean = (directions.fit(x, y, GROUPS, method=m, seed=0)[0] for m in ("pca-pairs", "mean-difference"))
    assert abs(found[5]) > 0.99 and found @ encoding[0] < 0.5 < mean @ encoding[0] + 0.4


# Nulls.


def test_isotropic_draws_favour_nothing_and_matched_ones_what_activations_do():
    rng = np.random.default_rng(20)
    x = rng.standard_normal((300, 8)) * np.array([4.0, 2, 1, 1, 1, 1, 1, 1])
    x += 50 * rng.standard_normal((60, 8))[GROUPS]  # differences between queries are not matched
    y = rng.standard_normal((300, 2000))
    flat = random_isotropic.estimate(x, y, GROUPS, seed=0, block=2000)
    np.testing.assert_allclose(np.cov(flat.T), np.eye(8), atol=0.15)
    matched = random_matched.estimate(x, y, GROUPS, seed=0, block=2000)
    cx = stats.centre(x, GROUPS)
    np.testing.assert_allclose(np.cov(matched.T), cx.T @ cx / 300, atol=0.12 * 16)
    np.testing.assert_allclose(np.diag(np.cov(matched.T)), np.diag(cx.T @ cx / 300), rtol=0.15)


def test_matched_draws_lie_among_the_samples_where_there_are_fewer_than_dimensions():
    x, y, _ = world(21, d=400)
    cx = stats.centre(x, GROUPS)
    found = random_matched.estimate(x, y, GROUPS, seed=0, block=3)
    np.testing.assert_allclose(found, found @ np.linalg.pinv(cx) @ cx, atol=1e-9)


def test_shuffled_directions_are_those_of_some_shuffle_that_moves_values_together_and_keeps_queries():
    x, _, _ = world(22)
    y = np.column_stack([np.arange(300.0), np.arange(300.0) ** 2])
    cx = stats.centre(x, GROUPS)
    order, given = label_shuffled._orders(cx, GROUPS, 0)
    assert sorted(order) == sorted(given) == list(range(300)) and (order != given).mean() > 0.9
    for query in range(60):
        assert len(set(GROUPS[given[GROUPS[order] == query]])) == 1, "labels of one query stay in one query"
    assert (GROUPS[order] != GROUPS[given]).mean() > 0.9, "whole queries change places"
    moved = np.empty_like(y)
    moved[order] = y[given]
    expected = directions.covariance.estimate(x, moved, GROUPS, seed=0)
    np.testing.assert_allclose(label_shuffled.estimate(x, y, GROUPS, seed=0, block=2), expected, rtol=1e-9)


def test_shuffled_queries_change_places_only_with_queries_of_their_size():
    rng = np.random.default_rng(23)
    groups = np.repeat(np.arange(20), np.tile([2, 3, 5, 4], 5))
    order, given = label_shuffled._orders(rng.standard_normal((70, 4)), groups, 0)
    sizes = np.bincount(groups)
    assert (sizes[groups[order]] == sizes[groups[given]]).all() and sorted(given) == list(range(70))


def test_shuffled_directions_are_as_long_as_those_of_shuffles_made_outside():
    x, y, _ = world(24)
    inside = [label_shuffled.estimate(x, y, GROUPS, seed=s, block=3) for s in range(100)]
    made = controls.shuffle_labels(y, GROUPS, draws=100, seed=0)
    outside = [directions.covariance.estimate(x, one, GROUPS, seed=0) for one in made]
    real = directions.covariance.estimate(x, y, GROUPS, seed=0)
    lengths = [np.mean(np.linalg.norm(one, axis=-1)) for one in (inside, outside, real)]
    assert lengths[0] == pytest.approx(lengths[1], rel=0.1) and lengths[2] > 3 * lengths[0]


# Erasure.


def test_after_erasure_nothing_linear_remains_and_before_it_did():
    x, y, _ = world(25, k=4, r=0.5)
    made = directions.eraser(x, y, GROUPS)
    cx, cy = centred(made.apply(x), y)
    before = stats.centre(x, GROUPS).T @ cy
    assert np.abs(cx.T @ cy).max() < 1e-9 * np.abs(before).max()
    np.testing.assert_allclose(made.apply(x).mean(axis=0), x.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(made.apply(made.apply(x)), made.apply(x), atol=1e-9)
    assert np.linalg.matrix_rank(stats.centre(made.apply(x), GROUPS)) == 12


def test_no_other_linear_map_that_erases_moves_samples_less():
    rng = np.random.default_rng(26)
    x = rng.standard_normal((300, 6)) @ rng.standard_normal((6, 6)) + 5
    y = x[:, :2] + rng.standard_normal((300, 2))
    one = np.zeros(300, dtype=int)
    made = directions.eraser(x, y, one)
    cx, cy = stats.centre(x, one), stats.centre(y, one)
    least = ((made.apply(x) - x) ** 2).sum()
    plane = cx.T @ cy  # every map that erases has A plane = 0: those that differ by a row space outside the plane
    outside = np.linalg.svd(plane, full_matrices=True)[0][:, 2:]
    keep = np.eye(6) - made.read.T @ made.written
    for _ in range(200):
        other = keep + 0.1 * outside @ rng.standard_normal((4, 6))
        assert np.abs(plane.T @ other).max() < 1e-8 * np.abs(plane).max()
        assert ((cx @ other - cx) ** 2).sum() > least
    projected = cx - cx @ np.linalg.pinv(plane.T) @ plane.T  # plain projection erases too, and moves more
    assert ((projected - cx) ** 2).sum() > 1.01 * least


def test_erasing_one_value_is_the_formula_of_its_reading_and_writing_direction():
    x, y, _ = world(27, k=1)
    made = directions.eraser(x, y, GROUPS)
    assert made.written.shape == (1, 16)
    same_line(np.abs(made.read), np.abs(leace.estimate(x, y, GROUPS, seed=0)), atol=1e-9)
    same_line(np.abs(made.written), np.abs(directions.covariance.estimate(x, y, GROUPS, seed=0)), atol=1e-9)
    assert float((made.read @ made.written.T)[0, 0]) == pytest.approx(1)


def test_more_dimensions_than_samples_unknown_labels_and_labels_of_no_use_are_erased_from_what_is_known():
    x, y, _ = world(28, d=400)
    y[:10, 0], y[:, 1] = np.nan, 7.0
    made = directions.eraser(x, y, GROUPS)
    kept = slice(10, None)
    cx, cy = stats.centre(made.apply(x)[kept], GROUPS[kept]), stats.centre(y[kept], GROUPS[kept])
    assert np.abs(cx.T @ cy).max() < 1e-7 and len(made.read) == 2


def test_nothing_to_erase_is_refused_with_the_number():
    x, y, _ = world(29)
    with pytest.raises(RefusedError, match="300 samples"):
        directions.eraser(x, y * 0, GROUPS)
    with pytest.raises(RefusedError, match="0 samples"):
        directions.eraser(x, y * np.nan, GROUPS)
    with pytest.raises(InputError, match="299 groups"):
        directions.eraser(x, y, GROUPS[1:])
