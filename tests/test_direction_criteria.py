"""Directions against planted truth and closed forms: recovery, unique directions, erasure, how wide chance is."""

import numpy as np
import pytest
from vprobe import controls, directions, power, splits, stats
from vprobe.directions import random_isotropic, random_matched

QUERIES = np.repeat(np.arange(104), 5)
STEPS = np.array([0, 1, 2, 3, 4, 5, 6, 7, 7, 8])  # the ten values on nine places of the circle, two of them sharing one
CIRCLE = np.radians(40 * STEPS)
R = 0.4 * np.eye(10) + 0.6 * np.cos(CIRCLE[:, None] - CIRCLE)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def values_world(seed, *, n_queries=104, d=128, noise=0.5):
    """Return x, true scores and encodings: ten values correlated as on the circle, written at right angles."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_queries), 5)
    s = rng.multivariate_normal(np.zeros(10), R, size=len(groups))
    encoding = np.linalg.qr(rng.standard_normal((d, 10)))[0].T
    x = s @ encoding + noise * rng.standard_normal((len(groups), d)) + 2 * rng.standard_normal((n_queries, d))[groups]
    return x, s, encoding, groups


@pytest.mark.parametrize(("shift", "reliability", "cosine"), [(4.0, 0.3, 0.741), (4.0, 0.1, 0.537), (2.0, 1.0, 0.710)])
def test_noisy_labels_cost_what_the_formula_says(shift, reliability, cosine):
    d, n, found = 2048, 520, []
    rng = np.random.default_rng(0)
    for _ in range(8):
        s, truth = rng.standard_normal((n, 1)), unit(rng.standard_normal(d))
        x = rng.standard_normal((n, d)) + shift * s * truth
        y = s + np.sqrt(1 / reliability - 1) * rng.standard_normal((n, 1))
        one = directions.fit(x, y, np.zeros(n, dtype=int), method="covariance", seed=0)[0]
        found.append(one @ truth)
    assert power.covariance_cosine(shift, float(d), float(n), reliability) == pytest.approx(cosine, abs=0.002)
    assert np.mean(found) == pytest.approx(cosine, abs=0.03)


@pytest.mark.parametrize("method", ["mean-difference", "covariance"])
def test_two_halves_of_the_queries_tell_the_cosine_with_the_truth_that_nobody_knows(method):
    d, told, real = 512, [], []
    rng = np.random.default_rng(1)
    for seed in range(12):
        s, truth = rng.standard_normal((520, 1)), unit(rng.standard_normal(d))
        x, y = rng.standard_normal((520, d)) + 2 * s * truth, s + rng.standard_normal((520, 1))
        half = stats.fold_of(QUERIES, 2, seed=seed) == 0
        a, b = (directions.fit(x[h], y[h], QUERIES[h], method=method, seed=0)[0] for h in (half, ~half))
        told.append(a @ b)
        real.append(directions.fit(x, y, QUERIES, method=method, seed=0)[0] @ truth)
    assert power.whole_cosine(float(np.mean(told))) == pytest.approx(np.mean(real), abs=0.02)


def test_marginal_directions_spill_over_as_values_correlate_and_partial_ones_do_not():
    spill, own, chosen, marginal = [], [], [], []
    for seed in range(4):
        x, s, encoding, groups = values_world(seed)
        for method, out in (("covariance", spill), ("partial", own)):
            out.append(directions.fit(x, s, groups, method=method, seed=0) @ encoding.T)
        theory = power.partial_cosine(encoding, R, 0 * R, 0.25 * 128, 416.0)
        chosen.append(np.diag(own[-1]).mean() - theory.mean())
        marginal.append(np.diag(spill[-1]).mean())
    off = ~np.eye(10, dtype=bool)
    assert np.corrcoef(np.mean(spill, axis=0)[off], R[off])[0, 1] >= 0.95
    assert np.mean(marginal) == pytest.approx(np.diag(unit(R)).mean(), abs=0.02)  # what marginal ones converge to
    assert np.mean(chosen) >= -0.02 and np.diag(np.mean(own, axis=0)).min() > 0.85
    selectivity = np.diag(np.mean(own, axis=0)).mean() / np.abs(np.mean(own, axis=0)[off]).mean()
    assert selectivity >= 8 > np.mean(marginal) / np.abs(np.mean(spill, axis=0)[off]).mean()


@pytest.mark.parametrize("method", ["whitened", "haufe", "orthogonalised"])
def test_other_unique_directions_find_encodings_at_right_angles_too(method):
    some = [0, 1, 4, 6]  # four that do not tell each other
    _, s, encoding, groups = values_world(5)
    s, encoding = s[:, some], encoding[some]
    x = s @ encoding + 0.5 * np.random.default_rng(5).standard_normal((520, 128))
    found = np.diag(directions.fit(x, s, groups, method=method, seed=0) @ encoding.T)
    marginal = np.diag(directions.fit(x, s, groups, method="covariance", seed=0) @ encoding.T)
    assert found.mean() > marginal.mean() + 0.02 and found.min() > 0.8


def test_partial_cosine_with_noise_in_labels_is_the_one_theory_names():
    rng, away = np.random.default_rng(6), []
    for seed in range(6):
        x, s, encoding, groups = values_world(10 + seed)
        noise = 0.3 * np.eye(10)
        y = s + rng.multivariate_normal(np.zeros(10), noise, size=len(s))
        found = np.diag(directions.fit(x, y, groups, method="partial", seed=0) @ encoding.T)
        residual = x - s @ encoding
        trace = float((stats.centre(residual, groups) ** 2).sum()) / (416.0)
        # Given noisy labels, activations also vary with what the labels do not tell of the scores.
        left = np.trace(encoding.T @ (R - R @ np.linalg.inv(R + noise) @ R) @ encoding)
        away.append(found.mean() - power.partial_cosine(encoding, R, noise, trace + left, 416.0).mean())
    assert np.mean(away) == pytest.approx(0, abs=0.02)


def test_an_erased_value_cannot_be_read_on_queries_the_eraser_never_saw_and_others_can():
    x, s, _, groups = values_world(20, n_queries=704, d=16, noise=1.0)
    y = s[:, [4, 6]]  # self-direction and benevolence, correlated little
    made, fresh = np.flatnonzero(groups < 600), np.flatnonzero(groups >= 600)
    eraser = directions.eraser(x[made], y[made, :1], groups[made])
    groups, y, kept = groups[fresh], y[fresh], eraser.apply(x[fresh])
    folds = splits.by_group(groups, seed=0)
    before = stats.within_r(directions.held_out(x[fresh], y, groups, folds, method="ridge", seed=0), y, groups)
    columns = controls.stack(y, controls.shuffle_labels(y, groups, draws=99, seed=0))
    after = stats.within_r(
        directions.held_out(kept, columns, groups, folds, method="ridge", seed=0, block=2), columns, groups
    )
    null = after[2::2]
    assert np.quantile(null, 0.025) <= after[0] <= np.quantile(null, 0.975)
    assert before.min() > 0.5 and after[1] > 0.8 * before[1] * np.sqrt(1 - R[4, 6] ** 2)


def test_projecting_a_partial_direction_out_takes_its_value_and_leaves_the_others():
    x, s, encoding, groups = values_world(21, n_queries=400)
    cx = stats.centre(s, groups) @ encoding  # what a downstream reader of the encodings gets
    for value, one in enumerate(directions.fit(x, s, groups, method="partial", seed=0)):
        kept = (cx - np.outer(cx @ one, one)) @ encoding.T
        share = (kept**2).sum(axis=0) / ((cx @ encoding.T) ** 2).sum(axis=0)
        assert share[value] <= 0.1 and np.delete(share, value).min() >= 0.9


def test_chance_directions_are_as_alike_as_the_spectrum_makes_them_not_as_the_width_does():
    rng = np.random.default_rng(22)
    spectrum = 1.0 / np.arange(1, 257)
    x, y = rng.standard_normal((2000, 256)) * np.sqrt(spectrum), rng.standard_normal((2000, 400))
    groups = np.repeat(np.arange(400), 5)
    expected = np.sqrt((spectrum**2).sum()) / spectrum.sum()
    spreads = []
    for module in (random_isotropic, random_matched):
        drawn = unit(module.estimate(x, y, groups, seed=0, block=400))
        spreads.append((drawn[:200] * drawn[200:]).sum(axis=1).std())
    assert spreads[0] == pytest.approx(1 / 16, rel=0.2)
    assert expected == pytest.approx(0.21, abs=0.01) and spreads[1] == pytest.approx(expected, rel=0.2)


def test_reading_and_writing_part_where_noise_leans():
    # SCIENCE 1.1: with noise along a few axes the mean difference points to the cause and shrunk LDA reads best.
    rng = np.random.default_rng(23)
    d, n = 256, 520
    spectrum = np.arange(1, d + 1) ** -1.5
    spectrum *= d / spectrum.sum()
    cosines, r = [], []
    for _ in range(4):
        turn = np.linalg.qr(rng.standard_normal((d, d)))[0]
        truth = unit(rng.standard_normal(d))
        s = rng.standard_normal((n, 1))
        x = (rng.standard_normal((n, d)) * np.sqrt(spectrum)) @ turn + 2.0 * s * truth
        fresh, t = (rng.standard_normal((n, d)) * np.sqrt(spectrum)) @ turn, rng.standard_normal((n, 1))
        fresh = fresh + 2.0 * t * truth
        both = [directions.fit(x, s, QUERIES, method=m, seed=0)[0] for m in ("mean-difference", "lda")]
        cosines.append([one @ truth for one in both])
        r.append([stats.within_r(fresh @ one[:, None], t, QUERIES)[0] for one in both])
    (write, read), (by_write, by_read) = np.mean(cosines, axis=0), np.mean(r, axis=0)
    assert write > read + 0.1 and by_read > by_write + 0.05
