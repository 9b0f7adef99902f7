"""Repeatable answers are told from unrepeatable ones, and scales from random sets of items."""

from __future__ import annotations

import math

import numpy as np
import pytest
from vprobe import psychometrics, scoring, stats
from vprobe.errors import InputError
from vprobe.scoring import value_portrait
from vprobe.types import AnswerTable, Scores

SIX = ("v1", "v1_reversed", "v2", "v2_reversed", "v3", "v3_reversed")


def table(cube, versions=SIX):
    """Return answers from a respondent x version x item array; NaN is an unreadable answer."""
    cube = np.asarray(cube, dtype=np.float64)
    who, version, item = (part.ravel() for part in np.indices(cube.shape))
    n = cube.size
    return AnswerTable(
        tuple(f"m{i}" for i in range(len(cube))), tuple(versions), tuple(f"i{i}" for i in range(cube.shape[2])),
        who, version, item, cube.ravel(), np.full(n, np.nan), ("",) * n, np.zeros(n, np.int64),
    )  # fmt: skip


def keys(columns, n_items):
    """Return keys from lists of item numbers, one list per value; -1 - number is a reversed item."""
    x = np.zeros((n_items, len(columns)))
    for column, items in enumerate(columns):
        for item in items:
            x[item if item >= 0 else -1 - item, column] = 1.0 if item >= 0 else -1.0
    names = ("power", "achievement", "hedonism")[: len(columns)]
    return Scores(x, tuple(f"i{i}" for i in range(n_items)), names, "label", "key")


@pytest.fixture(scope="module")
def official(shared):
    return shared / "value_portrait" / "upstream"


@pytest.fixture(scope="module")
def answers(shared, official):
    return scoring.read("value-portrait", shared / "value_portrait" / "published" / "answers.csv.gz", folder=official)


@pytest.fixture(scope="module")
def repeats(answers):
    return psychometrics.repeatability(answers)


@pytest.fixture(scope="module")
def alphas(answers, official):
    found = psychometrics.consistency(answers, value_portrait.keys(official), seed=0, draws=100, statistics=("alpha",))
    return {(row.ratings, row.scale): row for row in found}


def test_published_models_repeat_themselves_as_known(repeats):
    by_name = {row.respondent: row for row in repeats}
    assert len(by_name) == 22
    assert np.median([row.icc_single for row in repeats]) == pytest.approx(0.42, abs=0.05)
    assert np.median([row.icc_mean for row in repeats]) == pytest.approx(0.85, abs=0.03)
    assert np.mean([abs(row.order_effect) for row in repeats]) == pytest.approx(0.34, abs=0.04)
    assert np.mean([row.prompt_sensitivity for row in repeats]) == pytest.approx(0.50, abs=0.05)
    assert np.mean([row.order_sensitivity for row in repeats]) == pytest.approx(0.42, abs=0.05)
    assert by_name["gpt-4o-mini-2024-07-18"].order_effect == pytest.approx(-1.26, abs=0.005)
    assert by_name["qwen-max"].order_effect == pytest.approx(-0.86, abs=0.005)
    assert "order effect" in by_name["qwen-max"].flags and by_name["deepseek-chat"].flags == ()
    assert "unreliable" in by_name["gpt-3.5-turbo"].flags
    missing = by_name["llama-3.1-8b-instruct"]
    assert missing.n_items + missing.n_partial == 520 and missing.n_partial == 39


def test_noise_alone_is_unreliable_and_steady_answers_are_not():
    rng = np.random.default_rng(0)
    level = rng.uniform(1, 6, 200)
    steady = level + 0.2 * rng.standard_normal((6, 200))
    noise = rng.uniform(1, 6, (6, 200))
    good, bad = psychometrics.repeatability(table([steady, noise]))
    assert good.icc_mean > 0.98 and good.flags == ()
    assert abs(bad.icc_mean) < 0.3 and bad.flags == ("unreliable",)
    assert good.icc_single == pytest.approx(stats.icc(steady.T).icc2)


def test_order_and_wording_effects_are_told_apart():
    level = np.random.default_rng(1).integers(2, 5, 100).astype(float)
    order = np.stack([level + 1.0 * name.endswith("reversed") for name in SIX])
    wording = np.stack([level + 1.0 * name.startswith("v3") for name in SIX])
    first, second = psychometrics.repeatability(table([order, wording]))
    assert (first.order_effect, first.order_sensitivity) == (1.0, 1.0) and "order effect" in first.flags
    assert (first.prompt_effect, first.prompt_sensitivity) == (0.0, 0.0)
    assert (second.order_effect, second.order_sensitivity) == (0.0, 0.0) and "order effect" not in second.flags
    assert second.prompt_effect == pytest.approx(2 / 3) and second.prompt_sensitivity == 1.0


def test_expected_ratings_that_differ_by_little_do_not_count_as_changed():
    level = np.linspace(1, 5, 50)
    row = psychometrics.repeatability(table([[level, level + 0.1]], ("v1", "v1_reversed")))[0]
    assert row.order_sensitivity == 0.0 and row.order_effect == pytest.approx(0.1)


def test_what_was_not_asked_in_two_ways_is_unknown_not_fine():
    row = psychometrics.repeatability(table([[[1.0, 2.0, 3.0]]], ("v1",)))[0]
    assert math.isnan(row.icc_mean) and math.isnan(row.order_effect) and math.isnan(row.prompt_effect)
    assert math.isnan(row.prompt_sensitivity) and row.flags == ("reliability unknown",)
    silent = psychometrics.repeatability(table(np.full((1, 6, 3), np.nan)))[0]
    assert silent.n_versions == silent.n_items == silent.n_partial == 0 and math.isnan(silent.icc_mean)
    with pytest.raises(InputError, match="1 items were not asked about, first 'i9'"):
        psychometrics.repeatability(table([[[1.0]]], ("v1",)), item_ids=("i9",))


def test_raw_alpha_of_published_models_is_high_for_random_items_too(alphas):
    published = dict(
        power=0.96, achievement=0.95, stimulation=0.93, hedonism=0.92, benevolence=0.89, universalism=0.89,
        conformity=0.88, self_direction=0.87, security=0.87, tradition=0.76,
    )  # fmt: skip
    for value, number in published.items():
        row = alphas["raw", value]
        assert row.estimate == pytest.approx(number, abs=0.06)  # 22 models here, 27 there
        assert 0.8 < row.null_mean < 0.98
    assert alphas["raw", "power"].verdict == "fail" and alphas["raw", "achievement"].verdict == "fail"


def test_after_ipsatising_random_items_show_nothing_and_power_and_achievement_hold_together(alphas):
    tens = [row for (ratings, _), row in alphas.items() if ratings == "ipsatised"]
    assert all(abs(row.null_mean) < 0.3 for row in tens)
    for value in ("power", "achievement", "benevolence"):
        assert alphas["ipsatised", value].verdict == "pass"
    for value in ("conformity", "hedonism", "tradition"):
        assert alphas["ipsatised", value].verdict == "fail"
    power = alphas["ipsatised", "power"]
    assert power.n_items == 64 and power.n_units + power.n_left_out == 132 and power.n_draws == 100


def world(seed, trait, yes=1.0, n_items=60, n=40):
    """Return answers of people who say yes more or less, and care more or less about what items 0 to 9 measure."""
    rng = np.random.default_rng(seed)
    x = yes * rng.standard_normal((n, 1, 1)) + rng.standard_normal((n, 1, n_items))
    care = trait * rng.standard_normal((n, 1))
    x[:, :, :8] += care[:, :, None]
    x[:, :, 8:10] -= care[:, :, None]
    return table(x, ("v1",))


PLANTED = (*range(8), -9, -10)


def test_a_planted_scale_passes_by_alpha_and_omega_with_its_reversed_items():
    found = psychometrics.consistency(world(0, 1.0), keys([PLANTED, range(20, 60)], 60), seed=1, draws=40)
    verdicts = {(row.statistic, row.ratings): row for row in found if row.scale == "power"}
    assert {row.verdict for row in verdicts.values()} == {"pass"} and len(verdicts) == 4
    wrong_way = psychometrics.consistency(
        world(0, 1.0), keys([range(10), range(20, 60)], 60), seed=1, draws=40, statistics=("alpha",)
    )
    right = verdicts["alpha", "raw"].estimate
    assert right > next(row.estimate for row in wrong_way if row.scale == "power" and row.ratings == "raw")


def test_acquiescence_alone_passes_about_one_time_in_twenty_however_high_alpha_is():
    found = [
        row
        for seed in range(40)
        for row in psychometrics.consistency(
            world(seed, 0.0), keys([range(10), range(10, 60)], 60), seed=seed, draws=60, statistics=("alpha",)
        )
        if row.scale == "power"
    ]
    raw = [row for row in found if row.ratings == "raw"]
    assert np.mean([row.estimate for row in raw]) > 0.85
    for ratings in ("raw", "ipsatised"):
        assert sum(row.verdict == "pass" for row in found if row.ratings == ratings) <= 6


def test_alpha_and_omega_equal_their_closed_forms():
    rng = np.random.default_rng(0)
    loadings = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    x = rng.standard_normal((20_000, 1)) * loadings + rng.standard_normal((20_000, 6)) * np.sqrt(1 - loadings**2)
    common = loadings.sum() ** 2
    assert psychometrics.omega(x) == pytest.approx(common / (common + (1 - loadings**2).sum()), abs=0.005)
    c = np.cov(x.T)
    assert psychometrics.alpha(x) == pytest.approx(6 / 5 * (1 - np.trace(c) / c.sum()), abs=1e-12)
    parallel = rng.standard_normal((20_000, 1)) + rng.standard_normal((20_000, 4))
    assert psychometrics.alpha(parallel) == pytest.approx(4 * 0.5 / (1 + 3 * 0.5), abs=0.01)
    assert math.isnan(psychometrics.alpha(x[:, :1])) and math.isnan(psychometrics.omega(x[:, :2]))
    assert math.isnan(psychometrics.alpha(np.ones((20, 3)))) and math.isnan(psychometrics.omega(np.ones((20, 3))))


def test_too_few_units_are_unknown_and_the_same_seed_gives_the_same_rows():
    few = psychometrics.consistency(world(0, 1.0, n=6), keys([range(8)], 60), seed=0, draws=5)
    assert {row.verdict for row in few} == {"unknown"} and all(math.isnan(row.estimate) for row in few)
    again = [psychometrics.consistency(world(0, 1.0), keys([range(8)], 60), seed=s, draws=9) for s in (0, 0, 1)]
    assert again[0] == again[1] != again[2]


def test_what_cannot_be_measured_is_refused_with_the_reason():
    answers = world(0, 1.0, n=12)
    with pytest.raises(InputError, match="unknown statistic 'alfa'"):
        psychometrics.consistency(answers, keys([range(8)], 60), seed=0, statistics=("alfa",))
    with pytest.raises(InputError, match="no answered item has a key"):
        psychometrics.consistency(answers, keys([()], 60), seed=0)
    with pytest.raises(InputError, match="0 draws"):
        psychometrics.consistency(answers, keys([range(8)], 60), seed=0, draws=0)
    probe = Scores(np.ones((1, 1)), ("i0",), ("power",), "probe", "")
    with pytest.raises(InputError, match="probe keys"):
        psychometrics.consistency(answers, probe, seed=0)
