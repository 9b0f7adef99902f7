"""Scores keep what is missing missing, undo what they should, and a profile is points per standard deviation."""

import math

import numpy as np
import pytest
from vprobe import scores, stats
from vprobe.errors import InputError, RefusedError
from vprobe.types import Activations, Direction, Response, Scores, Site

RATINGS = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)


def answer(item, version, expected=None, greedy=None, text="x", mass=1.0):
    """Return an answer whose option probabilities have the given mean rating and total."""
    logprobs = None
    if expected is not None:
        low = min(int(expected), 5)
        share = np.full(6, 1e-300)
        share[low - 1], share[low] = 1 - (expected - low), max(expected - low, 1e-300)
        logprobs = tuple(float(v) for v in np.log(np.maximum(share, 1e-300) * mass))
    return Response(
        f"{item}/{version}",
        item,
        f"q{item[0]}",
        "made",
        version,
        RATINGS,
        logprobs,
        text,
        greedy,
        None if greedy else "no label",
    )


def study(n=200, order=0.4, seed=0):
    rng = np.random.default_rng(seed)
    ids, out = tuple(f"{i // 5}-{i}" for i in range(n)), []
    level = rng.uniform(2.0, 5.0, n)
    for item, mean in zip(ids, level, strict=True):
        for version in ("v1", "v1_reversed", "v2", "v2_reversed"):
            e = float(np.clip(mean + order * version.endswith("reversed") + 0.3 * rng.standard_normal(), 1, 6))
            out.append(answer(item, version, e, float(round(e)), mass=0.9))
    return ids, level, out


def test_ratings_average_over_versions_and_report_order_mass_and_reliability():
    ids, level, answers = study()
    found = scores.rate(answers[::-1], ids)
    assert found.item_ids == ids
    np.testing.assert_allclose(found.expected, level + 0.2, atol=0.6)
    assert found.order_effect == pytest.approx(0.4, abs=0.05)
    assert found.option_mass == pytest.approx(0.9)
    assert found.greedy_r > 0.95 and found.greedy_mad < 0.3
    assert found.icc_versions > 0.9 and found.n_complete == 200
    assert (found.n_versions == 4).all() and found.n_unscored == found.n_unscored_greedy == found.n_unparsed == 0


def test_no_order_effect_is_reported_where_there_is_none_or_no_pair():
    ids, _, answers = study(order=0.0)
    assert abs(scores.rate(answers, ids).order_effect) < 0.05
    single = scores.rate([a for a in answers if a.template == "v1"], ids)
    assert math.isnan(single.order_effect) and math.isnan(single.icc_versions)


def test_what_was_not_answered_is_missing_and_counted_never_zero():
    answers = [
        answer("1-a", "v1", 4.0, 4.0),
        answer("1-a", "v2", 5.0, None),
        answer("1-b", "v1", None, 2.0),
        answer("other", "v1", 1.0, 1.0),
    ]
    found = scores.rate(answers, ("1-a", "1-b", "1-c"))
    np.testing.assert_allclose(found.expected, [4.5, np.nan, np.nan])
    np.testing.assert_allclose(found.greedy, [4.0, 2.0, np.nan])
    assert (found.n_unscored, found.n_unscored_greedy, found.n_unparsed) == (2, 1, 1)
    assert found.n_versions.tolist() == [2, 0, 0] and found.greedy_mad == pytest.approx(0.0)
    nothing = scores.rate([], ("1-a",))
    assert math.isnan(nothing.expected[0]) and nothing.n_unscored == 1 and math.isnan(nothing.option_mass)


def test_an_item_answered_twice_in_one_version_is_refused():
    with pytest.raises(InputError, match="twice"):
        scores.rate([answer("1-a", "v1", 4.0, 4.0)] * 2, ("1-a",))


def acts(seed=0, n=30):
    x = np.random.default_rng(seed).standard_normal((n, 2, 4)).astype(np.float32)
    return Activations(x, tuple(f"i{i}" for i in range(n)), (Site(0), Site(3)), "response_mean", "m")


def direction(value="power", site=None, **changes):
    base = dict(midpoint=1.0, spread=2.0, model="m")
    return Direction(
        np.eye(4, dtype=np.float32)[1], site or Site(3), value, "covariance", "write", **{**base, **changes}
    )


def test_projection_reads_each_direction_at_its_own_site():
    x = acts()
    found = scores.project(x, (direction(), direction("security", Site(0))))
    np.testing.assert_allclose(found.x[:, 0], (x.x[:, 1, 1] - 1) / 2, atol=1e-6)
    np.testing.assert_allclose(found.x[:, 1], (x.x[:, 0, 1] - 1) / 2, atol=1e-6)
    assert found.kind == "probe" and found.values == ("power", "security")
    table = scores.rows(found, ("q",) * 30, method="covariance", site="resid_post.3")
    assert len(table) == 60 and table[1].value == "security" and table[1].score == found.x[0, 1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ((direction(), direction()), "two directions"),
        ((direction(model="other"),), "direction of model other"),
        ((direction(position="last_prompt"),), "fitted at last_prompt"),
        ((direction(site=Site(9)),), "resid_post.9"),
    ],
)
def test_projection_refuses_what_does_not_belong_together(wrong, message):
    with pytest.raises(InputError, match=message):
        scores.project(acts(), wrong)


def test_a_profile_finds_planted_slopes_and_no_slope_from_agreeing_with_everything():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(104), 5)
    keys = rng.standard_normal((520, 3)) + 2 * rng.standard_normal((104, 3))[groups]
    ratings = (
        0.5 * keys[:, 0] - 0.25 * keys[:, 1] + 0.3 * rng.standard_normal(520) + 2 * rng.standard_normal(104)[groups]
    )
    ids = tuple(f"i{i}" for i in range(520))
    rows = scores.profile(ratings, Scores(keys, ids, ("power", "security", "hedonism"), "label", "r"), groups, seed=0)
    for row, truth in zip(rows, (0.5, -0.25, 0.0), strict=True):
        assert row.low < truth < row.high and row.estimate == pytest.approx(truth, abs=0.07)
        assert row.kind == "rating" and row.n_items == 520 and row.n_unscored == 0
    assert rows[0].low > 0 > rows[1].high


def test_a_profile_counts_what_it_left_out_and_refuses_ratings_as_keys():
    keys = np.random.default_rng(0).standard_normal((20, 2))
    keys[:, 1] = np.nan
    ratings = np.arange(20.0) % 7
    ratings[:2] = np.nan
    ids, groups = tuple(f"i{i}" for i in range(20)), np.repeat(np.arange(4), 5)
    first, second = scores.profile(ratings, Scores(keys, ids, ("power", "security"), "probe", "sd"), groups, seed=0)
    assert (first.kind, first.n_items, first.n_unscored) == ("probe", 18, 2)
    assert math.isnan(second.estimate) and math.isnan(second.low) and second.n_unscored == 20
    with pytest.raises(InputError, match="rating keys"):
        scores.profile(ratings, Scores(keys, ids, ("power", "security"), "rating", "points"), groups, seed=0)


def test_the_map_keeps_clusters_apart_and_repeats_with_a_seed():
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((60, 80)) + np.repeat([0.0, 6.0], 30)[:, None]).astype(np.float32)
    found = scores.map2d(x, seed=0)
    assert np.array_equal(found, scores.map2d(x, seed=0))
    gap = np.linalg.norm(found[:30].mean(0) - found[30:].mean(0))
    assert gap > 3 * max(found[:30].std(0).max(), found[30:].std(0).max())
    with pytest.raises(RefusedError, match="at least 10"):
        scores.map2d(x[:9], seed=0)


def test_within_query_map_input_has_no_query_clusters():
    groups = np.repeat(np.arange(12), 5)
    x = np.random.default_rng(0).standard_normal((12, 8))[groups] * 5 + 1.0
    assert np.abs(stats.centre(x, groups)).max() < 1e-9
