"""Partial directions are the unique part of each value; blocks of labels stay together in every fit."""

import numpy as np
import pytest
from vprobe import controls, directions, registry, splits, stats
from vprobe.directions import partial
from vprobe.errors import InputError

GROUPS = np.repeat(np.arange(60), 5)
FOLDS = splits.by_group(GROUPS, seed=0)
MARGINAL = tuple(m for m in directions.methods() if not registry.load("vprobe.directions", m).JOINT)
OWN = ("haufe", "orthogonalised")  # refuse values whose probes or directions are told by the others'
PICKING = tuple(m for m in directions.methods() if m not in (*directions.nulls(), *OWN))


def world(seed, *, r=0.0, k=4, d=12, noise=1.0):
    """Return x, y and orthonormal encodings of k values whose scores all correlate r; both sides share query means."""
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((300, k)) @ np.linalg.cholesky((1 - r) * np.eye(k) + r).T
    encoding = np.linalg.qr(rng.standard_normal((d, k)))[0].T
    shared = rng.standard_normal((60, k))[GROUPS]
    return scores @ encoding + noise * rng.standard_normal((300, d)) + shared @ encoding, scores + shared, encoding


def regression(x, y, groups):
    """Return the slopes of x on labels and one indicator per query, by plain least squares."""
    indicators = (np.asarray(groups)[:, None] == np.unique(groups)).astype(float)
    return np.linalg.lstsq(np.column_stack([y, indicators]), x, rcond=None)[0][: y.shape[1]]


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# The estimator.


def test_rows_are_the_least_squares_slopes_with_query_intercepts():
    x, y, _ = world(0, r=0.5)
    y = y * np.array([1e-3, 1.0, 10.0, 300.0])
    expected = regression(x, y, GROUPS)
    scale = np.abs(expected).max(axis=1, keepdims=True)
    np.testing.assert_allclose(partial.estimate(x, y, GROUPS, seed=0, block=4) / scale, expected / scale, atol=1e-9)
    np.testing.assert_allclose(directions.fit(x, y, GROUPS, method="partial", seed=0), unit(expected), atol=1e-9)


def test_queries_of_unequal_size_and_names_in_any_order_give_the_same_slopes():
    x, y, _ = world(1, r=0.3)
    names = np.random.default_rng(1).choice([f"q{i}" for i in range(20)], 300)
    found = partial.estimate(x, y, names, seed=0, block=4)
    np.testing.assert_allclose(found, regression(x, y, names), atol=1e-9)


def test_correlated_values_are_told_apart_where_marginal_directions_leak():
    x, y, encoding = world(2, r=0.6, noise=0.3)
    own, marginal = (
        np.abs(directions.fit(x, y, GROUPS, method=m, seed=0) @ encoding.T) for m in ("partial", "covariance")
    )
    off = ~np.eye(4, dtype=bool)
    assert np.diag(own).min() > 0.97 and own[off].max() < 0.15
    assert np.diag(marginal).max() < 0.85 and marginal[off].min() > 0.3


def test_of_one_column_it_is_the_covariance_direction():
    x, y, _ = world(3, r=0.6)
    alone = directions.fit(x, y, GROUPS, method="partial", seed=0, block=1)
    np.testing.assert_allclose(alone, directions.fit(x, y, GROUPS, method="covariance", seed=0), atol=1e-9)
    together = directions.fit(x, y, GROUPS, method="partial", seed=0)
    assert np.abs(together - alone).max() > 0.1


def test_a_sample_without_all_labels_of_its_block_drops_out_of_that_block_only():
    x, y, _ = world(4, r=0.3, k=6)
    hidden = np.random.default_rng(4).random(300) < 0.3
    y[hidden, 4] = np.nan
    found = partial.estimate(x, y, GROUPS, seed=0, block=3)
    np.testing.assert_allclose(found[:3], regression(x, y[:, :3], GROUPS), atol=1e-9)
    np.testing.assert_allclose(found[3:], regression(x[~hidden], y[~hidden, 3:], GROUPS[~hidden]), atol=1e-9)


# Values that have no direction of their own.


def with_inflation(factor):
    """Return x and three labels: the first two correlate within queries to just this variance inflation."""
    x, y, _ = world(5, k=3)
    c = np.linalg.qr(stats.centre(y, GROUPS))[0]
    r = np.sqrt(1 - 1 / factor)
    return x, np.column_stack([c[:, 0], r * c[:, 0] + np.sqrt(1 - r * r) * c[:, 1], c[:, 2]])


def test_values_told_by_the_others_have_no_direction_beyond_an_inflation_of_ten_and_the_rest_keep_theirs():
    x, y = with_inflation(9.9)
    np.testing.assert_allclose(partial.estimate(x, y, GROUPS, seed=0, block=3), regression(x, y, GROUPS), atol=1e-6)
    for factor in (10.1, 1e3, 1e15):
        x, y = with_inflation(factor)
        found = partial.estimate(x, y, GROUPS, seed=0, block=3)
        assert np.isnan(found[:2]).all()
        np.testing.assert_allclose(found[2:], regression(x, y[:, 2:], GROUPS), atol=1e-6)


def test_ipsatised_labels_have_no_unique_directions():
    x, y, _ = world(6)
    assert np.isfinite(directions.fit(x, y, GROUPS, method="partial", seed=0)).all()
    y = y - y.mean(axis=1, keepdims=True)
    assert np.isnan(directions.fit(x, y, GROUPS, method="partial", seed=0)).all()


def test_a_value_without_variance_within_queries_has_no_direction_and_the_rest_keep_theirs():
    x, y, _ = world(7, r=0.4)
    y[:, 1] = np.linspace(-0.3, 0.7, 60)[GROUPS]
    found = partial.estimate(x, y, GROUPS, seed=0, block=4)
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(found[[0, 2, 3]], regression(x, y[:, [0, 2, 3]], GROUPS), atol=1e-9)


def test_too_few_samples_for_the_values_give_no_direction():
    x, y, _ = world(8)
    for rows in ([0, 1, 2, 5], [0, 1, 5, 6, 10, 11]):  # the six in three queries leave three degrees of freedom
        assert np.isnan(partial.estimate(x[rows], y[rows], GROUPS[rows], seed=0, block=4)).all()
    assert np.isfinite(partial.estimate(x[:100], y[:100], GROUPS[:100], seed=0, block=4)).all()
    y[:, 2] = np.nan
    assert np.isnan(partial.estimate(x, y, GROUPS, seed=0, block=4)).all()


def test_inflation_is_one_over_what_the_other_labels_leave_unexplained():
    _, y, _ = world(9, r=0.7)
    c = stats.centre(y, GROUPS)
    left = [c[:, i] - (o := np.delete(c, i, 1)) @ np.linalg.lstsq(o, c[:, i], rcond=None)[0] for i in range(4)]
    expected = [(c[:, i] ** 2).sum() / (one**2).sum() for i, one in enumerate(left)]
    gram = np.stack([c.T @ c, 7.0 * np.eye(4)])
    np.testing.assert_allclose(partial.inflation(gram), [expected, [1.0] * 4])


def test_inflation_is_endless_only_for_those_who_tell_each_other():
    gram = np.zeros((5, 5))
    gram[:2, :2], gram[2, 2], gram[3, 3] = 4.0, 9.0, 1e-6  # two are one, two stand alone, one never varies
    np.testing.assert_allclose(partial.inflation(gram), [np.inf, np.inf, 1.0, 1.0, 1.0])


# Blocks.


def stacked(seed, draws=5, k=3):
    x, y, _ = world(seed, r=0.5, k=k)
    y[7, 1] = np.nan  # a hole moves with its row, so draws differ in which samples are complete
    mixed = controls.shuffle_labels(y, GROUPS, draws=draws, seed=seed)
    return x, controls.stack(y, mixed), [y, *mixed]


@pytest.mark.parametrize("chunk", [2**23, 4 * 300])
def test_null_draws_stacked_as_columns_equal_separate_fits(chunk, monkeypatch):
    monkeypatch.setattr("vprobe.directions._fit.CHUNK", chunk)
    x, columns, alone = stacked(10)
    found = directions.fit(x, columns, GROUPS, method="partial", seed=0, block=3)
    expected = [directions.fit(x, y, GROUPS, method="partial", seed=0) for y in alone]
    np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-9)
    wrong = directions.fit(x, columns, GROUPS, method="partial", seed=0)  # one block of all draws
    assert np.abs(wrong - found).max() > 0.05


@pytest.mark.parametrize("chunk", [2**23, 4 * 300])
def test_held_out_scores_of_stacked_draws_equal_those_of_each_alone(chunk, monkeypatch):
    monkeypatch.setattr("vprobe.directions._fit.CHUNK", chunk)
    x, columns, alone = stacked(11)
    found = directions.held_out(x, columns, GROUPS, FOLDS, method="partial", seed=0, block=3)
    expected = [directions.held_out(x, y, GROUPS, FOLDS, method="partial", seed=0) for y in alone]
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), atol=1e-9)


def two_sites(seed):
    """Return activations of two sites, each of which holds other values of the labels."""
    rng = np.random.default_rng(seed)
    y = rng.standard_normal((300, 4)) @ np.linalg.cholesky(0.5 * np.eye(4) + 0.5).T
    encoding = 2 * np.linalg.qr(rng.standard_normal((12, 4)))[0].T
    sites = [y * np.array(kept) @ encoding + rng.standard_normal((300, 12)) for kept in ((1, 0, 1, 0), (0, 1, 0, 1))]
    return np.stack(sites), y


@pytest.mark.parametrize("method", PICKING)
def test_a_site_picked_column_by_column_scores_as_whole_blocks_fitted_there(method):
    xs, y = two_sites(12)
    found = directions.nested(xs, y, GROUPS, FOLDS, method=method, seed=0)
    assert (found.sites == [0, 1, 0, 1]).all(), "the columns of one block must want different sites"
    whole = np.stack([directions.held_out(x, y, GROUPS, FOLDS, method=method, seed=0) for x in xs])
    np.testing.assert_allclose(found.scores, np.where([1, 0, 1, 0], *whole), atol=1e-9)


@pytest.mark.parametrize("method", OWN)
def test_where_a_site_holds_two_of_four_values_none_has_a_direction_of_its_own_and_no_site_is_picked(method):
    xs, y = two_sites(12)
    found = directions.nested(xs, y, GROUPS, FOLDS, method=method, seed=0)
    assert (found.sites == -1).all() and np.isnan(found.scores).all()
    found = directions.nested(xs, y[:, [0, 2]], GROUPS, FOLDS, method=method, seed=0)
    assert (found.sites == 0).all() and np.isfinite(found.scores).all()


def test_nested_scores_and_sites_of_stacked_draws_equal_those_of_each_alone():
    xs, y = two_sites(13)
    mixed = controls.shuffle_labels(y, GROUPS, draws=3, seed=0)
    found = directions.nested(xs, controls.stack(y, mixed), GROUPS, FOLDS, method="partial", seed=0, block=4)
    alone = [directions.nested(xs, one, GROUPS, FOLDS, method="partial", seed=0) for one in (y, *mixed)]
    np.testing.assert_array_equal(found.sites, np.concatenate([one.sites for one in alone], axis=1))
    np.testing.assert_allclose(found.scores, np.concatenate([one.scores for one in alone], axis=1), atol=1e-9)
    assert len(np.unique(found.sites[:, 4:])) == 2, "shuffled labels must pick both sites, or nothing was mixed"


@pytest.mark.parametrize("method", MARGINAL)
def test_marginal_methods_do_not_care_how_columns_are_blocked(method):
    x, y, _ = world(14, r=0.5)
    for ask in (directions.fit, directions.held_out):
        given = (x, y, GROUPS) if ask is directions.fit else (x, y, GROUPS, FOLDS)
        whole = ask(*given, method=method, seed=0)
        np.testing.assert_allclose(ask(*given, method=method, seed=0, block=2), whole, atol=1e-9)


@pytest.mark.parametrize("block", [0, -2, 3, 5])
def test_columns_that_are_not_whole_blocks_are_refused_with_the_numbers(block):
    x, y, _ = world(15)
    calls = [
        lambda: directions.fit(x, y, GROUPS, method="partial", seed=0, block=block),
        lambda: directions.held_out(x, y, GROUPS, FOLDS, method="partial", seed=0, block=block),
        lambda: directions.nested(x[None], y, GROUPS, FOLDS, method="partial", seed=0, block=block),
    ]
    for call in calls:
        with pytest.raises(InputError, match=f"4 label columns in blocks of {block}"):
            call()


def test_no_columns_give_no_directions_and_no_scores():
    x, y = world(16)[0], np.empty((300, 0))
    assert directions.fit(x, y, GROUPS, method="partial", seed=0).shape == (0, 12)
    assert directions.held_out(x, y, GROUPS, FOLDS, method="partial", seed=0, block=4).shape == (300, 0)
