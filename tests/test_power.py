"""The cosine to expect of a partial direction is the one simulated fits give."""

import numpy as np
import pytest
from vprobe import directions
from vprobe.power import partial_cosine

D_MODEL = 300


def covariance(k, r):
    return (1 - r) * np.eye(k) + r


def planted(seed, sizes, r, reliability):
    """Return encodings of given lengths, covariance of true scores, that of label noise, residual trace."""
    k = len(sizes)
    axes = np.linalg.qr(np.random.default_rng(seed).standard_normal((D_MODEL, k)))[0].T
    encoding, true = axes * np.array(sizes)[:, None], covariance(k, r)
    noise = np.diag(1 / np.broadcast_to(reliability, k) - 1)
    told = true @ np.linalg.solve(true + noise, true)  # of true scores by labels
    return encoding, true, noise, float(D_MODEL + np.trace(encoding.T @ (true - told) @ encoding))


def simulated(seed, encoding, true, noise, queries, fits=25):
    """Return the mean cosine of fitted directions with encodings; responses come in fives."""
    rng = np.random.default_rng(seed)
    groups, k, cosines = np.repeat(np.arange(queries), 5), len(true), []
    for _ in range(fits):
        scores = rng.multivariate_normal(np.zeros(k), true, size=len(groups))
        y = scores + rng.multivariate_normal(np.zeros(k), noise, size=len(groups))
        x = scores @ encoding + rng.standard_normal((len(groups), D_MODEL))
        found = directions.fit(x, y, groups, method="partial", seed=0)
        cosines.append((found * encoding).sum(axis=1) / np.linalg.norm(encoding, axis=1))
    return np.mean(cosines, axis=0)


@pytest.mark.parametrize(
    ("queries", "sizes", "r", "reliability"),
    [
        (30, (2.0, 2.0, 2.0), 0.0, 1.0),
        (30, (2.0, 1.0, 3.0), 0.5, 0.6),
        (104, (2.0, 2.0, 2.0, 2.0), 0.4, 0.35),
        (104, (1.0, 2.0, 4.0, 1.5), 0.6, (0.9, 0.6, 0.3, 0.6)),
        (300, (0.5, 1.0, 2.0, 4.0), -0.2, 0.5),
    ],
)
def test_expected_cosines_are_those_of_simulated_fits(queries, sizes, r, reliability):
    encoding, true, noise, residual = planted(queries, sizes, r, reliability)
    expected = partial_cosine(encoding, true, noise, residual, float(4 * queries))
    np.testing.assert_allclose(simulated(queries, encoding, true, noise, queries), expected, atol=0.02)
    careless = partial_cosine(encoding, true, 0 * noise, residual, float(4 * queries))
    if np.min(reliability) < 1:
        assert np.abs(careless - expected).max() > 0.05, "a theory without label noise would pass as well"


def test_orthonormal_encodings_give_the_formula_of_the_notes():
    # docs/SCIENCE.md 1.4: D M_vv / sqrt(D^2 |M_v|^2 + tr(residual) [(n (S + N))^-1]_vv), M = (S + N)^-1 S.
    encoding, true, noise, residual = planted(0, (1.5,) * 5, 0.3, (0.3, 0.4, 0.5, 0.6, 0.7))
    m = np.linalg.inv(true + noise) @ true
    spread = residual * np.diag(np.linalg.inv(416 * (true + noise)))
    expected = 1.5 * np.diag(m) / np.sqrt(1.5**2 * (m**2).sum(axis=1) + spread)
    np.testing.assert_allclose(partial_cosine(encoding, true, noise, residual, 416.0), expected)


def test_one_value_gives_the_known_cosine_of_the_covariance_direction():
    encoding, true, noise, _ = planted(1, (2.0,), 0.0, 0.3)
    expected = 1 / np.sqrt(1 + 300.0 / (416 * 4 * 0.3))  # SCIENCE 1.4: 1 / sqrt(1 + trace / (n D^2 reliability))
    np.testing.assert_allclose(partial_cosine(encoding, true, noise, 300.0, 416.0), [expected])


def test_without_noise_the_cosine_is_one_and_label_noise_keeps_it_below_however_many_samples():
    encoding, true, noise, residual = planted(2, (1.0, 2.0, 3.0), 0.5, 0.5)
    np.testing.assert_allclose(partial_cosine(encoding, true, 0 * noise, 0.0, 100.0), 1.0)
    np.testing.assert_allclose(partial_cosine(encoding, true, 0 * noise, residual, 1e12), 1.0)
    assert partial_cosine(encoding, true, noise, residual, 1e12).max() < 0.99
    each = [partial_cosine(encoding, true, noise, residual, n) for n in (50.0, 200.0, 800.0)]
    assert (np.diff(each, axis=0) > 0).all()


def test_label_noise_alone_does_no_harm_to_values_that_are_unrelated():
    encoding, true, noise, _ = planted(3, (1.0, 2.0, 3.0), 0.0, 0.3)
    np.testing.assert_allclose(partial_cosine(encoding, true, noise, 0.0, 100.0), 1.0)
    correlated = partial_cosine(encoding, covariance(3, 0.5), noise, 0.0, 100.0)
    assert correlated[0] < 0.7 < 0.9 < correlated[2], "strong encodings leak into weak ones, not the other way"
