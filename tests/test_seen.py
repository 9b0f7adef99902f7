"""A direction is not scored on the data that made it: the same samples, whatever they are called, or their queries."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import vprobe
from vprobe import benchmarks, directions, pipeline, scores, splits, stats, store
from vprobe.config import RunConfig
from vprobe.errors import InputError, RefusedError
from vprobe.types import Activations, Benchmark, Item, Loading, Scores, Seen, Site

from tests import tiny

GROUPS = tuple(f"q{i // 5}" for i in range(100))
IDS = tuple(f"i{i}/response" for i in range(100))


def made(seed=0, n=100, d=8, prefix="i"):
    rng = np.random.default_rng(seed)
    ids = tuple(f"{prefix}{i}/response" for i in range(n))
    x = rng.standard_normal((n, 2, d)).astype(np.float32)
    return Activations(x, ids, (Site(0), Site(1)), "response_mean", "m")


def fitted(acts, values=("power",), seed=0, **more):
    y = np.tanh(np.random.default_rng(seed + 1).standard_normal((len(acts.x), len(values))))
    items = tuple(
        Item(f"i{i}", f"q{i // 5}", "made", "message", "a query", "a response",
             loadings=tuple(Loading(v, float(r)) for v, r in zip(values, row, strict=True)))
        for i, row in enumerate(y)
    )  # fmt: skip
    given = Benchmark("made", items, (), values, (), "none", "none", "0", "made up")
    names = tuple(item.id for item in items)
    return directions.fit_all(acts, given, names, method="covariance", values=values, seed=0, **more), y


def test_why_in_noise_a_direction_looks_good_on_its_own_samples_and_held_out_it_does_not():
    acts = made(d=60)
    (one, _), y = fitted(acts)
    own = scores.project(acts, [one], unsafe=True).x
    held = directions.held_out(
        acts.at(Site(0)), y, GROUPS, splits.by_group(GROUPS, seed=0), method="covariance", seed=0
    )
    assert stats.within_r(own, y, GROUPS)[0] > 0.4 > 0.2 > abs(stats.within_r(held, y, GROUPS)[0])


@pytest.mark.parametrize(
    "again",
    [
        lambda x: x,
        lambda x: x.astype(np.float64),
        lambda x: x[::-1].copy(),
        lambda x: x[7],
        lambda x: x[:4].reshape(2, 2, -1),
        lambda x: np.concatenate([x[3:4], x + 1]),
    ],
)
def test_activations_a_direction_was_fitted_on_are_known_again_without_their_names(again):
    acts = made()
    (one, other), _ = fitted(acts)
    with pytest.raises(RefusedError, match="fitted or chosen on"):
        one.score(again(acts.at(Site(0))))
    assert np.isfinite(other.score(again(acts.at(Site(0))))).all(), "another site's activations are other numbers"


def test_the_number_of_samples_seen_is_told_and_others_are_scored_by_the_formula():
    acts = made()
    (one, _), _ = fitted(acts)
    fresh = made(9).at(Site(0))
    np.testing.assert_allclose(one.score(fresh), (fresh @ one.vector - one.midpoint) / one.spread, atol=1e-5)
    with pytest.raises(RefusedError, match="3 of 103 samples"):
        one.score(np.concatenate([fresh, acts.at(Site(0))[:3]]))
    assert one.score(np.empty((0, 8))).shape == (0,)


def test_projection_refuses_by_name_by_query_and_by_number():
    acts = made()
    found, _ = fitted(acts)
    one = found[:1]
    rerun = replace(acts, x=acts.x + 1e-3)  # another device: other last bits, same names
    with pytest.raises(RefusedError, match=r"100 of 100 samples .*first 'i0/response'"):
        scores.project(rerun, one)
    renamed = replace(acts, sample_ids=tuple(f"new{i}" for i in range(100)))
    with pytest.raises(RefusedError, match="100 of 100"):
        scores.project(renamed, one)
    siblings = made(5, prefix="other")
    assert scores.project(siblings, one).n_seen == 0, "without queries nothing is known of them"
    with pytest.raises(RefusedError, match="5 of 100 samples"):
        scores.project(siblings, one, groups=("q3",) * 5 + ("elsewhere",) * 95)
    assert scores.project(siblings, one, groups=("elsewhere",) * 100).n_seen == 0
    with pytest.raises(InputError, match="99 groups for 100 samples"):
        scores.project(siblings, one, groups=("elsewhere",) * 99)


def test_unsafe_gives_the_numbers_and_marks_them_wherever_they_go():
    acts = made()
    found, _ = fitted(acts)
    marked = scores.project(acts, found[:1], unsafe=True)
    plain = replace(found[0], seen=Seen())
    np.testing.assert_array_equal(marked.x[:, 0], plain.score(acts.at(Site(0))))
    assert marked.n_seen == 100 and "unsafe" in marked.unit
    assert all("unsafe" in row.unit for row in scores.rows(marked, GROUPS))
    ratings = np.random.default_rng(3).standard_normal(100)
    assert all("unsafe" in row.unit for row in scores.profile(ratings, marked, GROUPS, seed=0, resamples=20))
    fresh = scores.project(made(5, prefix="other"), found[:1], unsafe=True)
    assert fresh.n_seen == 0 and "unsafe" not in fresh.unit, "unsafe where nothing was seen needs no mark"
    assert "unsafe" not in scores.profile(ratings, fresh, GROUPS, seed=0, resamples=20)[0].unit


def test_what_two_directions_saw_is_what_their_parts_saw():
    own, told = made(), made(1, prefix="t")
    (a, _), _ = fitted(own)
    (b, _), _ = fitted(told, seed=4, provenance="prompted")
    for part in directions.split(a, b):
        with pytest.raises(RefusedError):
            scores.project(own, [part])
        with pytest.raises(RefusedError):
            scores.project(told, [part])


def test_zeros_of_either_sign_are_one_row_and_nothing_seen_knows_nothing():
    seen = Seen.of(("a",), ("q",), np.zeros((1, 3), np.float32))
    assert seen.has_rows(-np.zeros((1, 3))).all() and not Seen().has_rows(np.zeros((2, 3))).any()
    assert (seen | Seen()) == seen and seen.has_samples(["b", "a"]).tolist() == [False, True]
    assert seen.has_queries(["a"]).tolist() == [False], "a query is no sample"


# Runs.


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = [f"{item.text} {item.response}" for item in benchmarks.load("everyday").items]
    return tiny.untrained(tmp_path_factory.mktemp("seen") / "model", words)


@pytest.fixture(scope="module")
def runs(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("seen")
    for name, limit, benchmark in (("own", 8, "everyday"), ("other", 6, "valuelex")):
        config = RunConfig(model=str(model), benchmark=(benchmark,), limit=limit, out=str(place / name),
                           draws=5, method=("covariance",), map=False)  # fmt: skip
        pipeline.extract(config)
        if name == "own":
            pipeline.probe(place / name, config)
    return place / "own", place / "other"


def test_a_run_refuses_its_own_directions_and_scores_those_of_another(runs) -> None:
    own, other = (vprobe.open_run(folder) for folder in runs)
    one = own.direction("power", method="covariance")
    assert len(one.seen.samples) == 40 and len(one.seen.queries) == 8 and len(one.seen.rows) == 40
    with pytest.raises(RefusedError, match="40 of 40 samples"):
        own.score(one)
    with pytest.raises(RefusedError, match="5 of 5"):
        one.score(own.activations().at(one.site)[:5])
    marked = own.score(one, unsafe=True)
    assert marked.n_seen == 40 and marked.sample_ids == tuple(own.table("items")["id"])
    found = other.score([one, own.direction("security", method="covariance")])
    assert isinstance(found, Scores) and found.values == ("power", "security") and found.n_seen == 0
    with pytest.raises(InputError, match="at least one"):
        other.score([])


def test_what_was_seen_comes_back_from_disk_once_per_site(runs) -> None:
    found = store.load_directions(runs[0])
    assert len({id(one.seen) for one in found}) == len({one.site for one in found}) == tiny.LAYERS
    acts = store.load_activations(runs[0], "response_mean")
    assert all(one.seen.has_rows(acts.at(one.site)).all() for one in found)


def test_a_run_knows_queries_too_so_that_sibling_responses_are_refused(runs) -> None:
    own = vprobe.open_run(runs[0])
    one = own.direction("power", method="covariance")
    siblings = replace(one, seen=Seen(queries=frozenset(sorted(one.seen.queries)[:3])))
    with pytest.raises(RefusedError, match="15 of 40"):
        own.score(siblings)
    assert own.score(replace(one, seen=Seen())).n_seen == 0
