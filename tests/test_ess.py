"""Survey files become the group differences they hold, and personas are set beside them without flattery."""

from __future__ import annotations

import csv
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from vprobe import ess
from vprobe.benchmarks._demographics import demographics
from vprobe.benchmarks._pvq_keys import PVQ_21
from vprobe.errors import InputError
from vprobe.ess import Effect, GroupRow
from vprobe.values import SCHWARTZ

PORTRAITS = (
    "ipcrtiv imprich ipeqopt ipshabt impsafe impdiff ipfrule ipudrst ipmodst ipgdtim impfree iphlppl ipsuces ipstrgv "
    "ipadvnt ipbhprp iprspot iplylfr impenv imptrad impfun"
)
ITEMS = {scale.name: scale.items for scale in PVQ_21.broad}


def person(likes: str = "", **other) -> dict:
    """One respondent in the survey's codes: 3 for every portrait, 1 (very much like me) for those of a liked value."""
    out = {name: 1 if likes and i in ITEMS[likes] else 3 for i, name in enumerate(PORTRAITS.split(), start=1)}
    return out | {"gndr": 1, "agea": 40, "lrscale": 5, "eisced": 4, "cntry": "GB"} | other


def written(path: Path, people: list[dict], *, suffix: str = "") -> Path:
    names = [name + suffix if name in PORTRAITS.split() else name for name in people[0]]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *(list(one.values()) for one in people)])
    return path


def rows(path: Path, **choice) -> dict[tuple[str, str, str], GroupRow]:
    return {(one.axis, one.level, one.value): one for one in ess.groups(ess.read(path, **choice))}


# reading


@pytest.mark.parametrize("suffix", ["", "a", "b"])
def test_known_group_means_come_back_with_the_codes_turned_round(suffix: str, tmp_path: Path) -> None:
    """Women like security (+2 on its two items, mean over 21 items up by 4/21), men like nothing more than another."""
    people = [person("security", gndr=2)] * 30 + [person(gndr=1)] * 10
    found = rows(written(tmp_path / "ess.csv", people, suffix=suffix))
    women = 2 - 4 / 21
    assert found["gender", "woman", "security"].difference == pytest.approx(women - 0.75 * women)
    assert found["gender", "man", "security"].difference == pytest.approx(-0.75 * women)
    assert found["gender", "man", "power"].difference == pytest.approx(0.75 * 4 / 21)
    assert (found["gender", "woman", "power"].n, found["age", "30_to_44", "power"].n) == (30, 40)
    assert found["age", "30_to_44", "power"].difference == pytest.approx(0.0)
    assert math.isnan(found["age", "under_30", "power"].difference) and found["age", "under_30", "power"].n == 0


def test_weights_count_and_people_without_one_are_dropped(tmp_path: Path) -> None:
    people = [person("security", gndr=2, pspwght=3.0)] * 10 + [person(pspwght=1.0)] * 10 + [person(pspwght="")]
    survey = ess.read(written(tmp_path / "ess.csv", people))
    assert (survey.weighted_by, survey.n_dropped) == ("pspwght", 1)
    found = {(one.level, one.value): one for one in ess.groups(survey)}
    assert found["woman", "security"].difference == pytest.approx(0.25 * (2 - 4 / 21))


@pytest.mark.parametrize("code", ["", 7, 8, 9, 66, 77, 88, 99])
def test_a_missing_code_is_no_rating_and_six_of_them_drop_the_person(code, tmp_path: Path) -> None:
    gone = dict.fromkeys(PORTRAITS.split()[:5], code)
    people = [person("security"), person("security") | gone, person() | gone | {"impfun": code}]
    survey = ess.read(written(tmp_path / "ess.csv", people))
    assert survey.n_dropped == 1 and survey.values.shape == (2, 10)
    security = SCHWARTZ.index("security")  # items 5 and 14, the first of which is missing
    assert survey.values[1, security] == pytest.approx(6 - (6 + 15 * 4) / 16)


def test_bands_are_those_of_the_survey_and_unknown_answers_belong_to_none(tmp_path: Path) -> None:
    answers = [(29, 3, 2), (30, 4, 3), (44, 6, 4), (45, 7, 5), (64, 10, 6), (65, 0, 7), (999, 88, 55), (90, 77, 0)]
    people = [person(agea=a, lrscale=p, eisced=e) for a, p, e in answers]
    level = ess.read(written(tmp_path / "ess.csv", people)).level
    assert level[:, 1].tolist() == [0, 1, 1, 2, 2, 3, -1, 3]
    assert level[:, 2].tolist() == [0, 1, 1, 2, 2, 0, -1, -1]
    assert level[:, 3].tolist() == [0, 1, 1, 2, 3, 3, -1, -1]


def test_countries_can_be_chosen(tmp_path: Path) -> None:
    path = written(tmp_path / "ess.csv", [person("power")] * 3 + [person(cntry="FR")] * 2)
    assert len(ess.read(path, countries=("fr",)).values) == 2 and len(ess.read(path).values) == 5
    with pytest.raises(InputError, match="country 'FX'"):
        ess.read(path, countries=("FX",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"impfun": 11}, "code 11 in variable impfun"),
        ({"impfun": "Very much like me"}, "export codes, not their labels"),
        ({"lrscale": "left"}, "'left' in variable lrscale"),
        (dict.fromkeys(PORTRAITS.split(), 99), "nobody answered enough"),
    ],
)
def test_a_file_that_is_not_the_surveys_is_refused_with_what_is_wrong(change, message, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        ess.read(written(tmp_path / "ess.csv", [person() | change]))


def test_missing_variables_are_named(tmp_path: Path) -> None:
    short = {name: code for name, code in person().items() if name not in ("imprich", "eisced")}
    with pytest.raises(InputError, match="no variable imprich, eisced"):
        ess.read(written(tmp_path / "ess.csv", [short]))
    with pytest.raises(InputError, match="cannot be read"):
        ess.read(tmp_path / "none.csv")


def test_intervals_hold_the_truth_about_as_often_as_they_say(tmp_path: Path) -> None:
    """Drawn people with known group means and weights: 95 % of intervals hold the truth; without a difference too."""
    rng = np.random.default_rng(2)
    held = []
    for _ in range(400):
        member = rng.random(300) < 0.3
        weight = rng.uniform(0.5, 2.0, 300)
        x = np.where(member, 0.4, 0.0)[:, None] + rng.standard_normal((300, 10))
        level = np.stack([member.astype(int), *[np.zeros(300, int)] * 3], axis=1)
        found = ess.groups(ess.Survey(x, level, weight, "w", 0, "drawn"))
        held += [one.low <= 0.4 * 0.7 <= one.high for one in found if one.level == "man"]
    assert 0.93 < np.mean(held) < 0.97


# personas


def test_there_are_25_one_line_personas_on_seven_axes_and_the_surveys_levels_match_them() -> None:
    found = demographics()
    counts = Counter(one.axis for one in found)
    assert counts == {"gender": 2, "age": 4, "politics": 3, "education": 4, "race": 4, "religion": 5, "income": 3}
    assert len({one.id for one in found}) == len({one.text for one in found}) == 25
    assert all(one.text.startswith("You are a") and "\n" not in one.text for one in found)
    for axis in ess.AXES:
        assert axis.levels == tuple(one.level for one in found if one.axis == axis.name)


def items(n_queries: int = 30) -> tuple[np.ndarray, list[str]]:
    """Keys of five items per query, each keyed to one value, one in three the other way, and their queries."""
    keys = np.zeros((n_queries * 5, 10))
    for i in range(len(keys)):
        keys[i, i % 10] = -1.0 if i % 3 == 0 else 1.0
    return keys, [f"q{i // 5}" for i in range(len(keys))]


def test_a_persona_that_moves_one_value_is_found_and_agreeing_more_with_everything_is_not_an_effect() -> None:
    keys, queries = items()
    rng = np.random.default_rng(4)
    vanilla = rng.uniform(2, 5, len(keys))
    noise = 0.2 * rng.standard_normal(len(keys))
    moved = vanilla + 0.5 * keys[:, 3] + noise
    told = {"axis": "age", "level": "under_30", "seed": 0, "resamples": 500}
    found = {one.value: one for one in ess.effects(moved, vanilla, keys, SCHWARTZ, queries, **told)}
    true = found[SCHWARTZ[3]]
    assert true.low < 0.45 < true.high and true.low > 0.2 and true.n == 15
    assert sum(one.low < -0.05 < one.high for value, one in found.items() if value != SCHWARTZ[3]) >= 7
    plain = np.abs(keys)
    yes = ess.effects(vanilla + 1.0, vanilla, plain, SCHWARTZ, queries, **told)
    assert max(abs(one.difference) for one in yes) < 1e-12


def test_unanswered_items_are_left_out_of_both_sides_and_counted() -> None:
    keys, queries = items()
    vanilla, persona = np.full(150, 3.0), np.full(150, 3.0) + keys[:, 0]
    persona[np.flatnonzero(keys[:, 0])[:5]] = np.nan
    persona[np.flatnonzero(keys[:, 1])] = np.nan
    found = ess.effects(persona, vanilla, keys, SCHWARTZ, queries, axis="age", level="x", seed=0, resamples=200)
    assert found[0].difference == pytest.approx(1 - 10 / 130) and (found[0].n, found[0].n_unscored) == (10, 5)
    assert math.isnan(found[1].difference) and found[1].n == 0 and math.isnan(found[1].low)
    with pytest.raises(InputError, match="as many ratings"):
        ess.effects(persona, vanilla, keys, SCHWARTZ, queries[:9], axis="age", level="x", seed=0)


def people(axis: str, slopes: dict[str, float]) -> list[GroupRow]:
    """Group differences that rise evenly along an axis."""
    levels = next(one.levels for one in ess.AXES if one.name == axis)
    middle = (len(levels) - 1) / 2
    return [
        GroupRow(axis, level, value, (i - middle) * slope, (i - middle) * slope - 0.01, (i - middle) * slope + 0.01, 99)
        for value, slope in slopes.items()
        for i, level in enumerate(levels)
    ]


def as_effects(rows: list[GroupRow], times: float) -> list[Effect]:
    return [
        Effect(r.axis, r.level, r.value, times * r.difference, times * r.difference - 0.02, times * r.difference + 0.02,
               9, 0)
        for r in rows
    ]  # fmt: skip


@pytest.mark.parametrize("times", [3.0, -0.5])
def test_personas_that_follow_or_defy_people_are_told_apart(times: float) -> None:
    among = people("age", {"security": 0.2, "hedonism": -0.3})
    found = ess.compare(as_effects(among, times), among)
    (axis,) = found.axes
    agrees = float(times > 0)
    assert (axis.n, axis.same_sign, axis.n_clear, axis.same_sign_clear) == (8, agrees, 8, agrees)
    assert axis.r == pytest.approx(math.copysign(1, times)) and axis.ratio == pytest.approx(times)
    rise = {one.value: one for one in found.trends}
    assert rise["security"].people == pytest.approx(1.0) and rise["security"].model == pytest.approx(
        math.copysign(1.0, times)
    )
    assert {one.same_direction for one in found.trends} == {agrees} and {
        one.monotone_model for one in found.trends
    } == {1}


def test_unrelated_personas_agree_about_half_the_time_and_other_axes_are_left_out() -> None:
    rng = np.random.default_rng(6)
    among = people("education", dict(zip(SCHWARTZ, rng.standard_normal(10), strict=True)))
    noise = [Effect(r.axis, r.level, r.value, float(rng.standard_normal()), -1.0, 1.0, 9, 0) for r in among]
    noise += [Effect("religion", "hindu", "power", 1.0, 0.5, 1.5, 9, 0)]
    found = ess.compare(noise, among)
    assert [one.axis for one in found.axes] == ["education"] and len(found.pairs) == 40
    assert 0.25 < found.axes[0].same_sign < 0.75 and abs(found.axes[0].r) < 0.4
    assert found.axes[0].n_clear == 0 and math.isnan(found.axes[0].same_sign_clear)
    with pytest.raises(InputError, match="stand there twice"):
        ess.compare([*noise, noise[0]], among)


def test_what_is_not_known_is_not_compared_and_a_step_back_is_not_monotone() -> None:
    among = people("politics", {"security": 0.2, "power": 0.1})
    levels = ("left", "centre", "right")
    found = [
        Effect("politics", level, "security", x, math.nan, math.nan, 9, 0) for level, x in zip(levels, (0.0, 2.0, 1.0))
    ]
    found += [Effect("politics", level, "power", math.nan, math.nan, math.nan, 0, 9) for level in levels]
    done = ess.compare(found, among)
    security, power = done.trends
    assert (security.monotone_model, security.monotone_people, security.same_direction) == (0.0, 1.0, 1.0)
    assert power.n_levels == 0 and math.isnan(power.model) and math.isnan(power.monotone_model)
    assert done.axes[0].n == 1 and done.axes[0].n_clear == 0
