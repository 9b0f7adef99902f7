"""Value Portrait scores equal the published ones, count what is missing, and their intervals and norms hold."""

from __future__ import annotations

import functools
import json
import math
import time

import numpy as np
import pytest
from vprobe import benchmarks, scoring, stats
from vprobe.errors import InputError
from vprobe.scoring import _tagged, everyday, value_portrait
from vprobe.types import AnswerTable

SIX = ("v1", "v1_reversed", "v2", "v2_reversed", "v3", "v3_reversed")


def table(numbers, versions=("v1",), items=("a",), respondents=("m",)):
    """Return answers from a respondent x version x item array; every cell is a row, NaN an unreadable answer."""
    cube = np.asarray(numbers, dtype=np.float64).reshape(len(respondents), len(versions), len(items))
    who, version, item = (part.ravel() for part in np.indices(cube.shape))
    n = cube.size
    return AnswerTable(
        tuple(respondents), tuple(versions), tuple(items), who, version, item,
        cube.ravel(), np.full(n, np.nan), ("",) * n, np.zeros(n, np.int64),
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def loaded_once():
    """Read the official data once: they are frozen, and checked shapes make reading slow here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmarks, "load", functools.cache(benchmarks.load))
        yield


@pytest.fixture(scope="module")
def official(shared):
    return shared / "value_portrait" / "upstream"


@pytest.fixture(scope="module")
def published(shared):
    return shared / "value_portrait" / "published"


@pytest.fixture(scope="module")
def answers(official, published):
    return scoring.read("value-portrait", published / "answers.csv.gz", folder=official)


@pytest.fixture(scope="module")
def rows(answers, official):
    return scoring.score("value-portrait", answers, folder=official)


@pytest.fixture(scope="module")
def norms(official):
    return {row.scale: row for row in value_portrait.human_norms(official)}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("very much like me", 6.0),
        ("Like  me", 5.0),
        ("  somewhat\nlike me ", 4.0),
        ("A LITTLE LIKE ME", 3.0),
        ("not like me", 2.0),
        ("not like me at all", 1.0),
        ("some like me", 5.0),
        ("Very little like me.", 3.0),
        ("It's **somewhat like me**, though very much like me at times", 6.0),
        ("like me, somewhat like me, a little like me, not like me, not like me at all", 1.0),
        ("It is not at all like me", 1.0),
        ("This likes me very much", 6.0),
        ("6", math.nan),
        ("", math.nan),
        ("I would rather not say", math.nan),
    ],
)
def test_an_answer_is_the_longest_label_in_it_or_another_way_of_saying_one(text, number):
    for plug in (value_portrait, everyday):
        assert plug.parse(text, "v2", "1003-1") == pytest.approx(number, nan_ok=True)


def test_every_published_answer_is_read_as_its_published_number(answers, published):
    import pandas as pd

    found = pd.read_csv(published / "answers.csv.gz", dtype=str, keep_default_na=False)
    given = pd.to_numeric(found["numeric_response"]).to_numpy()
    np.testing.assert_array_equal(answers.number, given)
    assert np.isnan(given).sum() == len(scoring.unread(answers)) == 146
    spoken = np.array([value_portrait.parse(text, "", "") for text in found["raw_response"]])
    cut = np.isnan(spoken) & np.isfinite(given)  # the file ends texts after 400 characters, before these two labels
    assert cut.sum() == 2 and set(found["raw_response"][cut].str.len()) == {400}
    np.testing.assert_array_equal(spoken[~cut], given[~cut])


def test_all_published_scores_of_22_models_come_out_to_the_ninth_digit(rows, published):
    mine, compared = scoring.nested(rows), 0
    for path in sorted((published / "scores").glob("*.json")):
        theirs = json.loads(path.read_text(encoding="utf-8"))
        found = mine[theirs["meta"]["model_name"]]
        assert {name: set(scales) for name, scales in found.items()} == {
            name: set(scales) for name, scales in theirs["scores"].items()
        }
        for family, scales in theirs["scores"].items():
            for scale, numbers in scales.items():
                assert set(numbers) <= set(found[family][scale])
                for name, number in numbers.items():
                    assert found[family][scale][name] == pytest.approx(number, abs=1e-9, rel=0), (path.name, scale)
                    compared += 1
    assert compared == 22 * 19 * 4


def test_each_of_the_released_quirks_is_needed_for_that(answers, official, rows, monkeypatch):
    names = ("claude-3-5-haiku-20241022", "llama-3.1-8b-instruct", "gemini-2.0-flash-thinking-exp-01-21", "qwen-max")
    plain = {(row.respondent, row.scale): row.estimate for row in rows}
    few = table(answers.cube()[[answers.respondents.index(one) for one in names]], SIX, answers.item_ids, names)

    def moved():
        again = scoring.score("value-portrait", few, folder=official)
        return {
            (one.respondent, one.scale) for one in again if abs(one.estimate - plain[one.respondent, one.scale]) > 1e-9
        }

    assert moved() == set()
    excluded = value_portrait.EXCLUDED
    monkeypatch.setattr(value_portrait, "EXCLUDED", ())
    assert {name for _, name in moved()} >= {scale for _, scale in excluded}
    monkeypatch.undo()
    monkeypatch.setattr(value_portrait, "KEPT_TAGS", ())
    assert {name for name, _ in moved()} == {"claude-3-5-haiku-20241022"}
    monkeypatch.undo()
    monkeypatch.setattr(value_portrait, "KEPT_TAGS", answers.respondents)
    assert {name for name, _ in moved()} == {"llama-3.1-8b-instruct", "gemini-2.0-flash-thinking-exp-01-21"}


def test_the_items_whose_v1_failed_are_out_and_counted_by_the_released_rule_only(rows, answers, official):
    def counts(found):
        return {(row.respondent, row.scale): (row.n, row.n_unscored) for row in found if row.n_unscored}

    assert counts(rows) == {
        ("llama-3.1-8b-instruct", "self_direction"): (10, 1),
        ("gemini-2.0-flash-thinking-exp-01-21", "tradition"): (11, 1),
        ("gemini-2.0-flash-thinking-exp-01-21", "conservation"): (21, 1),
    }
    paper = scoring.score("value-portrait", answers, rule="paper", folder=official)
    assert counts(paper) == {}
    sizes = {row.scale: row.n for row in paper}
    assert sizes == {
        "power": 64, "achievement": 56, "hedonism": 33, "stimulation": 43, "self_direction": 11, "universalism": 15,
        "benevolence": 13, "conformity": 23, "tradition": 12, "security": 14, "extraversion": 36, "agreeableness": 92,
        "conscientiousness": 72, "neuroticism": 5, "openness": 22, "self_enhancement": 66, "self_transcendence": 16,
        "conservation": 22, "openness_to_change": 10,
    }  # fmt: skip


def test_an_unreadable_v1_costs_an_unknown_model_its_tags_too_but_a_version_not_asked_does_not(official):
    items = value_portrait.known(official)
    numbers = np.full((2, len(items)), 3.0)
    numbers[0, items.index("2011-1")] = np.nan
    found = scoring.score("value-portrait", table(numbers, ("v1", "v2"), items, ("mine",)), folder=official)
    assert {row.scale: row.n_unscored for row in found if row.n_unscored} == {"self_direction": 1}
    for versions in (("v2", "v1"), ("v2", "v3")):
        found = scoring.score("value-portrait", table(numbers, versions, items, ("mine",)), folder=official)
        assert not any(row.n_unscored for row in found)


def test_two_hundred_thousand_answers_are_scored_in_seconds(answers, official):
    many = 64
    cube = np.tile(answers.cube(), (3, 1, 1))[:many]
    found = table(cube, SIX, answers.item_ids, tuple(f"model {i}" for i in range(many)))
    assert len(found.number) == 199_680
    start = time.process_time()
    rows = scoring.score("value-portrait", found, folder=official)
    assert time.process_time() - start < 6.0 and len(rows) == many * 19


def test_human_raters_have_the_known_profile_through_the_same_formula(norms):
    expected = dict(
        universalism=0.34, benevolence=0.19, conformity=-0.06, tradition=-0.06, security=0.50, power=-0.24,
        achievement=-0.17, hedonism=-0.19, stimulation=-0.16, self_direction=0.54,
    )  # fmt: skip
    for value, number in expected.items():
        assert norms[value].estimate == pytest.approx(number, abs=0.0051)
    assert norms["power"].raw - norms["power"].estimate == pytest.approx(3.95, abs=0.005)
    assert norms["power"].low < norms["power"].estimate < norms["power"].high


def test_less_human_is_the_score_less_the_norm_and_zero_for_the_humans_themselves(answers, official, rows, norms):
    found = value_portrait.less_human(answers, folder=official)
    assert {row.rule for row in found} == {"released-less-human"}
    checked = 0
    for less, plain in zip(found, rows, strict=True):
        if plain.respondent not in ("llama-3.1-8b-instruct", "gemini-2.0-flash-thinking-exp-01-21"):
            assert less.estimate == pytest.approx(plain.estimate - norms[plain.scale].estimate, abs=1e-9)
            checked += 1
    assert checked == 20 * 19
    names = value_portrait.known(official)
    from vprobe.scoring import _vp_humans

    people = _vp_humans.answers(benchmarks.folder("value-portrait", official), names)
    assert all(abs(row.estimate) < 1e-12 for row in value_portrait.less_human(people, folder=official))


def test_scores_come_with_interval_and_repeatability_of_the_versions_answered(rows, answers, official):
    assert all(row.low < row.estimate < row.high for row in rows if row.spread > 0)
    assert {row.reliability_of for row in rows} <= {"ICC(3,6) over versions", ""}
    one = next(row for row in rows if row.respondent == "gpt-4o-2024-11-20" and row.scale == "power")
    tagged = value_portrait.keys(official).x[:, 0] > 0
    by_id = {name: i for i, name in enumerate(answers.item_ids)}
    columns = [by_id[name] for name, mine in zip(value_portrait.known(official), tagged, strict=True) if mine]
    cube = answers.cube()[answers.respondents.index("gpt-4o-2024-11-20")]
    assert one.reliability == pytest.approx(stats.icc(cube[:, columns].T).icc3k)
    single = table(cube[0], ("v1",), answers.item_ids, ("gpt",))
    found = scoring.score("value-portrait", single, folder=official)
    assert all(math.isnan(row.reliability) and row.reliability_of == "" for row in found)
    assert all(math.isnan(row.option_mass) for row in found)


def test_intervals_cover_the_truth_as_often_as_they_say_where_those_over_items_do_not(official):
    rng = np.random.default_rng(0)
    benchmark = benchmarks.load("value-portrait", folder=official)
    pvq = value_portrait._families(benchmark, "released")[0]
    groups = stats.codes([item.group for item in benchmark.items])
    x = np.sqrt(0.8) * rng.standard_normal((800, 104))[:, groups] + np.sqrt(0.2) * rng.standard_normal((800, 520))
    everything = np.ones_like(x, dtype=bool)
    whole_queries = np.isin(groups, range(20))[:, None]

    def covered(member, units):
        found = _tagged._family_scores(x, everything, member, units)
        return (np.abs(found.raw - found.base[:, None]) <= found.half).mean()

    assert 0.93 < covered(pvq.member, groups) < 0.97
    both = np.hstack([whole_queries, ~whole_queries])
    assert 0.93 < covered(both, groups) < 0.97
    assert covered(both, np.arange(520)) < 0.85


def test_a_scale_without_answers_is_nan_and_counted(official):
    found = scoring.score("value-portrait", table([4.0], items=("1003-1",)), folder=official)
    assert all(row.n == 0 and math.isnan(row.estimate) and math.isnan(row.low) for row in found if row.n_unscored == 64)
    assert sum(row.n + row.n_unscored for row in found if row.family == "pvq") == 284


def test_what_cannot_be_scored_is_refused_with_the_reason(official):
    with pytest.raises(InputError, match=r"unknown version 'v4'[\s\S]*v3_reversed"):
        scoring.score("value-portrait", table([4.0], versions=("v4",), items=("1003-1",)), folder=official)
    with pytest.raises(InputError, match="1 items are not in value-portrait, first '9999-1'"):
        scoring.score("value-portrait", table([4.0], items=("9999-1",)), folder=official)
    with pytest.raises(InputError, match="unknown rule 'paper2'"):
        scoring.score("value-portrait", table([4.0], items=("1003-1",)), rule="paper2", folder=official)


def test_everyday_scores_a_keyed_preference_and_nothing_in_a_yes_sayer():
    benchmark = benchmarks.load("everyday")
    ids = tuple(item.id for item in benchmark.items)
    keyed = benchmark.loadings(ids, ("power",))[:, 0]
    fan, yes = 3.0 + 2.0 * keyed, np.full(len(ids), 6.0)
    answers = table(np.stack([fan, yes]), ("v1",), ids, ("power fan", "yes-sayer"))
    found = {(row.respondent, row.scale): row for row in scoring.score("everyday", answers)}
    assert found["power fan", "power"].estimate == pytest.approx(2.0 * (1 - 36 / 360))
    assert found["power fan", "security"].estimate == pytest.approx(-2.0 * 36 / 360)
    assert found["power fan", "power"].n == 36 and found["power fan", "power"].rule == "keyed"
    assert all(found["yes-sayer", value].estimate == 0.0 for value in benchmark.values)
    assert everyday.known() == ids
