"""Fast sweeps give what the slow loop gives, and what is told of the best of many cells holds up under the null."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from vprobe import controls, splits, stats, sweeps
from vprobe.errors import InputError, RefusedError
from vprobe.types import Fold

ALPHAS = np.array([1e-3, 1e-1, 10.0, 1e3])


def data(queries=24, d=150, values=3, sites=1, each=5, signal=0.0, at=0, seed=0):
    """Activations per site, labels and queries; `signal` ties the labels to site `at` only."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(queries), each)
    y = rng.standard_normal((len(groups), values)) + rng.standard_normal((queries, values))[groups]
    x = [
        rng.standard_normal((len(groups), d)) + 3.0 + 5 * rng.standard_normal((queries, d))[groups]
        for _ in range(sites)
    ]
    if signal:
        w = np.linalg.qr(rng.standard_normal((d, values)))[0].T
        x[at] = x[at] + signal * stats.centre(y, groups) @ w
    return x, y, groups


def loop(x, y, folds, alphas):
    """One scikit-learn fit per fold, penalty and column, on the samples with a label."""
    out = np.full((len(alphas), *y.shape), np.nan)
    for fold in folds:
        for column in range(y.shape[1]):
            train = fold.train[np.isfinite(y[fold.train, column])]
            for i, alpha in enumerate(alphas):
                out[i, fold.test, column] = Ridge(alpha=alpha).fit(x[train], y[train, column]).predict(x[fold.test])
    return out


@pytest.mark.parametrize(("d", "alphas"), [(8, ALPHAS), (95, ALPHAS * 1e3), (97, ALPHAS * 1e3), (400, ALPHAS)])
def test_held_out_predictions_are_those_of_the_scikit_learn_loop_in_both_shapes(d, alphas) -> None:
    (x,), y, groups = data(d=d)
    folds = splits.by_group(groups, k=5, seed=1)
    assert {len(fold.train) for fold in folds} == {95, 100}  # d lies on either side of the training samples
    y = y + 1000.0  # the intercept is not small
    mine, theirs = sweeps.ridge(x, y, groups, folds, alphas), loop(x, y, folds, alphas)
    assert np.abs(mine - theirs).max() < 1e-9
    assert np.abs(sweeps.ridge(x, y, groups, folds, alphas * 1.1) - theirs).max() > 1e-6


@pytest.mark.parametrize("d", [20, 200])
def test_unknown_labels_are_left_out_of_training_column_by_column_and_still_predicted(d) -> None:
    (x,), y, groups = data(d=d)
    y[::7, 0] = y[::7, 1] = np.nan
    y[3:30, 2] = np.nan
    folds = splits.by_group(groups, k=4, seed=1)
    mine, theirs = sweeps.ridge(x, y, groups, folds, ALPHAS), loop(x, y, folds, ALPHAS)
    assert np.isfinite(mine).all() and np.abs(mine - theirs).max() < 1e-9
    nothing = np.full((len(y), 1), np.nan)
    found = sweeps.sweep([x], np.hstack([y, nothing]), groups, folds, ALPHAS, seed=0)
    assert np.isnan(found.r[:, 3]).all() and np.isnan(found.nested.r[3]) and (found.nested.site[:, 3] == -1).all()
    assert found.n.tolist() == [*np.isfinite(y).sum(axis=0), 0]
    assert found.picked.sum(axis=(0, 2)).tolist() == [4, 4, 4, 0]
    assert np.isfinite(found.r[:, :3]).all()


def test_scaled_penalties_make_the_size_of_activations_irrelevant() -> None:
    (x,), y, groups = data()
    folds = splits.by_group(groups, k=4, seed=1)
    one, other = (sweeps.ridge(x * size, y, groups, folds, [0.1], scaled=True) for size in (1.0, 50.0))
    assert np.allclose(one, other, atol=1e-9)
    one, other = (sweeps.ridge(x * size, y, groups, folds, [10.0]) for size in (1.0, 50.0))
    assert not np.allclose(one, other, atol=1e-3)


def test_folds_that_divide_queries_or_hold_out_twice_are_refused() -> None:
    (x,), y, groups = data()
    good = splits.by_group(groups, k=4, seed=1)
    rows = splits.by_row(len(y), k=4, seed=1, unsafe=True)
    draws = controls.shuffle_labels(y, groups, draws=2, seed=0)
    for call in (
        lambda folds: sweeps.ridge(x, y, groups, folds, ALPHAS),
        lambda folds: sweeps.sweep([x], y, groups, folds, ALPHAS, seed=0),
        lambda folds: sweeps.max_t([x], y, groups, folds, ALPHAS, draws),
    ):
        call(good)
        with pytest.raises(RefusedError, match="divides a query"):
            call(rows)
        with pytest.raises(RefusedError, match="held out twice"):
            call((*good, good[0]))
    with pytest.raises(RefusedError, match="divides a query"):  # a sample that trains and is tested
        sweeps.ridge(x, y, groups, [Fold(np.arange(len(y)), np.arange(5))], ALPHAS)
    with pytest.raises(RefusedError, match="divides a query"):  # queries are whole, their rater groups are not
        sweeps.sweep([x], y, groups, good, ALPHAS, seed=0, blocks=groups // 6)
    sweeps.sweep([x], y, groups, splits.by_group(groups // 4, k=3, seed=1), ALPHAS, seed=0, inner=3, blocks=groups // 4)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a | {"penalties": [0.0, 1.0]},
        lambda a: a | {"penalties": []},
        lambda a: a | {"folds": ()},
        lambda a: a | {"groups": a["groups"][:-1]},
        lambda a: a | {"x_site": np.where(a["x_site"] > 9, np.nan, a["x_site"])},
        lambda a: a | {"y": np.where(a["y"] > 1, np.inf, a["y"])},
        lambda a: a | {"folds": [Fold(np.arange(10), np.arange(1000, 1005))]},
    ],
)
def test_input_that_cannot_be_used_is_named(change) -> None:
    (x,), y, groups = data()
    given = {"x_site": x, "y": y, "groups": groups, "folds": splits.by_group(groups, k=4, seed=1), "penalties": ALPHAS}
    sweeps.ridge(**given)
    with pytest.raises(InputError):
        sweeps.ridge(**change(given))


def test_a_sweep_finds_the_site_that_knows_and_nested_choice_says_so() -> None:
    x, y, groups = data(sites=4, signal=1.5, at=2)
    folds = splits.by_group(groups, k=4, seed=1)
    found = sweeps.sweep(iter(x), y, groups, folds, ALPHAS, seed=0)  # sites are seen once
    assert (found.r[:, :, 2].max(axis=0) > 0.4).all() and (np.abs(found.r[:, :, [0, 1, 3]]) < 0.35).all()
    assert (found.nested.r > 0.4).all() and (found.nested.site == 2).all()
    assert found.picked[:, :, 2].sum(axis=0).tolist() == [4, 4, 4] == found.picked.sum(axis=(0, 2)).tolist()
    for site in range(4):
        for i, predicted in enumerate(loop(x[site], y, folds, ALPHAS)):
            assert np.allclose(found.r[i, :, site], stats.within_r(predicted, y, groups), atol=1e-9)


def test_the_nested_choice_is_the_one_a_slow_loop_over_inner_folds_makes() -> None:
    x, y, groups = data(sites=2, signal=0.6)
    fold = splits.by_group(groups, k=4, seed=1)[0]
    found = sweeps.sweep(x, y, groups, [fold], ALPHAS, seed=5, inner=3).nested
    part = stats.fold_of(groups[fold.train], 3, seed=5)
    inner = [Fold(fold.train[part != i], fold.train[part == i]) for i in range(3)]
    table = np.array([[stats.within_r(p, y, groups) for p in loop(one, y, inner, ALPHAS)] for one in x])
    for value in range(3):
        site, penalty = np.unravel_index(table[:, :, value].argmax(), (2, len(ALPHAS)))
        assert (found.site[0, value], found.penalty[0, value]) == (site, penalty)
        assert found.inner_r[0, value] == pytest.approx(table[:, :, value].max(), abs=1e-9)
        chosen = loop(x[site], y, [fold], ALPHAS)[penalty, fold.test, value]
        assert np.allclose(found.predictions[fold.test, value], chosen, atol=1e-9)
    assert np.isnan(found.predictions[fold.train]).all()


def test_unrelated_activations_give_nothing_nested_while_the_best_cell_looks_like_something() -> None:
    nested, best = [], []
    for seed in range(8):
        x, y, groups = data(queries=20, d=60, values=2, sites=4, seed=seed)
        found = sweeps.sweep(x, y, groups, splits.by_group(groups, k=4, seed=seed), ALPHAS[1:], seed=seed)
        nested.append(found.nested.r.mean())
        best.append(found.r.max())
    assert abs(np.mean(nested)) < 0.05 and np.mean(best) > 0.1


@pytest.mark.parametrize("d", [6, 60, 150])
def test_max_t_is_what_the_whole_sweep_gives_on_each_shuffled_copy(d, monkeypatch) -> None:
    x, y, groups = data(d=d, sites=2, signal=1.0)
    keep = np.delete(np.arange(len(y)), [0, 1, 2, 3, 17])  # one query with one response, one with four
    keep = np.random.default_rng(4).permutation(keep)  # responses to a query do not stand together
    x, y, groups = [one[keep] for one in x], y[keep] + 100.0, groups[keep]
    folds = splits.by_group(groups, k=4, seed=1)
    draws = controls.shuffle_labels(y, groups, draws=7, seed=3)
    slow = np.stack([sweeps.sweep(x, one, groups, folds, ALPHAS, seed=0).r for one in (y, *draws)])
    found = sweeps.max_t(x, y, groups, folds, ALPHAS, draws)
    assert np.allclose(found.r, slow[0], atol=1e-9)
    assert np.allclose(found.null, np.abs(slow[1:]).max(axis=(1, 3)), atol=1e-9)
    assert np.allclose(found.largest, found.null.max(axis=1))
    assert found.p == pytest.approx(
        (1 + (np.abs(slow[1:]).max(axis=(1, 2, 3)) >= np.abs(slow[0])[..., None]).sum(-1)) / 8
    )
    parts = [sweeps.max_t([one], y, groups, folds, ALPHAS, draws) for one in x]
    whole = sweeps.join(parts)
    assert np.array_equal(whole.r, found.r) and np.array_equal(whole.null, found.null)
    monkeypatch.setattr(sweeps._max_t, "MAP", 1)
    monkeypatch.setattr(sweeps._max_t, "OUT", 1)
    small = sweeps.max_t(x, y, groups, folds, ALPHAS, iter([draws[:3], draws[3:]]))
    assert np.allclose(small.null, found.null, atol=1e-9) and small.draws_sha256 == found.draws_sha256
    other = sweeps.max_t([x[0]], y, groups, folds, ALPHAS, draws[::-1])
    with pytest.raises(RefusedError, match="different draws"):
        sweeps.join([parts[1], other])


def test_max_t_takes_labels_that_lack_the_same_samples_in_every_draw_and_refuses_others() -> None:
    x, y, groups = data(sites=2, values=2, signal=1.0)
    folds = splits.by_group(groups, k=4, seed=1)
    y[::9, 0] = np.nan
    draws = controls.flip_labels(y, groups, draws=5, seed=0)  # turned signs stay with their samples
    found = sweeps.max_t(x, y, groups, folds, ALPHAS, draws)
    slow = np.stack([sweeps.sweep(x, one, groups, folds, ALPHAS, seed=0).r for one in (y, *draws)])
    assert np.allclose(found.r, slow[0], atol=1e-9)
    assert np.allclose(found.null, np.abs(slow[1:]).max(axis=(1, 3)), atol=1e-9)
    with pytest.raises(RefusedError, match="not known for the same samples"):
        sweeps.max_t(x, y, groups, folds, ALPHAS, controls.shuffle_labels(y, groups, draws=5, seed=0))
    with pytest.raises(InputError, match="iterator of sites"):
        sweeps.max_t(iter(x), y, groups, folds, ALPHAS, [draws])
    with pytest.raises(InputError, match="no draws"):
        sweeps.max_t(x, y, groups, folds, ALPHAS, [])


def test_what_does_not_vary_has_no_correlation_and_no_p() -> None:
    x, y, groups = data(sites=2, values=2)
    x[1] = x[1][groups * 5]  # one vector per query
    y[:, 1] = np.random.default_rng(4).standard_normal(24)[groups] / 3  # one label per query
    folds = splits.by_group(groups, k=4, seed=1)
    draws = controls.flip_labels(y, groups, draws=5, seed=0)
    found = sweeps.max_t(x, y, groups, folds, ALPHAS, draws)
    assert np.isfinite(found.r[:, 0, 0]).all() and np.isfinite(found.p[:, 0, 0]).all()
    assert np.isnan(found.r[:, 1]).all() and np.isnan(found.r[:, :, 1]).all() and np.isnan(found.null[:, 1]).all()
    assert np.isnan(found.p[:, 1]).all() and np.isfinite(found.largest).all()
    slow = sweeps.sweep(x, y, groups, folds, ALPHAS, seed=0)
    assert np.array_equal(np.isnan(slow.r), np.isnan(found.r)) and (slow.nested.site[:, 1] == -1).all()


def test_family_wise_error_is_held_under_the_null_and_a_real_tie_is_found() -> None:
    runs, false, naive = 150, 0, 0
    for seed in range(runs):
        x, y, groups = data(queries=12, d=20, values=3, sites=3, seed=seed)
        folds = splits.by_group(groups, k=3, seed=seed)
        draws = controls.shuffle_labels(y, groups, draws=99, seed=seed)
        found = sweeps.max_t(x, y, groups, folds, ALPHAS[1:3] * 100, draws)
        false += found.p.min() <= 0.05
        one = stats.permutation_p(np.abs(found.r).max(axis=(0, 2)), found.null)
        naive += one.min() <= 0.05
    assert false / runs <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / runs)
    assert naive / runs > 0.09  # three values, each held against its own null only
    x, y, groups = data(queries=24, d=20, sites=3, signal=2.0, at=1)
    folds = splits.by_group(groups, k=3, seed=0)
    draws = controls.shuffle_labels(y, groups, draws=99, seed=0)
    found = sweeps.max_t(x, y, groups, folds, ALPHAS, draws)
    assert (found.p[:, :, 1].min(axis=0) <= 0.01).all() and found.p[:, :, [0, 2]].min() > 0.05


def test_streamed_moments_are_those_of_all_samples_at_once() -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((3000, 30)) @ rng.standard_normal((30, 30)) + 500.0).astype(np.float32)
    y = rng.standard_normal((3000, 4)) + x[:, :4] + 50.0
    seen, halves = sweeps.Moments.empty(30, 4), [sweeps.Moments.empty(30, 4)] * 2
    cuts = [0, 1, 2, 700, 700, 2990, 3000]
    for index, (lo, hi) in enumerate(pairwise(cuts)):
        seen = seen.add(x[lo:hi], y[lo:hi])
        halves[index % 2] = halves[index % 2].add(x[lo:hi], y[lo:hi])
    exact = np.cov(x.astype(np.float64), rowvar=False)
    for one in (
        seen,
        halves[0].merge(halves[1]),
        sweeps.Moments.empty(30, 4).merge(seen).merge(sweeps.Moments.empty(30, 4)),
    ):
        assert one.n == 3000
        assert np.abs(one.covariance() - exact).max() < 1e-9 * np.abs(exact).max()
        for penalty in (1e-2, 100.0):
            theirs, fit = Ridge(alpha=penalty).fit(x.astype(np.float64), y), one.ridge(penalty)
            assert np.abs(fit.weights - theirs.coef_).max() < 1e-9
            assert np.abs(fit.predict(x) - theirs.predict(x.astype(np.float64))).max() < 1e-9
    assert np.abs(halves[0].covariance() - exact).max() > 1e-3


def test_moments_refuse_what_they_cannot_hold() -> None:
    seen = sweeps.Moments.empty(2, 1)
    with pytest.raises(RefusedError, match="0 samples"):
        seen.covariance()
    with pytest.raises(InputError, match="shapes"):
        seen.add(np.zeros((3, 3)), np.zeros((3, 1)))
    with pytest.raises(InputError, match="finite"):
        seen.add(np.full((3, 2), np.nan), np.zeros((3, 1)))
    with pytest.raises(InputError, match="moments of shape"):
        seen.merge(sweeps.Moments.empty(3, 1))
    full = seen.add(np.eye(2), np.ones((2, 1)))
    assert np.isfinite(full.ridge(1.0).weights).all()
    with pytest.raises(InputError, match="penalty"):
        full.ridge(0.0)
