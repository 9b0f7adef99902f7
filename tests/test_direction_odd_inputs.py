"""Odd input gives every method a unit vector, NaN or a message; no warning, no infinite number, no made-up line."""

from dataclasses import replace

import numpy as np
import pytest
from vprobe import directions, splits
from vprobe.errors import InputError, RefusedError
from vprobe.types import Activations, Benchmark, Item, Loading, Seen, Site

METHODS = directions.methods()
GROUPS = np.repeat(np.arange(12), 5)
RNG = np.random.default_rng(0)
S = RNG.standard_normal((60, 3))
X = S @ RNG.standard_normal((3, 8)) + RNG.standard_normal((60, 8))
HOLES = np.where(RNG.random(S.shape) < 0.2, np.nan, S)
RARE = np.tile(np.where(np.arange(60) == 7, 1.0, 0.0)[:, None], 3)

NOTHING = {
    "no label known": (X, S * np.nan, GROUPS),
    "constant labels": (X, 0.1 + 0 * S, GROUPS),
    "labels of queries only": (X, RNG.standard_normal((12, 3))[GROUPS], GROUPS),
    "queries of one": (X, S, np.arange(60)),
    "one sample": (X[:1], S[:1], GROUPS[:1]),
    "two samples of two queries": (X[:2], S[:2], np.arange(2)),
    "constant activations": (0.1 + 0 * X, S, GROUPS),
    "activations of queries only": (RNG.standard_normal((12, 8))[GROUPS], S, GROUPS),
}
"""Nothing can be found here, and nothing may be."""

FOUND = {
    "as it should be": (X, S, GROUPS),
    "unknown labels": (X, HOLES, GROUPS),
    "infinite labels are unknown": (X, np.where(np.isnan(HOLES), np.inf, HOLES), GROUPS),
    "one query": (X, S, 0 * GROUPS),
    "more dimensions than samples": (RNG.standard_normal((60, 300)), S, GROUPS),
    "columns twice": (np.concatenate([X, X, X[:, :1]], axis=1), S, GROUPS),
    "two values only": (X, np.sign(S), GROUPS),
    "one value": (X, S[:, :1], GROUPS),
    "float32 far from 0": ((X + 1e6).astype(np.float32), S, GROUPS),
    "very small": (X * 1e-30, S, GROUPS),
    "very large": (X * 1e30, S, GROUPS),
    "names for groups": (X, S, tuple(f"q{i}" for i in GROUPS)),
    "queries of all sizes": (X, S, np.sort(RNG.integers(0, 12, 60))),
    "no noise": (X, X[:, :3], GROUPS),
}
"""Something can be found here, and every method finds it."""

EITHER = {
    "one label in sixty": (X, RARE, GROUPS),
    "one dimension": (X[:, :1], S, GROUPS),
    "one loud dimension": (np.concatenate([X, 1e5 * RNG.standard_normal((60, 1))], axis=1), S, GROUPS),
    "the same label thrice": (X, np.tile(S[:, :1], 3), GROUPS),
    "labels beyond squaring": (X, S * 1e-200, GROUPS),
    "few samples with all labels": (X, np.where(RNG.random(S.shape) < 0.5, np.nan, S), GROUPS),
    "one query of two": (X[:2], S[:2], GROUPS[:2]),
    "activations vary in one of two queries": (X[[0, 1, 2, 2]], S[:4], np.array([0, 0, 1, 1])),
    "no columns": (X, S[:, :0], GROUPS),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("cases", "allowed"), [(NOTHING, {False}), (FOUND, {True}), (EITHER, {True, False})])
def test_every_method_answers_odd_input_with_unit_vectors_or_nan(method, cases, allowed):
    for name, (x, y, groups) in cases.items():
        found = directions.fit(x, y, groups, method=method, seed=0)
        real = np.isfinite(found).all(axis=1)
        assert found.shape == (y.shape[1], x.shape[1]), name
        assert set(real.tolist()) <= allowed, name
        np.testing.assert_allclose(np.linalg.norm(found[real], axis=1), 1.0, err_msg=name)
        assert np.isnan(found[~real]).all(), f"{name}: half a vector"


@pytest.mark.parametrize("method", METHODS)
def test_held_out_scores_of_odd_input_are_finite_or_nan(method):
    for name in ("unknown labels", "more dimensions than samples", "float32 far from 0", "very small", "no noise"):
        x, y, groups = FOUND[name]
        scores = directions.held_out(x, y, groups, splits.by_group(groups, k=3, seed=0), method=method, seed=0)
        assert np.abs(scores[np.isfinite(scores)]).max(initial=0.0) < 1e4 and not np.isinf(scores).any(), name
    x, y, groups = NOTHING["constant labels"]
    scores = directions.held_out(x, y, groups, splits.by_group(groups, k=3, seed=0), method=method, seed=0)
    assert np.isnan(scores).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_activations_that_are_no_numbers_are_refused_with_how_many(bad):
    x = X.copy()
    x[3, 4] = bad
    folds = splits.by_group(GROUPS, k=3, seed=0)
    with pytest.raises(InputError, match="1 activations are NaN or infinite"):
        directions.fit(x, S, GROUPS, method="ridge", seed=0)
    with pytest.raises(InputError, match="1 activations are NaN or infinite"):
        directions.held_out(x, S, GROUPS, folds, method="ridge", seed=0)
    with pytest.raises(InputError, match="2 activations are NaN or infinite"):
        directions.nested(np.stack([x, x]), S, GROUPS, folds, method="ridge", seed=0)
    with pytest.raises(InputError, match="1 activations are NaN or infinite"):
        directions.eraser(x, S, GROUPS)


@pytest.mark.parametrize("name", ["one query", "one query of two"])
def test_a_single_query_cannot_be_held_out(name):
    x, y, groups = {**FOUND, **EITHER}[name]
    with pytest.raises(RefusedError, match="1 groups for 3 folds"):
        splits.by_group(groups, k=3, seed=0)
    assert directions.fit(x, y, groups, method="covariance", seed=0).shape == (3, 8)


@pytest.mark.parametrize("method", METHODS)
def test_records_score_in_their_unit_far_from_zero_though_vectors_are_kept_in_float32(method):
    ids = tuple(f"i{i}" for i in range(60))
    items = tuple(
        Item(f"i{i}", f"q{i // 5}", "made", "message", "a query", "a response",
             loadings=(Loading("power", float(np.tanh(S[i, 0]))), Loading("security", float(np.tanh(S[i, 1])))))
        for i in range(60)
    )  # fmt: skip
    given = Benchmark("made", items, (), ("power", "security"), (), "none", "none", "0", "made up")
    acts = Activations((X + 1e5).astype(np.float32)[:, None], ids, (Site(0),), "response_mean", "m")
    found = directions.fit_all(acts, given, ids, method=method, values=given.values, seed=0)
    assert len(found) == 2
    for one in found:
        score = replace(one, seen=Seen()).score(acts.at(Site(0)))
        assert score.mean() == pytest.approx(0, abs=1e-6) and score.std() == pytest.approx(1, abs=1e-6)
