"""Claims about structure: values told apart, as many dimensions as values, a circle that is not the labels' own."""

import dataclasses
import warnings

import numpy as np
import pytest
from vprobe import claims, splits
from vprobe.claims import Level
from vprobe.claims.reading import Reading
from vprobe.types import Reliability
from vprobe.values import ANGLES, SCHWARTZ

STERN, QUICK = Level(0.001, 2000, 0), Level(0.05, 199, 0)
TURN = np.deg2rad(ANGLES)


def known(estimate, *, within=True, values=SCHWARTZ):
    return tuple(Reliability(value, estimate, estimate**0.5, within) for value in values)


def circular(share, k=10):
    """Return correlations of which this share is the circle's."""
    return share * np.cos(TURN[:k, None] - TURN[:k]) + (1 - share) * np.eye(k)


def world(seed, *, true=None, encoding=None, reliability=0.6, queries=104, d=32, strength=1.0):
    """Return a reading: labels are noisy true scores, activations true scores along encodings, orthonormal if None."""
    rng = np.random.default_rng(seed)
    true = np.eye(10) if true is None else true
    encoding, k, n = np.eye(len(true)) if encoding is None else encoding, len(true), 5 * queries
    scores = rng.multivariate_normal(np.zeros(k), true, size=n)
    y = scores + rng.standard_normal((n, k)) * np.sqrt(np.diag(true) * (1 / reliability - 1))
    axes = np.linalg.qr(rng.standard_normal((d, d)))[0][: encoding.shape[1]]
    shared = np.repeat(rng.standard_normal((queries, k)), 5, axis=0)
    x = (strength * scores + shared) @ encoding @ axes + rng.standard_normal((n, d))
    groups = tuple(f"q{i // 5:03d}" for i in range(n))
    folds = splits.by_group(groups, seed=0)
    return Reading(x, y + shared, groups, folds, SCHWARTZ[:k], "covariance", "resid_post.3")


# Unique.


def test_ordinary_values_are_each_told_apart():
    for true in (np.eye(10), circular(0.4)):
        rows = claims.unique(world(0, true=true), STERN, reliability=known(0.6))
        assert [row.value for row in rows] == list(SCHWARTZ)
        for row in rows:
            assert row.made and row.reason == "" and 1 <= row.estimate < 5
            assert (row.claim, row.n, row.draws) == ("unique", 520, 0) and np.isnan(row.p)


def twins(seed, reliability):
    """Return a reading in which universalism and benevolence are one value, each labelled with noise of its own."""
    true = np.eye(10)
    true[5, 6] = true[6, 5] = 1.0
    return world(seed, true=true, reliability=reliability)


@pytest.mark.parametrize("reliability", [0.3, 0.6, 0.9])
def test_two_values_that_are_one_are_refused_however_noisy_their_labels(reliability):
    for seed in range(3):
        rows = claims.unique(twins(seed, reliability), STERN, reliability=known(reliability))
        assert not rows[5].made and "nearest is benevolence" in rows[5].reason and rows[5].estimate > 100
        assert not rows[6].made and "nearest is universalism" in rows[6].reason and rows[6].estimate > 100
        if reliability == 0.9:
            assert all(row.made for i, row in enumerate(rows) if i not in (5, 6))


def test_without_a_known_reliability_within_queries_no_value_is_called_unique():
    read = twins(0, 0.6)
    for given in ((), known(0.6, within=False), known(float("nan"))):
        rows = claims.unique(read, STERN, reliability=given)
        assert not any(row.made for row in rows) and all("reliability" in row.reason for row in rows)


def test_a_value_that_is_the_opposite_of_the_others_together_is_refused_with_all_of_them():
    read = world(1, reliability=1.0)
    y = read.y - read.y.mean(axis=1, keepdims=True)
    rows = claims.unique(dataclasses.replace(read, y=y), STERN, reliability=known(1.0))
    assert not any(row.made for row in rows) and min(row.estimate for row in rows) > 10


def test_inflation_of_true_scores_is_that_of_their_correlations():
    true = circular(0.8)
    rows = claims.unique(world(2, true=true, queries=4000, d=11), STERN, reliability=known(0.6))
    np.testing.assert_allclose([row.estimate for row in rows], np.diag(np.linalg.inv(true)), rtol=0.1)


def test_samples_without_all_labels_do_not_count_towards_uniqueness():
    read = world(3)
    y = read.y.copy()
    y[:100, 4] = np.nan
    holed = claims.unique(dataclasses.replace(read, y=y), STERN, reliability=known(0.6))
    part = dataclasses.replace(read, x=read.x[100:], y=read.y[100:], groups=read.groups[100:])
    alone = claims.unique(part, STERN, reliability=known(0.6))
    np.testing.assert_allclose([row.estimate for row in holed], [row.estimate for row in alone])


# Dimensions.


def planted(seed, held, **named):
    """Return a reading whose activations hold the first `held` of ten values."""
    return world(seed, encoding=np.eye(10)[:, :held], strength=1.5, **named)


def test_ten_planted_dimensions_are_ten():
    read = planted(1, 10, d=16)
    row = claims.dimensions(read, STERN)
    assert row.made and row.estimate == 10 and row.reason == "" and row.p <= 0.001
    assert (row.claim, row.value, row.n, row.draws) == ("ten dimensions", "all", 260, 2000)


def test_labels_of_nine_dimensions_give_no_ten():
    read = planted(0, 10, d=16)
    read = dataclasses.replace(read, y=read.y - read.y.mean(axis=1, keepdims=True))
    row = claims.dimensions(read, STERN)
    assert not row.made and row.estimate == 9
    assert row.reason == "labels and activations share 9 dimensions, not 10"


def test_values_held_in_two_directions_are_two_dimensions():
    plane = np.column_stack([np.cos(TURN), np.sin(TURN)])
    read = world(0, encoding=plane, d=64)
    row = claims.dimensions(read, STERN)
    assert not row.made and row.estimate == 2


def test_fewer_values_than_ten_are_claimed_under_another_name():
    read = world(4, true=np.eye(3), d=16)
    row = claims.dimensions(read, STERN)
    assert row.made and row.claim == "dimensions" and row.estimate == 3


def test_a_value_without_labels_or_whose_labels_never_vary_refuses_what_needs_them_all():
    read = world(4, d=16)
    for number, claim, words in (
        (np.nan, lambda one: claims.dimensions(one, QUICK), "no item has labels of all values"),
        (np.nan, lambda one: claims.circle(one, QUICK, reliability=known(0.6)), "no item has labels of all values"),
        (0.3, lambda one: claims.circle(one, QUICK, reliability=known(0.6)), f"within a query: {SCHWARTZ[3]}"),
    ):
        y = read.y.copy()
        y[:, 3] = number
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            row = claim(dataclasses.replace(read, y=y))
        assert not row.made and np.isnan(row.estimate) and np.isnan(row.p) and row.reason.endswith(words)


# Circle.


def around(own, d=None):
    """Return encodings on a circle, each with a part of its own this large."""
    return np.column_stack([np.cos(TURN), np.sin(TURN), own * np.eye(10)])


@pytest.mark.parametrize("own", [0.7, 1.5])
def test_directions_arranged_on_a_circle_are_found_though_the_labels_are_not_circular(own):
    read = world(0, encoding=around(own), queries=208)
    row = claims.circle(read, STERN, reliability=known(0.6))
    assert row.made and row.reason == "" and row.estimate > 0.8 and row.p <= 0.001
    assert (row.claim, row.value, row.method, row.draws, row.n) == ("circle", "all", "partial", 2000, 1040)


def test_directions_on_a_circle_are_found_under_circular_labels_too():
    row = claims.circle(world(1, encoding=around(0.7), true=circular(0.5)), STERN, reliability=known(0.6))
    assert row.made and row.estimate > 0.8


def test_orthogonal_directions_under_circular_noisy_labels_are_refused_as_inherited():
    for seed in range(3):
        row = claims.circle(world(seed, true=circular(0.7)), STERN, reliability=known(0.6))
        assert not row.made and row.reason.startswith("inherited from correlations between labels")
        marginal = float(row.reason.partition("fit the circle at r = ")[2][:4])
        shuffled = float(row.reason.partition("(shuffled labels: ")[2][:4])
        assert marginal > 0.9 and 0.6 < shuffled < marginal, "the careless test sees a circle"
        assert abs(row.estimate) < 0.3


@pytest.mark.parametrize("strength", [0.0, 2.0])
def test_no_circle_is_claimed_where_only_the_labels_have_one(strength):
    made = sum(
        claims.circle(world(seed, true=circular(0.7), strength=strength), QUICK, reliability=known(0.6)).made
        for seed in range(20)
    )
    assert made <= 2


def test_label_noise_left_in_would_pass_for_a_circle():
    # The negative control of taking it off: the same orthogonal directions, labels said to be free of noise.
    read = world(0, true=circular(0.7), strength=2.0)
    assert claims.circle(read, STERN, reliability=known(1.0)).made
    assert not claims.circle(read, STERN, reliability=known(0.6)).made


def test_directions_around_a_circle_in_another_order_are_not_the_value_circle():
    order = np.random.default_rng(3).permutation(10)
    row = claims.circle(world(2, encoding=around(0.7)[order]), STERN, reliability=known(0.6))
    assert not row.made


def test_values_may_come_in_any_order():
    read = world(3, encoding=around(0.7))
    order = np.random.default_rng(3).permutation(10)
    moved = dataclasses.replace(read, y=read.y[:, order], values=tuple(SCHWARTZ[i] for i in order))
    one, other = (claims.circle(given, QUICK, reliability=known(0.6)) for given in (read, moved))
    assert one.made and other.made and other.estimate == pytest.approx(one.estimate)


def test_a_circle_too_faint_to_matter_is_not_claimed():
    faint = np.hstack([0.25 * around(0.0)[:, :2], np.eye(10)])
    row = claims.circle(world(4, encoding=faint, queries=800, reliability=1.0), QUICK, reliability=known(1.0))
    assert row.p <= 0.05 and not row.made and "with a swing of 0.0" in row.reason


def test_the_circle_needs_all_ten_values_and_their_reliability():
    read = world(5, encoding=around(0.7))
    nine = dataclasses.replace(read, y=read.y[:, :9], values=SCHWARTZ[:9])
    cases = [(nine, known(0.6)), (read, ()), (read, known(0.6)[:9]), (read, known(0.6, within=False))]
    for given, reliability in cases:
        row = claims.circle(given, QUICK, reliability=reliability)
        assert not row.made and np.isnan(row.estimate) and "needs all ten Schwartz values" in row.reason
