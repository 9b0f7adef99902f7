"""Every estimator keeps the contract, finds a planted direction as theory says, and finds nothing in noise."""

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from vprobe import controls, directions, registry, splits, stats
from vprobe.directions import ridge
from vprobe.errors import InputError, RefusedError
from vprobe.types import Activations, Benchmark, Item, Loading, Seen, Site

METHODS = directions.methods()
NULLS = ("label-shuffled", "random-isotropic", "random-matched")
READERS = ("lda", "lda-oas", "leace", "logistic", "relu-l1", "ridge")
PARTIAL = ("haufe", "orthogonalised", "partial", "whitened")
LOOPS = ("haufe", "logistic", "pca-pairs", "relu-l1")  # a fit per column, so fewer columns of noise
LEAST = {"haufe": 0.5, "orthogonalised": 0.5, "relu-l1": 0.6}  # columns of noise cost the first two, zeros the third


def world(seed, n_queries=60, size=5, d=24, signal=1.0, noise=1.0, query=1.0, columns=1):
    """Return x, y, groups and the planted unit direction of column 0; x and y share a query component of size query."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_queries), size)
    n = len(groups)
    y = rng.standard_normal((n, columns))
    truth = rng.standard_normal(d)
    truth /= np.linalg.norm(truth)
    x = signal * y[:, :1] * truth + rng.standard_normal((n, d))
    shared = query * rng.standard_normal(n_queries)[groups][:, None]
    x = x + shared * rng.standard_normal(d)
    return x, y + noise * rng.standard_normal((n, columns)) + shared, groups, truth


def benchmark(y, groups, values=("power", "security")):
    items = tuple(
        Item(
            id=f"i{i}",
            group=f"q{group}",
            source="made",
            form="message",
            text="a query",
            response="a response",
            loadings=tuple(Loading(v, float(np.tanh(r))) for v, r in zip(values, row, strict=True)),
        )
        for i, (row, group) in enumerate(zip(y, groups, strict=True))
    )
    return Benchmark("made", items, (), values, (), "none", "none", "0", "made up")


def test_the_estimators_are_found_by_their_file_names_and_the_nulls_among_them_by_their_mark():
    assert METHODS == (
        "covariance", "haufe", "label-shuffled", "lda", "lda-oas", "leace", "logistic", "mean-difference",
        "orthogonalised", "partial", "pca-pairs", "random-isotropic", "random-matched", "relu-l1", "ridge", "whitened",
    )  # fmt: skip
    assert directions.nulls() == NULLS
    assert directions.methods("prompted") == ("svd-shared",)
    assert {*METHODS, "svd-shared"} == set(registry.names("vprobe.directions"))
    with pytest.raises(InputError, match="did you mean 'ridge'"):
        directions.fit(*world(0)[:3], method="rigde", seed=0)


@pytest.mark.parametrize("method", METHODS)
class TestContract:
    """What every estimator promises."""

    def test_vectors_have_norm_one_and_point_to_more(self, method):
        x, y, groups, truth = world(0, columns=6)
        found = directions.fit(x, y, groups, method=method, seed=0)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0)
        less = directions.fit(x, -y, groups, method=method, seed=0)
        if method.startswith("random"):
            np.testing.assert_array_equal(less, found)  # labels do not tell it where to point
        elif method == "relu-l1":
            assert less[0] @ truth < -LEAST[method]  # zeros are other samples then: not the same line
        else:
            np.testing.assert_allclose(less, -found, atol=1e-9)
        if method not in NULLS:
            assert (stats.within_r(x @ found.T, y, groups) >= 0).all()
            assert found[0] @ truth > LEAST.get(method, 0.7)

    def test_query_means_of_labels_and_activations_do_not_matter(self, method):
        x, y, groups, _ = world(1, columns=3)
        rng = np.random.default_rng(0)
        found = directions.fit(x, y, groups, method=method, seed=0)
        moved = x + 10 * rng.standard_normal((60, x.shape[1]))[groups], y + 10 * rng.standard_normal((60, 3))[groups]
        np.testing.assert_allclose(directions.fit(*moved, groups, method=method, seed=0), found, atol=1e-9)

    def test_row_order_does_not_matter(self, method):
        x, y, groups, _ = world(2, columns=3)
        order = np.random.default_rng(0).permutation(len(x))
        found = directions.fit(x, y, groups, method=method, seed=0)
        again = directions.fit(x[order], y[order], groups[order], method=method, seed=0)
        np.testing.assert_allclose(again, found, atol=1e-9)

    @pytest.mark.parametrize("block", [1, 3])
    def test_blocks_of_columns_do_not_influence_each_other_nor_do_chunks(self, method, block, monkeypatch):
        x, y, groups, _ = world(3, columns=9)
        y[4, 2] = np.nan
        found = directions.fit(x, y, groups, method=method, seed=0, block=block)
        alone = [directions.fit(x, y[:, i : i + block], groups, method=method, seed=0) for i in range(0, 9, block)]
        np.testing.assert_allclose(np.concatenate(alone), found, atol=1e-9)
        monkeypatch.setattr("vprobe.directions._fit.CHUNK", 4 * len(x))
        np.testing.assert_allclose(directions.fit(x, y, groups, method=method, seed=0, block=block), found, atol=1e-9)

    def test_unknown_labels_equal_leaving_those_samples_out(self, method):
        x, y, groups, _ = world(4, columns=2)
        hidden = np.random.default_rng(0).random(len(x)) < 0.3
        holed = y.copy()
        holed[hidden, 1] = np.nan
        found = directions.fit(x, holed, groups, method=method, seed=0)
        kept = directions.fit(x[~hidden], y[~hidden], groups[~hidden], method=method, seed=0)
        np.testing.assert_allclose(found[1], kept[1], atol=1e-9)

    def test_a_column_without_usable_labels_has_no_direction_and_no_scores(self, method):
        x, y, groups, _ = world(5, columns=4)
        y[:, 1], y[:, 2] = np.nan, np.repeat(np.linspace(0.1, 0.7, 60), 5)
        found = directions.fit(x, y, groups, method=method, seed=0, block=1)
        assert np.isnan(found[1:3]).all() and np.isfinite(found[[0, 3]]).all()
        folds = splits.by_group(groups, seed=0)
        scores = directions.held_out(x, y, groups, folds, method=method, seed=0, block=1)
        assert np.isnan(scores[:, 1:3]).all() and np.isfinite(scores[:, [0, 3]]).all()
        picked = directions.nested(np.stack([x, x]), y, groups, folds, method=method, seed=0, block=1)
        assert (picked.sites[:, 1:3] == -1).all() and np.isnan(picked.scores[:, 1:3]).all()

    def test_held_out_scores_find_a_signal_and_not_its_absence(self, method):
        folds = splits.by_group(np.repeat(np.arange(60), 5), seed=0)
        r = []
        for signal in (1.0, 0.0):
            x, y, groups, _ = world(6, signal=signal, columns=1)
            scores = directions.held_out(x, y, groups, folds, method=method, seed=0)
            r.append(stats.within_r(scores, y, groups)[0])
        assert (abs(r[0]) < 0.3 if method in NULLS else r[0] > 0.3) and abs(r[1]) < 0.2

    def test_wide_activations_score_as_if_fitted_without_rotation(self, method, monkeypatch):
        x, y, groups, _ = world(7, n_queries=16, d=200, columns=3)
        folds = splits.by_group(groups, seed=0)
        quick = directions.held_out(x, y, groups, folds, method=method, seed=0)
        monkeypatch.setattr("vprobe.directions._cross._narrow", lambda x, module: x)
        np.testing.assert_allclose(directions.held_out(x, y, groups, folds, method=method, seed=0), quick, atol=1e-7)

    def test_directions_of_all_sites_and_values_become_records_that_score(self, method):
        x, y, groups, _ = world(8, columns=2)
        sites = (Site(0), Site(1))
        ids = tuple(f"i{i}" for i in range(len(x)))
        acts = Activations(np.stack([x, 0 * x], 1).astype(np.float32), ids, sites, "response_mean", "m")
        given = benchmark(y, groups)
        found = directions.fit_all(acts, given, ids, method=method, values=given.values, seed=0)
        assert [(d.value, d.site) for d in found] == [("power", Site(0)), ("security", Site(0))]  # site 1 is constant
        score = replace(found[0], seen=Seen()).score(acts.at(Site(0)))
        assert score.mean() == pytest.approx(0, abs=1e-4) and score.std() == pytest.approx(1, abs=1e-4)
        assert found[0].method == method and found[0].model == "m" and len(found[0].fitted_on) == 64
        assert found[0].role == ("read" if method in READERS else "write")
        assert found[0].effect == ("partial" if method in PARTIAL else "marginal")


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_found_in_noise_on_average(method):
    x, _, groups, _ = world(9, n_queries=104, d=64)
    columns, bound = (60, 0.02) if method in LOOPS else (300, 0.01)
    y = np.random.default_rng(9).standard_normal((520, columns))
    scores = directions.held_out(x, y, groups, splits.by_group(groups, seed=0), method=method, seed=0, block=10)
    r = stats.within_r(scores, y, groups)
    assert abs(r.mean()) <= bound
    assert 0.035 < r.std() < 0.08


@pytest.mark.parametrize("decay", [0.0, 1.0])
@pytest.mark.parametrize(("d", "n", "size", "expected"), [(256, 100, 2.0, 0.530), (2048, 260, 3.0, 0.471)])
def test_mean_difference_recovers_a_planted_direction_as_well_as_theory_says(d, n, size, expected, decay):
    # n / 2 queries of one high and one low response: the formula's two classes of n / 2.
    rng = np.random.default_rng(10)
    spectrum = np.arange(1, d + 1) ** -decay
    spectrum *= d / spectrum.sum()
    groups, y = np.repeat(np.arange(n // 2), 2), np.tile([[1.0], [-1.0]], (n // 2, 1))
    cosines = []
    for _ in range(50):
        truth = rng.standard_normal(d)
        truth /= np.linalg.norm(truth)
        x = rng.standard_normal((n, d)) * np.sqrt(spectrum) + y * truth * size / 2
        cosines.append(float(directions.fit(x, y, groups, method="mean-difference", seed=0)[0] @ truth))
    theory = 1 / math.sqrt(1 + spectrum.sum() * 4 / n / size**2)
    assert theory == pytest.approx(expected, abs=0.001)
    assert np.mean(cosines) == pytest.approx(theory, abs=0.02)


def test_covariance_recovers_a_direction_from_noisy_labels_as_well_as_theory_says():
    rng = np.random.default_rng(11)
    d, n, shift, reliability = 2048, 520, 4.0, 0.3
    groups, cosines, r = np.repeat(np.arange(104), 5), [], []
    for _ in range(6):
        s, truth = rng.standard_normal((n, 1)), rng.standard_normal(d)
        truth /= np.linalg.norm(truth)
        x = rng.standard_normal((n, d)) + shift * s * truth
        y = s + math.sqrt(1 / reliability - 1) * rng.standard_normal((n, 1))
        cosines.append(float(directions.fit(x, y, groups, method="covariance", seed=0)[0] @ truth))
        folds = splits.by_group(groups, k=10, seed=0)
        r.append(stats.within_r(directions.held_out(x, y, groups, folds, method="covariance", seed=0), y, groups)[0])
    # Centring within queries of five costs a fifth of the samples; ten folds cost a tenth more for held-out scores.
    theory = 1 / math.sqrt(1 + d / (n * 0.8 * shift**2 * reliability))
    assert np.mean(cosines) == pytest.approx(theory, abs=0.03)
    c = 1 / math.sqrt(1 + d / (n * 0.72 * shift**2 * reliability))
    assert np.mean(r) == pytest.approx(math.sqrt(reliability) * shift * c / math.sqrt((shift * c) ** 2 + 1), abs=0.03)


@pytest.mark.parametrize("d", [20, 400])
def test_ridge_equals_sklearn_at_the_penalty_it_chose(d, monkeypatch):
    x, y, groups, _ = world(12, d=d, columns=3)
    cx, cy = stats.centre(x, groups), stats.centre(y, groups)
    for multiple in ridge.GRID:
        monkeypatch.setattr(ridge, "GRID", (multiple,))
        found = ridge.estimate(x, y, groups, seed=0)
        fitted = Ridge(alpha=multiple * (cx**2).sum() / len(cx), fit_intercept=False, solver="svd").fit(cx, cy)
        assert np.abs(found - fitted.coef_).max() <= 1e-6 * np.abs(fitted.coef_).max()


def test_ridge_chooses_a_large_penalty_for_noise_and_a_small_one_for_a_clear_signal():
    chosen = []
    for noise in (0.01, 6.0):
        x, y, groups, _ = world(13, n_queries=100, noise=noise, d=40)
        x = x @ np.diag(np.linspace(0.2, 5, 40))
        cx, cy = stats.centre(x, groups), stats.centre(y, groups)
        found = ridge.estimate(x, y, groups, seed=0)[0]
        scale = (cx**2).sum() / len(cx)
        every = [Ridge(alpha=g * scale, fit_intercept=False).fit(cx, cy[:, 0]).coef_ for g in ridge.GRID]
        distance = [np.abs(found - one).max() / np.abs(one).max() for one in every]
        assert min(distance) < 1e-6
        chosen.append(int(np.argmin(distance)))
    assert chosen[0] < chosen[1]


def test_ridge_reads_through_correlated_noise_where_covariance_does_not():
    rng = np.random.default_rng(14)
    groups = np.repeat(np.arange(104), 5)
    s, big = rng.standard_normal((2, 520, 1))
    x = np.concatenate([s + 8 * big, big, 0.3 * rng.standard_normal((520, 20))], axis=1)
    folds = splits.by_group(groups, seed=0)
    r = [
        stats.within_r(directions.held_out(x, s, groups, folds, method=m, seed=0), s, groups)[0]
        for m in ("ridge", "covariance")
    ]
    assert r[0] > 0.6 > 0.3 > r[1]


def test_mean_difference_shares_places_among_ties_and_skips_queries_without_a_gap():
    x = np.array([[1.0, 0], [3, 0], [0, 0], [0, 9], [0, -9]])
    y = np.array([[1.0], [1.0], [-1.0], [2.0], [2.0]])
    raw = directions.mean_difference.estimate(x, y, np.array([0, 0, 0, 1, 1]), seed=0)
    np.testing.assert_allclose(raw, [[2.0, 0.0]])


def test_the_site_is_chosen_where_the_signal_is_and_chance_does_not_profit_from_choosing():
    x, y, groups, _ = world(15, n_queries=104, d=24)
    rng = np.random.default_rng(15)
    xs = np.stack([rng.standard_normal(x.shape), x, rng.standard_normal(x.shape)])
    folds = splits.by_group(groups, seed=0)
    found = directions.nested(xs, y, groups, folds, method="covariance", seed=0)
    assert (found.sites == 1).all()
    alone = directions.held_out(x, y, groups, folds, method="covariance", seed=0)
    np.testing.assert_array_equal(found.scores, alone)
    noise = rng.standard_normal((520, 200))
    sites = np.stack([rng.standard_normal((520, 24)) for _ in range(8)])
    honest = stats.within_r(
        directions.nested(sites, noise, groups, folds, method="covariance", seed=0).scores, noise, groups
    )
    each = [directions.held_out(one, noise, groups, folds, method="covariance", seed=0) for one in sites]
    best = np.max([stats.within_r(scores, noise, groups) for scores in each], axis=0)
    assert abs(honest.mean()) <= 0.02
    assert best.mean() > 0.05


def test_unrelated_activations_that_share_queries_fool_row_folds_and_not_query_folds():
    rng = np.random.default_rng(16)
    groups = np.repeat(np.arange(104), 5)
    rows, honest, fooled = splits.by_row(520, seed=0, unsafe=True), [], []
    for _ in range(20):
        x = rng.standard_normal((104, 64))[groups] + rng.standard_normal((520, 64))
        y = rng.standard_normal((104, 10))[groups] * 0.7 + rng.standard_normal((520, 10))
        scores = directions.held_out(x, y, groups, splits.by_group(groups, seed=0), method="covariance", seed=0)
        honest.append(stats.within_r(scores, y, groups).mean())
        everyone = np.zeros(520, dtype=int)  # one group: plain centring, as a probe without queries would do
        scores = directions.held_out(x, y, everyone, rows, method="covariance", seed=0, unsafe=True)
        fooled.append(stats.within_r(scores, y, everyone).mean())
    assert abs(np.mean(honest)) <= 0.02
    assert np.mean(fooled) >= 0.15
    with pytest.raises(RefusedError, match="both sides"):
        directions.held_out(x, y, groups, rows, method="covariance", seed=0)
    with pytest.raises(RefusedError, match="both sides"):
        directions.nested(x[None], y, groups, rows, method="covariance", seed=0)


def test_p_is_uniform_where_there_is_nothing_to_find():
    rng = np.random.default_rng(17)
    groups = np.repeat(np.arange(30), 5)
    folds, ps = splits.by_group(groups, seed=0), []
    for seed in range(200):
        x = rng.standard_normal((150, 12)) + 2 * rng.standard_normal((30, 12))[groups]
        y = rng.standard_normal((150, 1)) + 2 * rng.standard_normal((30, 1))[groups]
        y = controls.stack(y, controls.shuffle_labels(y, groups, draws=39, seed=seed))
        scores = directions.held_out(x, y, groups, folds, method="covariance", seed=0)
        r = stats.within_r(scores, y, groups)
        ps.append(stats.permutation_p(r[:1], r[1:, None])[0])
    assert 0.01 <= np.mean(np.array(ps) <= 0.05) <= 0.10
    assert np.mean(ps) == pytest.approx(0.51, abs=0.07)


def test_misaligned_groups_are_answered_with_the_numbers():
    x, y, groups, _ = world(18)
    with pytest.raises(InputError, match="300 samples, 300 label rows, 299 groups"):
        directions.fit(x, y, groups[1:], method="ridge", seed=0)
