"""What two directions of one value share and what each has alone, on planted parts; and value neurons by angle."""

import math
from dataclasses import replace

import numpy as np
import pytest
from vprobe import directions, registry, stats
from vprobe.errors import InputError
from vprobe.types import Direction, Site

PROMPTED = directions.methods("prompted")
AXES = np.eye(24)


def unit(v):
    return v / np.linalg.norm(v)


def planted(shared=2.0, own=1.0, told=1.0):
    """Return an intrinsic and a prompted direction made of a common axis 0 and a line 1 on which they part."""
    return shared * AXES[0] + own * AXES[1], shared * AXES[0] - told * AXES[1]


def record(v, provenance="intrinsic", **changes):
    base = dict(model="m", unit=3.0, fitted_on=provenance)
    return Direction(
        unit(v).astype(np.float32),
        Site(3),
        "power",
        "covariance",
        "write",
        provenance=provenance,
        **{**base, **changes},
    )


@pytest.mark.parametrize("method", PROMPTED)
class TestContract:
    """What every method on prompted pairs promises."""

    def test_parts_have_norm_one_lie_in_the_plane_and_swap_when_the_two_do(self, method):
        rng = np.random.default_rng(0)
        own, told = rng.standard_normal((2, 24))
        divide = registry.load("vprobe.directions", method).divide
        found, back = divide(own, told), divide(told, own)
        for part in (found.shared, found.intrinsic_unique, found.prompted_unique):
            assert np.linalg.norm(part) == pytest.approx(1)
            plane = np.linalg.lstsq(np.stack([own, told]).T, part, rcond=None)[0] @ np.stack([own, told])
            np.testing.assert_allclose(plane, part, atol=1e-9)
        np.testing.assert_allclose(back.shared, found.shared, atol=1e-9)
        np.testing.assert_allclose(back.intrinsic_unique, found.prompted_unique, atol=1e-9)

    def test_planted_parts_are_found_and_turn_with_the_activations(self, method):
        own, told = planted()
        turn = np.linalg.qr(np.random.default_rng(1).standard_normal((24, 24)))[0]
        found = registry.load("vprobe.directions", method).divide(own @ turn, told @ turn)
        np.testing.assert_allclose(found.shared, AXES[0] @ turn, atol=1e-9)
        np.testing.assert_allclose(found.intrinsic_unique, AXES[1] @ turn, atol=1e-9)
        np.testing.assert_allclose(found.prompted_unique, -AXES[1] @ turn, atol=1e-9)

    def test_what_does_not_exist_is_nan(self, method):
        divide = registry.load("vprobe.directions", method).divide
        same = divide(AXES[0], 3 * AXES[0])
        assert same.ratio == math.inf and same.cosine == pytest.approx(1)
        np.testing.assert_allclose(same.shared, AXES[0], atol=1e-12)
        assert np.isnan(same.intrinsic_unique).all() and np.isnan(same.prompted_rest).all()
        for bad in (0 * AXES[0], np.full(24, np.nan), np.full(24, np.inf)):
            assert np.isnan(divide(AXES[0], bad).shared).all() and math.isnan(divide(AXES[0], bad).cosine)
        opposite = divide(AXES[0], -AXES[0])
        assert np.isnan(opposite.shared).all(), "more of both points nowhere"

    def test_it_is_marked_and_cannot_be_fitted_to_labels(self, method):
        module = registry.load("vprobe.directions", method)
        assert module.ROLE in ("read", "write") and module.EFFECT in ("marginal", "partial")
        with pytest.raises(InputError, match="two directions of one value"):
            directions.fit(np.eye(4), np.eye(4)[:, :1], [0, 0, 1, 1], method=method, seed=0)


def test_the_sources_formula_svd_of_the_two_columns_and_gram_schmidt():
    rng = np.random.default_rng(2)
    own, told = rng.standard_normal((2, 24)) + 1
    found = directions.divide(own, told)
    u, s, _ = np.linalg.svd(np.column_stack([own, told]), full_matrices=False)
    assert abs(found.shared @ u[:, 0]) == pytest.approx(1) and abs(found.intrinsic_unique @ u[:, 1]) == pytest.approx(1)
    assert found.intrinsic_unique @ (own - told) > 0 and found.ratio == pytest.approx(s[0] / s[1])
    assert found.intrinsic_rest @ told == pytest.approx(0, abs=1e-9)
    assert found.prompted_rest @ own == pytest.approx(0, abs=1e-9)


def test_raw_lengths_let_the_shared_part_lean_to_the_longer_and_unit_lengths_do_not():
    own, told = planted()
    leaning = directions.divide(own, 10 * told)
    even = directions.divide(own, 10 * told, normalize="unit")
    assert leaning.shared @ unit(told) > 0.99 > even.shared @ unit(told)
    assert even.shared @ unit(own) == pytest.approx(even.shared @ unit(told))


def test_records_become_a_shared_and_two_unique_directions_that_say_what_they_are():
    own, told = planted()
    found = directions.split(record(own), record(told, "prompted"))
    assert [one.provenance for one in found] == ["shared", "intrinsic", "prompted"]
    assert {(one.method, one.role, one.effect, one.site, one.value, one.unit) for one in found} == {
        ("svd-shared", "write", "marginal", Site(3), "power", 3.0)
    }
    np.testing.assert_allclose([one.vector for one in found], [AXES[0], AXES[1], -AXES[1]], atol=1e-6)
    same = directions.split(record(own), record(own, "prompted"))
    assert [one.provenance for one in same] == ["shared"]
    opposite = directions.split(record(own), record(-own, "prompted"))
    apart = directions.split(record(AXES[0]), record(AXES[1] - AXES[0], "prompted"))
    assert opposite == apart == ()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (dict(provenance="intrinsic"), "provenance intrinsic and intrinsic"),
        (dict(value="security"), "value power and security"),
        (dict(site=Site(2)), "site resid_post.3 and resid_post.2"),
        (dict(model="n"), "model m and n"),
        (dict(position="last_prompt"), "position"),
    ],
)
def test_two_that_are_no_pair_are_refused(other, message):
    with pytest.raises(InputError, match=message):
        directions.split(record(AXES[0]), replace(record(AXES[1], "prompted"), **other))
    with pytest.raises(InputError, match="svd-shared"):
        directions.split(record(AXES[0]), record(AXES[1], "prompted"), method="ridge")


def test_prompted_directions_fitted_on_planted_data_give_the_planted_parts_back():
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(104), 5)
    vectors = []
    for encoding in planted():
        s = rng.standard_normal((520, 1))
        x = s * encoding + 0.5 * rng.standard_normal((520, 24))
        vectors.append(directions.fit(x, s, groups, method="covariance", seed=0)[0])
    found = directions.divide(*vectors)
    assert found.shared @ AXES[0] > 0.97 and found.intrinsic_unique @ AXES[1] > 0.95


# Value neurons.


def written(angle, size=1.0):
    """Return output weights in the plane of the first two axes, degrees from the shared one, plus a part outside it."""
    return size * (math.cos(math.radians(angle)) * AXES[0] + math.sin(math.radians(angle)) * AXES[1]) + 2 * AXES[7]


def test_neurons_are_named_after_the_part_they_write_into_and_by_nothing_outside_the_plane():
    own, told = planted()
    angles = [0, 29, -29, 31, 59, 61, 90, 119, -61, -90, 180, 150]
    w_out = np.stack([written(a, size=1 + i) for i, a in enumerate(angles)])
    found = directions.value_neurons(w_out, own, told)
    wanted = [
        "shared",
        "shared",
        "shared",
        "",
        "",
        "intrinsic",
        "intrinsic",
        "intrinsic",
        "prompted",
        "prompted",
        "",
        "",
    ]
    assert found.kind.tolist() == wanted
    np.testing.assert_allclose(found.strength, 1 + np.arange(12), atol=1e-9)
    np.testing.assert_allclose(found.angle[[1, 3, 5, 8]], [29, 31, 29, 29], atol=1e-6)
    assert found.strongest(0.25).tolist() == [11, 10, 9] and found.strongest(0.001).tolist() == [11]


def test_activity_weighs_strength_and_weights_outside_the_plane_have_none():
    own, told = planted()
    w_out = np.stack([written(0), written(0, 5.0), AXES[9], 0 * AXES[0]])
    found = directions.value_neurons(w_out, own, told, activity=np.array([10.0, 1.0, 100.0, 100.0]))
    np.testing.assert_allclose(found.strength, [10, 5, 0, 0], atol=1e-9)
    assert found.kind.tolist() == ["shared", "shared", "", ""] and np.isnan(found.angle[2:]).all()
    assert found.strongest(0.5).tolist() == [0, 1]
    for share in (0.0, 1.1, math.nan):
        with pytest.raises(InputError, match="share"):
            found.strongest(share)
    with pytest.raises(InputError, match="cosine 1"):
        directions.value_neurons(w_out, own, 2 * own)
    with pytest.raises(InputError, match=r"cosine -0\.5[\s\S]*share something"):
        directions.value_neurons(w_out, AXES[0], np.sqrt(0.75) * AXES[1] - 0.5 * AXES[0])


def test_weights_that_are_no_numbers_are_refused():
    w_out = np.zeros((3, 24))
    w_out[1, 2] = np.nan
    with pytest.raises(InputError, match="1 output weights"):
        directions.value_neurons(w_out, *planted())


def test_contrast_neurons_are_those_that_differ_clearly_and_more_than_most():
    rng = np.random.default_rng(4)
    high, low = rng.standard_normal((2, 200, 1000))
    high[:, :5] += 1.5
    high[:, 5] += 0.5  # beyond most, but d = .5
    high[:, 6] *= 0.01
    low[:, 6] *= 0.01
    high[:, 6] += 0.05  # d = 5, but small
    high[:, 7], low[:, 7] = 4.0, 4.0
    found = directions.contrast_neurons(high, low, quantile=0.99)
    assert np.flatnonzero(found.chosen).tolist() == [0, 1, 2, 3, 4]
    a, b = np.delete(high, 7, axis=1), np.delete(low, 7, axis=1)
    pooled = np.sqrt((a.var(axis=0, ddof=1) + b.var(axis=0, ddof=1)) / 2)
    np.testing.assert_allclose(np.delete(found.d, 7), (a.mean(axis=0) - b.mean(axis=0)) / pooled, atol=1e-9)
    assert math.isnan(found.d[7]) and found.difference[7] == 0 and found.d[6] > 3


def test_contrast_neurons_in_noise_are_none_and_impossible_settings_are_refused():
    rng = np.random.default_rng(5)
    high, low = rng.standard_normal((2, 100, 2000))
    assert directions.contrast_neurons(high, low).chosen.sum() == 0
    for one, other, quantile in ((high[:1], low, 0.9), (high, low[:1], 0.9), (high, low, 1.5), (high, low, math.nan)):
        with pytest.raises(InputError, match="contrast neurons"):
            directions.contrast_neurons(one, other, quantile=quantile)
    high[0, 0] = np.nan
    with pytest.raises(InputError, match="contrast neurons"):
        directions.contrast_neurons(high, low)


# Patterns of any probe.


def test_the_pattern_of_any_probe_writes_what_the_probe_reads():
    rng = np.random.default_rng(6)
    groups = np.repeat(np.arange(60), 5)
    s, loud = rng.standard_normal((2, 300, 1))
    x = np.concatenate([s + loud, loud, 0.1 * rng.standard_normal((300, 8))], axis=1)
    for method in ("ridge", "lda", "logistic", "leace"):
        weights = directions.fit(x, s, groups, method=method, seed=0)
        pattern = directions.pattern(x, 7 * weights, groups)[0]
        assert weights[0, 0] < 0.9 and unit(pattern)[0] > 0.95
    found = directions.pattern(x, np.stack([weights[0], np.full(10, np.nan), weights[0]]), groups)
    assert np.isnan(found).all(), "the same probe twice is told by its double"
    found = directions.pattern(x, np.stack([weights[0], np.full(10, np.nan), 0 * weights[0]]), groups)
    assert np.isfinite(found[0]).all() and np.isnan(found[1:]).all()
    np.testing.assert_allclose(
        found[0], stats.centre(x, groups).T @ (z := stats.centre(x, groups) @ weights[0]) / (z @ z)
    )


def test_patterns_of_samples_without_a_group_are_refused():
    with pytest.raises(InputError, match="299 groups"):
        directions.pattern(np.zeros((300, 10)), np.zeros((1, 10)), np.zeros(299, dtype=int))
