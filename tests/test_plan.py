"""What a plan says to expect is what theory, its own inverse and simulated fits say; it refuses what cannot be."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from vprobe import directions, power, values
from vprobe.errors import InputError, RefusedError

# docs/SCIENCE.md 1.4, the power table: share of variance, label reliability, items for a cosine of .5, .7, .9
TABLE = (
    (0.01, 1.0, (33, 95, 422)),
    (0.01, 0.30, (110, 317, 1407)),
    (0.01, 0.17, (194, 560, 2483)),
    (0.02, 0.30, (54, 157, 696)),
    (0.05, 0.30, (21, 61, 270)),
)


@pytest.mark.parametrize(("share", "reliability", "expected"), TABLE)
def test_items_for_a_cosine_are_those_of_the_power_table(share, reliability, expected):
    found = [power.n_for_cosine(cosine, share, reliability) for cosine in (0.5, 0.7, 0.9)]
    np.testing.assert_allclose(found, expected, atol=0.5)
    back = [power.share_cosine(n, share, reliability) for n in found]
    np.testing.assert_allclose(back, (0.5, 0.7, 0.9), rtol=1e-12)


@pytest.mark.parametrize(
    ("d", "n", "gap", "cosine"),
    [(256, 100, 2.0, 0.530), (2048, 260, 3.0, 0.471), (2048, 520, 3.0, 0.603), (4096, 520, 5.0, 0.665)],
)
def test_the_cosine_of_a_difference_in_means_is_the_one_of_criterion_1(d, n, gap, cosine):
    assert power.mean_difference_cosine(gap, float(d), n / 2, n / 2) == pytest.approx(cosine, abs=5e-4)


@pytest.mark.parametrize(
    ("shift", "reliability", "cosine", "r"),
    [(4.0, 0.3, 0.741, 0.519), (4.0, 0.1, 0.537, 0.287), (2.0, 1.0, 0.710, 0.818)],
)
def test_cosine_and_held_out_r_with_noisy_labels_are_those_of_criterion_2(shift, reliability, cosine, r):
    found = power.covariance_cosine(shift, 2048.0, 520.0, reliability)
    assert found == pytest.approx(cosine, abs=5e-4)
    assert power.held_out_r(found, shift, 1.0, reliability) == pytest.approx(r, abs=1.5e-3)


def test_the_size_value_portrait_is_worth_and_what_it_can_find():
    # SCIENCE 1.4: 236 independent items; significant at .11, found at .17; true scores from .24 to .40.
    plans = {name: power.plan(name, 520) for name in values.SCHWARTZ}
    one = plans["universalism"]
    assert one.n_effective == pytest.approx(236, abs=0.5) and one.null_sd == pytest.approx(0.067, abs=1e-12)
    assert one.significant_r == pytest.approx(0.11, abs=0.005) and one.detectable_r == pytest.approx(0.17, abs=0.005)
    assert one.detectable_true_r == pytest.approx(0.24, abs=0.005)
    assert plans["security"].detectable_true_r == pytest.approx(0.40, abs=0.005)
    assert max(plan.ceiling for plan in plans.values()) == one.ceiling == pytest.approx(0.69, abs=0.01)
    assert plans["security"].ceiling == pytest.approx(0.42, abs=0.01)


def test_raters_needed_are_those_of_the_notes():
    # SCIENCE F1: for reliability .7, 117 raters per item (universalism) to 516 (security), from unrounded reliability.
    assert power.plan("universalism", 520).raters_needed == pytest.approx(117, rel=0.02)
    assert power.plan("security", 520).raters_needed == pytest.approx(516, rel=0.02)
    assert power.raters_needed(0.5, 0.5, 40.0) == pytest.approx(40.0)
    longer = power.raters_needed(0.3, 0.7, 46.8) / 46.8
    assert longer * 0.3 / (1 + (longer - 1) * 0.3) == pytest.approx(0.7), "Spearman-Brown of that many raters"


def test_half_cosines_give_the_whole_and_opposite_halves_give_nothing():
    assert power.whole_cosine(0.5) == pytest.approx(math.sqrt(2 / 3)) and power.whole_cosine(1.0) == 1.0
    assert math.isnan(power.whole_cosine(-0.1))


def test_a_plan_tells_the_cosine_that_simulated_fits_have():
    d, n, share, reliability = 600, 200, 0.02, 0.4
    shift = math.sqrt(d * share / (1 - share))
    rng, found = np.random.default_rng(0), []
    for _ in range(40):
        score = rng.standard_normal(n)
        label = score + rng.standard_normal(n) * math.sqrt(1 / reliability - 1)
        x = rng.standard_normal((n, d))
        x[:, 0] += shift * score
        fitted = directions.fit(x, label[:, None], np.zeros(n, dtype=np.int64), method="covariance", seed=0)
        found.append(fitted[0, 0])
    expected = power.plan("power", n, share=share, reliability=reliability, per_query=1, icc=0.0).cosine
    assert np.mean(found) == pytest.approx(expected, abs=0.02)
    careless = power.plan("power", n, share=share, reliability=1.0, per_query=1, icc=0.0).cosine
    assert careless > expected + 0.1, "a plan that forgets label noise would pass as well"


@settings(max_examples=60, deadline=None)
@given(
    cosine=st.floats(0.05, 0.97), share=st.floats(0.002, 0.4), reliability=st.floats(0.05, 1.0),
    per_query=st.integers(1, 8), icc=st.floats(0.0, 0.9),
)  # fmt: skip
def test_the_study_needed_for_a_cosine_reaches_it_and_one_query_less_does_not(
    cosine, share, reliability, per_query, icc
):
    world: dict[str, Any] = {"share": share, "reliability": reliability, "per_query": per_query, "icc": icc}
    found = power.needed("hedonism", cosine=cosine, **world)
    assert found.n % per_query == 0 and found.n == found.items_needed
    assert power.plan("hedonism", found.n, **world).cosine == found.cosine >= cosine - 1e-9
    if found.n > 5 * per_query:
        assert power.plan("hedonism", found.n - per_query, **world).cosine < cosine


@settings(max_examples=60, deadline=None)
@given(part=st.floats(0.05, 0.95), share=st.floats(0.002, 0.05), reliability=st.floats(0.05, 1.0))
@example(part=0.95, share=0.005, reliability=0.1)  # what is expected takes more items than what is found
@example(part=0.10, share=0.05, reliability=1.0)  # and the other way round
def test_the_study_needed_for_an_r_expects_it_and_can_find_it_and_a_smaller_one_does_not(part, share, reliability):
    signal = 41.0 * share / (1 - share)
    r = part * math.sqrt(reliability * signal / (signal + 1))  # of what the true direction would have
    world = {"share": share, "reliability": reliability}
    found = power.needed("hedonism", r=r, **world)
    assert found.held_out_r >= r - 1e-9 and found.detectable_r <= r + 1e-9 and found.n == found.items_needed_r
    if found.n > 25:
        less = power.plan("hedonism", found.n - 5, **world)
        assert less.held_out_r < r or less.detectable_r > r


def test_asking_for_both_takes_the_larger_study_and_the_smallest_has_a_query_per_fold():
    both = power.needed("benevolence", cosine=0.7, r=0.15)
    apart = [power.needed("benevolence", cosine=0.7), power.needed("benevolence", r=0.15)]
    assert both.n == max(one.n for one in apart) and {one.n for one in apart} != {both.n}
    assert power.needed("benevolence", cosine=0.01).n == power.needed("benevolence", cosine=0.01, folds=2).n + 15 == 25


def test_held_out_r_is_that_of_probes_fitted_on_all_folds_but_one():
    whole, part = power.plan("benevolence", 520, folds=5), power.plan("benevolence", 416, folds=5)
    signal = math.sqrt(41.0 * 0.02 / 0.98)
    assert whole.held_out_r == pytest.approx(power.held_out_r(part.cosine, signal, 1.0, whole.reliability), rel=1e-12)
    assert whole.held_out_r < power.held_out_r(whole.cosine, signal, 1.0, whole.reliability) - 0.005


def test_more_of_anything_good_never_makes_a_plan_worse():
    base = power.plan("benevolence", 520)
    better = [
        power.plan("benevolence", 1040),
        power.plan("benevolence", 520, share=0.05),
        power.plan("benevolence", 520, reliability=0.8),
        power.plan("benevolence", 520, icc=0.0),
    ]
    assert all(one.cosine > base.cosine and one.held_out_r > base.held_out_r for one in better)
    assert better[0].detectable_r < base.detectable_r and better[3].detectable_r < base.detectable_r
    assert all(one.held_out_r < one.ceiling for one in (base, *better))


def test_every_number_taken_for_granted_is_told_and_unmeasurable_labels_are_called_so():
    told = " ".join(power.plan("security", 520, share=0.031, dimensions=77.0, icc=0.25).assumptions)
    assert all(part in told for part in ("0.031", "0.17", "46.8", "77", "0.25", "0.067", "0.05", "0.8"))
    assert "unmeasurable" in told and "unmeasurable" not in " ".join(power.plan("universalism", 520).assumptions)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ({"value": "benevolance"}, "benevolence"),
        ({"n": 20}, "5 queries of 5 items"),
        ({"n": 0}, "5 queries of 5 items"),
        ({"share": 0.0}, "share"),
        ({"share": math.nan}, "share"),
        ({"reliability": 0.0}, "reliability"),
        ({"reliability": 1.2}, "reliability"),
        ({"icc": -0.1}, "icc"),
        ({"dimensions": 0.5}, "dimensions"),
        ({"dimensions": math.inf}, "dimensions"),
        ({"per_query": 0}, "per_query"),
        ({"folds": 1}, "folds"),
        ({"raters": 0.0}, "raters"),
        ({"target": 1.0}, "target"),
        ({"alpha": 0.0}, "alpha"),
        ({"power": 0.04}, "power"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_words(words: dict[str, Any], part: str) -> None:
    with pytest.raises(InputError, match=part):
        power.plan(**{"value": "benevolence", "n": 520, **words})


def test_what_no_study_reaches_is_refused_with_the_reason():
    with pytest.raises(InputError, match="neither"):
        power.needed("power")
    for cosine, r in ((1.0, None), (0.0, None), (None, -0.1), (None, 1.0)):
        with pytest.raises(InputError):
            power.needed("power", cosine=cosine, r=r)
    with pytest.raises(RefusedError, match=r"more items do not help"):
        power.needed("power", r=0.6)
    with pytest.raises(InputError, match="no released labels"):
        power.plan("competence", 520)
    assert power.plan("competence", 520, reliability=0.5).reliability == 0.5


def test_the_command_prints_the_plan_and_its_inverse(vprobe):
    code, out, _ = vprobe("power", "--value", "benevolence", "--n", "520", "--json")
    (found,) = json.loads(out)
    expected = dataclasses.asdict(power.plan("benevolence", 520))
    assert code == 0 and found == {**expected, "assumptions": list(expected["assumptions"])}
    code, out, _ = vprobe("power", "--value", "benevolence", "--cosine", "0.7", "--json")
    assert code == 0 and json.loads(out)[0]["n"] == power.needed("benevolence", cosine=0.7).n
    code, out, _ = vprobe("power")
    assert code == 0 and all(part in out for part in ("Self-Transcendence", "Neuroticism", "raters: needed", "granted"))


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--value", "powr"), "power"),
        (("--n", "520", "--r", ".2"), "not both"),
        (("--value", "power", "--n", "3"), "at least 5 queries"),
        (("--value", "security", "--r", ".9"), "more items do not help"),
        (("--value", "power", "--share", "2"), "share"),
    ],
)
def test_the_command_answers_bad_input_in_words(vprobe, words, part):
    code, out, err = vprobe("power", *words)
    assert code == 1 and part in err and not out
