"""The slider is scored as published, chance is what all answers together give, and words are read with care."""

from __future__ import annotations

import csv
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as scipy_stats
from vprobe import backends, benchmarks, organism, prompts, responses, scoring
from vprobe.benchmarks import _svo_induce as induce
from vprobe.benchmarks._svo_payoffs import TYPES, payoffs
from vprobe.errors import InputError
from vprobe.scoring import _svo_measure as measure
from vprobe.scoring import svo
from vprobe.types import ScaleRow

VERSIONS = ("v1", "v1_reversed", "v2", "v2_reversed", "v3", "v3_reversed")
IDEALS = {"altruistic": 61.39, "prosocial": 37.48, "individualistic": 7.82, "competitive": -16.26}
CHANCE = {"altruistic": 38.7, "prosocial": 16.3, "individualistic": 16.4, "competitive": 39.0}


def scored(path: Path, answers: list[tuple[str, str, object, object]], column: str = "numeric_response") -> dict:
    """Score (respondent, version, item, answer) rows by way of a file; return rows by (respondent, family, scale)."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("model", "version", "item", column), *answers])
    rows = scoring.score("svo", scoring.read("svo", path))
    return {(one.respondent, one.family, one.scale): one for one in rows}


def choices(numbers, version: str = "v1", who: str = "m") -> list[tuple[str, str, object, object]]:
    return [(who, version, item, number) for item, number in enumerate(numbers, start=1)]


def primary(kind: str) -> np.ndarray:
    return measure.ideal(kind)[:6]


# the measure


@pytest.mark.parametrize("kind", TYPES)
def test_ideal_types_have_the_published_angles_and_their_own_category(kind: str, tmp_path: Path) -> None:
    found = scored(tmp_path / "a.csv", choices(primary(kind)))
    assert found["m", "svo", "angle"].estimate == pytest.approx(IDEALS[kind], abs=0.005)
    assert [found["m", "svo_category", one].estimate for one in TYPES] == [float(one == kind) for one in TYPES]
    assert found["m", "svo_deviation", kind].estimate == pytest.approx(0.0, abs=1e-9)
    assert found["m", "svo", "transitive"].estimate == 1.0
    own, other = found["m", "svo", "mean_self"].estimate, found["m", "svo", "mean_other"].estimate
    assert math.degrees(math.atan((other - 50) / (own - 50))) == pytest.approx(IDEALS[kind], abs=0.005)


def test_category_edges_are_midpoints_between_neighbouring_ideal_types() -> None:
    def angle(pattern) -> float:
        return float(measure.angle(measure.amounts(np.array([pattern], float)))[0])

    joint, alone = [1, 9, 9, 1, None, 9], [None, 9, 9, 9, 1, 1]
    joints = [angle([end if one is None else one for one in joint]) for end in (1, 9)]
    alones = [angle([end if one is None else one for one in alone]) for end in (1, 9)]
    assert joints == pytest.approx([37.09, 52.91], abs=0.005) and alones == pytest.approx([7.82, -7.82], abs=0.005)
    middles = [(IDEALS["altruistic"] + joints[1]) / 2, (joints[0] + alones[0]) / 2, (alones[1] - 16.26) / 2]
    np.testing.assert_allclose(measure.EDGES, middles, atol=0.006)


@pytest.mark.parametrize("lower_edge_counts", [True, False])
def test_all_answers_fall_into_the_published_classes_whichever_way_the_edges_are_closed(lower_edge_counts) -> None:
    """The original scoring has `lower <= angle`, a later one `lower < angle`; no whole choices lie on an edge."""
    angles = svo.random_angles()
    edges = np.array(measure.EDGES)
    above = (angles[:, None] >= edges if lower_edge_counts else angles[:, None] > edges).sum(axis=1)
    assert [int((above == n).sum()) for n in (3, 2, 1, 0)] == [260, 269_348, 261_605, 228]
    assert measure.types(angles).sum(axis=0).tolist() == [260, 269_348, 261_605, 228]
    assert (angles.min(), angles.max()) == pytest.approx((-16.26, 61.39), abs=0.005)


def test_the_nine_further_items_have_the_published_ideal_options() -> None:
    nan = math.nan
    for rule, want in (
        ("inequality_averse", (6, 5, 4, 7, 5, 8, 5, 3, 2)),
        ("joint_gain", (9, nan, 1, 9, nan, 9, nan, 1, 1)),
        ("individualistic", (1, 9, 1, 1, 9, 9, 9, 1, 9)),
        ("altruistic", (9, 1, 9, 9, 1, 1, 1, 9, 1)),
    ):
        np.testing.assert_array_equal(measure.ideal(rule)[6:], want)


def test_the_secondary_index_tells_evening_out_from_joint_gain_and_is_missing_for_the_selfish(tmp_path: Path) -> None:
    answers = []
    for rule in ("inequality_averse", "joint_gain", "individualistic"):
        answers += choices(np.nan_to_num(measure.ideal(rule), nan=5.0), who=rule)
    short = [row for row in choices(measure.ideal("inequality_averse"), who="short") if row[2] != 9]
    found = scored(tmp_path / "a.csv", answers + short)
    index = {
        who: found[who, "svo", "secondary_index"] for who in ("inequality_averse", "joint_gain", "individualistic")
    }
    assert [index["inequality_averse"].estimate, index["joint_gain"].estimate] == [0.0, 1.0]
    assert math.isnan(index["individualistic"].estimate) and index["individualistic"].n == 9
    assert found["individualistic", "svo_secondary", "individualistic"].estimate == 0.0
    assert found["joint_gain", "svo_secondary", "joint_gain"].n == 6
    mixed = measure.secondary(
        np.array([[5.0] * 6 + [2, 8, 5, 9, 8, 7, 3, 7, 1], [5.0] * 6 + [1, 3, 5, 4, 4, 1, 1, 2, 1]])
    )
    even, joint = mixed.distances[0, :2]
    assert mixed.index[0] == pytest.approx(even / (even + joint)) and 0.4 < mixed.index[0] < 0.45
    assert mixed.distances[1].argmin() == 0 and math.isnan(mixed.index[1])  # evening out is nearest, altruism second
    lost = found["short", "svo", "secondary_index"]
    assert math.isnan(lost.estimate) and (lost.n, lost.n_unscored) == (8, 1)


@pytest.mark.parametrize(
    ("pattern", "want"),
    [
        ((9, 9, 9, 9, 1, 1), 1.0),  # I before C before P before A
        ((9, 1, 9, 9, 1, 9), 1.0),  # C before P before I before A
        ((1, 1, 9, 9, 1, 1), 0.0),  # P beats C, C beats I, I beats P
        ((1, 1, 9, 1, 1, 9), 0.0),  # P beats all, but C beats I, I beats A, A beats C
        ((9, 9, 9, 1, 1, 9), 0.0),  # all four: C beats P, P beats A and I, A beats C
        ((5, 5, 5, 5, 5, 5), 1.0),  # no preference at all has no circle
    ],
)
def test_choices_that_go_round_in_a_circle_are_not_transitive(pattern, want) -> None:
    assert measure.transitive(np.array([pattern], float))[0] == want


def test_of_the_64_ways_to_take_ends_24_rank_the_four_types() -> None:
    every = np.array(list(itertools.product((2.0, 8.0), repeat=6)))
    assert measure.transitive(every).sum() == math.factorial(4)


def test_a_fraction_of_an_option_gets_that_fraction_of_the_way_between_its_neighbours() -> None:
    np.testing.assert_allclose(measure.amounts(np.array([[1.5, 2.25]]))[0], [[85, 80.5], [87.5, 20.25]])


# respondents, versions, what is missing


def test_amounts_are_averaged_over_versions_before_the_angle_and_shares_count_versions(tmp_path: Path) -> None:
    selfish, kind = primary("individualistic"), primary("altruistic")
    found = scored(tmp_path / "a.csv", choices(selfish, "v1") + choices(kind, "v1_reversed"))
    given = measure.amounts(np.stack([selfish, kind])).mean(axis=0)
    assert found["m", "svo", "angle"].estimate == pytest.approx(float(measure.angle(given[None])[0]))
    share = [found["m", "svo_version_share", one].estimate for one in TYPES]
    assert share == [0.5, 0.0, 0.5, 0.0]
    turn = found["m", "svo_order", "options_reversed"]
    assert turn.estimate == pytest.approx(61.39 - 7.82, abs=0.01) and turn.n == 1


def test_naming_the_other_first_is_told_apart_from_reversing_options(tmp_path: Path) -> None:
    answers = choices(primary("prosocial"), "v1") + choices(primary("prosocial"), "v1_reversed")
    answers += choices(primary("altruistic"), "v2") + choices(primary("altruistic"), "v2_reversed")
    found = scored(tmp_path / "a.csv", answers)
    assert found["m", "svo_order", "options_reversed"].estimate == 0.0
    assert found["m", "svo_order", "other_named_first"].estimate == pytest.approx(61.39 - 37.48, abs=0.01)
    assert found["m", "svo_order", "other_named_first"].n == 2


def test_a_missing_primary_item_leaves_no_angle_and_is_counted_unless_another_version_has_it(tmp_path: Path) -> None:
    gone = [(who, v, i, "" if i == 4 else n) for who, v, i, n in choices(primary("prosocial"))]
    found = scored(tmp_path / "a.csv", gone)
    row: ScaleRow = found["m", "svo", "angle"]
    assert math.isnan(row.estimate) and (row.n, row.n_unscored) == (5, 1)
    assert math.isnan(found["m", "svo", "transitive"].estimate)
    assert all(math.isnan(found["m", "svo_category", one].estimate) for one in TYPES)
    found = scored(tmp_path / "a.csv", [*gone, ("m", "v2", "svo-04", 4)])
    assert found["m", "svo", "angle"].estimate == pytest.approx(37.48, abs=0.005)
    assert found["m", "svo_version_share", "prosocial"].n == 0


def test_reliability_over_versions_needs_ten_respondents_and_tells_people_from_noise(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    steady, noise = [], []
    for i in range(10):
        mine = np.clip(np.round(5 + 3 * rng.standard_normal(6)), 1, 9)
        for version in ("v1", "v2"):
            steady += choices(mine, version, f"m{i}")
            noise += choices(rng.integers(1, 10, 6), version, f"m{i}")
    row = scored(tmp_path / "a.csv", steady)["m0", "svo", "angle"]
    assert row.reliability == pytest.approx(1.0) and row.reliability_of == "ICC(3,2) over versions, 10 respondents"
    assert scored(tmp_path / "a.csv", noise)["m0", "svo", "angle"].reliability < 0.7
    few = [row for row in steady if row[0] != "m9"]
    assert math.isnan(scored(tmp_path / "a.csv", few)["m0", "svo", "angle"].reliability)


def test_an_item_under_two_names_and_a_number_off_the_scale_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="item 1 is answered twice by m in v1"):
        scored(tmp_path / "a.csv", [("m", "v1", 1, 3), ("m", "v1", "svo-01", 4)])
    with pytest.raises(InputError, match="from 1 to 9"):
        scored(tmp_path / "a.csv", [("m", "v1", 1, 10)])
    with pytest.raises(InputError, match="not in svo, first 'svo-16' in row 2"):
        scored(tmp_path / "a.csv", [("m", "v1", "svo-16", 3)])


# words


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("B", 2), ("b", 2), ("B.", 2), ("(B)", 2), ("**B**", 2), ("Option B", 2), ("My answer is (b).", 2),
        ("B: I receive 85 points and the other receives 76 points", 2), ("B, as both gain.", 2),
        ("I would choose B because it is fair.", 2), ("I'd go with option I.", 9), ("I", 9), ("I.", 9),
        ("I receive 85 points and the other receives 15 points", 9),
        ("The other receives 15 points and I receive 85 points.", 9),
        ("You get 85, they get 76.", 2),
        ("I think it is fair to split.", None), ("I'd rather not say.", None), ("I, for one, cannot.", None),
        ("A fair split is what I want.", None), ("Either option A or option B.", None), ("J", None), ("", None),
        ("I receive 85 points and the other receives 77 points", None), ("We both receive 85 points.", None),
        ("C: I receive 85 points and the other receives 76 points", None),
    ],
)  # fmt: skip
def test_letters_and_amounts_are_read_and_everything_else_is_not(text: str, want: int | None) -> None:
    found = svo.parse(text, "v1", "svo-01")
    assert math.isnan(found) if want is None else found == want


def test_a_letter_means_what_stands_beside_it_and_amounts_mean_the_same_everywhere() -> None:
    said = "I receive 85 points and the other receives 76 points"
    assert (svo.parse("A", "v1", "1"), svo.parse("A", "v1_reversed", "1"), svo.parse("A", "mine", "1")) == (1, 9, 1)
    assert [svo.parse(said, version, "1") for version in VERSIONS] == [2.0] * 6
    assert svo.parse("H: " + said, "v2_reversed", "1") == 2.0
    assert math.isnan(svo.parse("B", "v3", "1"))


def test_words_in_a_file_score_as_their_numbers_and_unread_ones_are_counted(tmp_path: Path) -> None:
    letters = ["ABCDEFGHI"[9 - int(n)] for n in primary("prosocial")]
    answers = choices(letters, "v1_reversed", "good") + choices([*letters[:5], "I think so"], "v1_reversed", "bad")
    found = scored(tmp_path / "a.csv", answers, "raw_response")
    assert found["good", "svo", "angle"].estimate == pytest.approx(37.48, abs=0.005)
    assert math.isnan(found["bad", "svo", "angle"].estimate) and found["bad", "svo", "angle"].n_unscored == 1


# the questions


def test_every_version_shows_nine_options_with_official_numbers_and_reversing_turns_the_lines_round() -> None:
    benchmark = benchmarks.load("svo")
    assert benchmark.versions == VERSIONS and len(benchmark.items) == 15
    table = payoffs()
    for version in VERSIONS:
        for item, prompt in enumerate(prompts.render(benchmark, template=version)):
            text, numbers = prompt.messages[0].content, [option.rating for option in prompt.options]
            assert numbers == list(range(9, 0, -1) if version.endswith("_reversed") else range(1, 10))
            assert text.startswith(table.question) and "{" not in text
            lines = [line for line in text.splitlines() if " points and " in line]
            for line, option in zip(lines, prompt.options, strict=True):
                place = int(option.rating) - 1
                own, other = (
                    f"I receive {table.own[item, place]:g} points",
                    f"receives {table.other[item, place]:g} points",
                )
                assert own in line and other in line
                assert (line.index(own) < line.index(other)) == version.startswith(("v1", "v3"))
                assert svo.parse(option.label, version, prompt.item_id) == option.rating
                assert svo.parse(line, version, prompt.item_id) == option.rating
    assert prompts.render(benchmark, template="v3")[0].options[1].label == (
        "I receive 85 points and the other receives 76 points"
    )
    assert {item.source for item in benchmarks.load("svo", limit=6).items} == {"primary"}


@pytest.mark.parametrize(("version", "follows"), [("v3", True), ("v1", False)])
def test_the_slider_finds_the_angle_planted_in_the_organism_which_knows_phrases_and_no_letters(
    version, follows
) -> None:
    home = organism.load()
    card, model = organism.read_card(home), backends.load(str(home))
    asked = prompts.render(benchmarks.load("svo", limit=6), template=version)
    found, planted = [], []
    for who in card.speakers[:4]:
        said = responses.collect(model, [prompts.with_system(one, who.text, name=who.id) for one in asked])
        rows = scoring.score("svo", scoring.as_answers(said, respondent=who.id))
        found.append(next(row.estimate for row in rows if row.scale == "angle"))
        planted.append(float(card.svo_angle(np.array([who.profile]))[0]))
    if follows:
        assert np.corrcoef(found, planted)[0, 1] > 0.98 and np.abs(np.array(found) - planted).max() < 6.0
    else:
        assert np.ptp(found) < 1.0 < np.ptp(planted)


# value rationality


@pytest.mark.parametrize("kind", TYPES)
def test_chance_and_perfection_are_0_and_1_of_the_corrected_distance(kind: str) -> None:
    best = svo.rationality(np.array([svo.ideal_angle(kind), math.nan]), kind)
    assert (best.distance, best.normalised, best.chance_corrected, best.n, best.n_unscored) == (0, 1, 1, 1, 1)
    assert best.random == pytest.approx(CHANCE[kind], abs=0.05)
    chance = svo.rationality(svo.random_angles(), kind)
    assert chance.chance_corrected == pytest.approx(0.0, abs=1e-12)
    assert chance.normalised > 0.45  # the plain figure makes chance look fair


def test_the_distance_is_an_argument_and_one_below_0_is_refused() -> None:
    squared = svo.rationality(np.array([17.48]), "prosocial", distance=lambda a, ideal: (a - ideal) ** 2)
    assert squared.distance == pytest.approx(400, abs=0.2) and squared.random > CHANCE["prosocial"] ** 2
    with pytest.raises(InputError, match="below 0"):
        svo.rationality(np.array([17.0]), "prosocial", distance=lambda a, ideal: a - ideal)
    with pytest.raises(InputError, match="did you mean 'prosocial'"):
        svo.rationality(np.array([17.0]), "pro-social")
    assert math.isnan(svo.rationality(np.array([math.nan]), "prosocial").chance_corrected)


def test_how_much_nearer_is_paired_by_version_and_has_an_interval_where_versions_differ() -> None:
    ideal = svo.ideal_angle("altruistic")
    plain = np.array([0.0, 10.0, 20.0, math.nan, 5.0])
    given = np.array([30.0, 25.0, 42.0, 50.0, math.nan])
    found = svo.nearer(given, plain, "altruistic")
    gain = np.array([30.0, 15.0, 22.0])
    assert ideal > 50 and (found.by, found.n) == (pytest.approx(gain.mean()), 3)
    told = scipy_stats.ttest_1samp(gain, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((told.low, told.high))
    assert svo.nearer(plain - 5, plain, "altruistic").by == pytest.approx(-5.0)
    for few in (svo.nearer(given[:2], plain[:2], "altruistic"), svo.nearer(plain, plain, "altruistic")):
        assert math.isfinite(few.by) and math.isnan(few.low) and math.isnan(few.high)
    alike = svo.nearer(np.array([15.1, 25.2, 35.3]), np.array([10.1, 20.2, 30.3]), "prosocial")
    assert alike.by == pytest.approx(5.0) and math.isnan(alike.low)  # 5 degrees each, but for rounding
    none = svo.nearer(given[3:], plain[3:], "altruistic")
    assert math.isnan(none.by) and none.n == 0


# giving a value


def test_each_way_of_giving_a_value_adds_to_the_word_and_the_control_differs_by_the_word_alone() -> None:
    word = induce.induce("altruistic").text
    assert word == "You are an altruistic person. Answer everything that follows as that person would."
    assert induce.induce(induce.NONE).text == word.replace("an altruistic", "a")
    full = induce.induce("altruistic", "goal", traits="- gives a lot", goal="I aim for 100 for them.").text
    assert all(part in full for part in ("altruistic", "- gives a lot", "I aim for 100"))
    assert "altruistic" in induce.ask_traits("altruistic") and "person" in induce.ask_traits(induce.NONE)
    for kind, way, own in (("altruistic", "elaborated", " "), ("altruistic", "goal", ""), ("altruist", "word", "")):
        with pytest.raises(InputError):
            induce.induce(kind, way, traits=own)
    with pytest.raises(InputError, match="traits given"):
        induce.induce("altruistic", "word", traits="kind")


def test_every_target_has_a_no_value_and_a_wrong_value_control_and_the_wrong_one_lies_elsewhere() -> None:
    for target in TYPES:
        value, none, wrong = induce.arms(target)
        assert (value.given, none.given) == (target, induce.NONE) and {one.target for one in (none, wrong)} == {target}
        assert wrong.given in TYPES and wrong.given != target
        assert abs(svo.ideal_angle(wrong.given) - svo.ideal_angle(target)) > 20
