"""ValueLex: stems that give nothing away, scorers that agree with what was planted, and checks that can say no."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from vprobe import benchmarks, organism, prompts, scoring, stats
from vprobe.benchmarks import _valuelex_words as lists
from vprobe.benchmarks import valuelex as stems
from vprobe.errors import InputError
from vprobe.organism.lexicon import FACTORS
from vprobe.scoring import _valuelex_check as check
from vprobe.scoring import valuelex
from vprobe.types import AnswerTable, Response
from vprobe.values import VALUELEX, VALUELEX_SUB

IDS = valuelex.known()
SUBS = np.array([one.sub for one in stems.stems()])


def table(
    n: int, say: Callable[[int, int], str], *, versions: tuple[str, ...] = ("v1", "v2"), n_stems: int = 96
) -> AnswerTable:
    """Let n respondents answer, say(respondent, stem) being what they say."""
    who, version, item = (one.ravel() for one in np.indices((n, len(versions), n_stems)))
    none = np.full(len(who), np.nan)
    texts = tuple(say(int(r), int(i)) for r, i in zip(who, item, strict=True))
    names = tuple(f"r{i}" for i in range(n))
    return AnswerTable(
        names, versions, IDS[:n_stems], who, version, item, none, none, texts, np.zeros(len(who), np.int64)
    )


def estimates(rows) -> np.ndarray:
    return np.array([row.estimate for row in rows]).reshape(-1, len(valuelex.SCALES))


def word(sub: str, number: int = 0) -> str:
    return FACTORS[sub][number]


# Stems


def test_every_sub_dimension_has_sixteen_stems_of_its_own_in_turn() -> None:
    found = stems.stems()
    assert [SUBS.tolist().count(sub) for sub in VALUELEX_SUB] == [16] * 6
    assert all(set(SUBS[i : i + 6]) == set(VALUELEX_SUB) for i in range(0, 96, 6))
    assert len({one.text.lower() for one in found}) == len({one.id for one in found}) == 96


def test_no_stem_holds_a_word_that_is_scored_or_stands_among_the_general_stems() -> None:
    assert [one.text for one in stems.stems() if lists.named(one.text)] == []
    assert not {one.text for one in stems.stems()} & {one.text for one in benchmarks.stems()}


@pytest.mark.parametrize(("sub", "text"), [("sociable", "I look for"), ("social", "I look for "), ("social", "")])
def test_a_stem_that_cannot_be_used_is_refused(sub, text) -> None:
    with pytest.raises(InputError, match="stem x"):
        stems.ScoredStem("x", sub, text)


def test_the_benchmark_asks_for_free_text_and_knows_no_loadings() -> None:
    found = benchmarks.load("valuelex", limit=12)
    assert len(found.items) == 12
    assert found.values == VALUELEX_SUB
    assert {item.response for item in found.items} == {""}
    for version in found.versions:
        shown = prompts.render(found, template=version)
        assert all(prompt.options == () for prompt in shown)
        assert all(p.messages[0].content.endswith(i.text) for p, i in zip(shown, found.items, strict=True))
    assert (
        prompts.render(found, template="v1")[0].messages[0].content.startswith("Complete the sentence with one word: ")
    )


# Word lists


def test_no_word_is_listed_twice_and_all_words_are_found_in_their_own_list() -> None:
    words = valuelex.prototype_words()
    assert len(set(words)) == len(words) > 180
    for sub in VALUELEX_SUB:
        assert {lists.sub_of(one) for one in lists.words_of(sub)} == {sub}


def test_the_organisms_words_and_the_published_ones_are_in_their_lists() -> None:
    published = {
        "self_competent": "accuracy improvement completeness knowledge", "user_oriented": "helpful factual informative",
        "social": "friendliness empathetic", "idealistic": "altruism patriotism environmentalism freedom",
        "professional": "confidentiality explainability accessibility", "ethical": "unbiased justice",
    }  # fmt: skip
    for sub in VALUELEX_SUB:
        for one in (*FACTORS[sub], *published[sub].split()):
            assert lists.sub_of(one) == sub, one


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Honesty.", ("ethical",)),
        ("being honest and kind", ("ethical", "social")),
        ("not honest", ()),
        ("a lack of patience", ()),
        ("not only honest", ("ethical",)),
        ("dishonesty", ()),
        ("a kind of calm", ()),
        ("I would love to sit down", ()),
        ("truly just a table", ()),
        ("l'honnêteté", ()),
        ("", ()),
    ],
)
def test_words_are_counted_in_any_form_and_not_where_they_are_denied(text, found) -> None:
    assert lists.named(text) == found


def test_names_that_are_no_dimension_are_refused() -> None:
    assert [lists.dimension_of(sub) for sub in VALUELEX_SUB] == [one for one in VALUELEX for _ in range(2)]
    for wrong in (lists.words_of, lists.dimension_of, lists.parts_of):
        with pytest.raises(InputError, match="sociable"):
            wrong("sociable")


# Scores


def test_scores_are_shares_over_own_stems_with_what_is_unscored_counted() -> None:
    def say(_: int, item: int) -> str:
        if SUBS[item] != "social":
            return word("ethical")
        return ("Warmth.", "honesty and warmth", "mumble", "")[item // 6 % 4]

    rows = scoring.score("valuelex", table(1, say))
    by = {row.scale: row for row in rows}
    assert tuple(by) == valuelex.SCALES
    assert by["social"].estimate == pytest.approx(0.75)
    assert (by["social"].n, by["social"].n_unscored) == (8, 8)
    assert by["social"].low < 0.75 < by["social"].high
    assert by["ethical"].estimate == 1.0
    assert by["character"].estimate == pytest.approx((0.75 + 0.0) / 2)
    assert (by["character"].n, by["character"].n_unscored) == (24, 8)
    assert {row.kind for row in rows} == {"generation"}
    assert all(math.isnan(row.reliability) and math.isnan(row.raw) for row in rows)


def test_scores_on_all_stems_add_up_to_one() -> None:
    rng = np.random.default_rng(0)
    rows = scoring.score("valuelex", table(2, lambda r, i: word(VALUELEX_SUB[rng.integers(6)])), rule="lexicon_all")
    assert estimates(rows)[:, :6].sum(axis=1) == pytest.approx(np.ones(2))
    assert estimates(rows)[:, 6:].sum(axis=1) == pytest.approx(np.full(2, 0.5))


def test_what_nobody_was_asked_has_no_score() -> None:
    rows = scoring.score("valuelex", table(1, lambda r, i: "honesty", n_stems=1))
    by = {row.scale: row for row in rows}
    assert by["self_competent"].estimate == 0.0
    assert math.isnan(by["social"].estimate)
    assert math.isnan(by["competence"].estimate)
    assert (by["social"].n, by["social"].n_unscored) == (0, 0)
    assert math.isnan(by["self_competent"].low)


@pytest.mark.parametrize("text", ["", "   ", "诚实"])
def test_completions_that_say_nothing_are_counted(text) -> None:
    rows = scoring.score("valuelex", table(2, lambda r, i: text if r else "honesty"))
    mine = [row for row in rows if row.respondent == "r1" and row.scale in VALUELEX_SUB]
    assert all(math.isnan(row.estimate) for row in mine)
    assert {(row.n, row.n_unscored) for row in mine} == {(0, 16)}


@pytest.fixture(scope="module")
def planted() -> tuple[np.ndarray, tuple, tuple]:
    """Completions drawn from the organism's card, as its words would be at temperature 1, by both rules."""
    card = organism.read_card(organism.load())
    profiles = np.array([one.profile for one in card.speakers])
    shares = card.factor_shares(profiles)
    rng = np.random.default_rng(0)

    def say(respondent: int, item: int) -> str:
        return word(VALUELEX_SUB[rng.choice(6, p=shares[respondent])], int(rng.integers(4))).capitalize() + "."

    answers = table(len(profiles), say)
    rows = [scoring.score("valuelex", answers, rule=rule) for rule in valuelex.RULES]
    return valuelex.planted_scores(shares), rows[0], rows[1]


def test_planted_scores_come_back_and_those_of_others_do_not(planted) -> None:
    truth, own, every = planted
    # Own stems only are 16 completions: where personas differ by .10 (SD), that many leave an r of about .8.
    for rows, least in ((own, 0.8), (every, 0.95)):
        found = estimates(rows)
        each = [stats.pearson(found[:, i], truth[:, i]) for i in range(9)]
        assert min(each) > least
        assert stats.fisher_mean(np.array(each)) > 0.9
        assert abs(stats.pearson(found.ravel(), np.roll(truth, 1, axis=0).ravel())) < 0.5


def test_intervals_hold_the_planted_scores(planted) -> None:
    truth, own, every = planted
    for rows in (own, every):
        inside = [
            row.low <= want <= row.high for row, want in zip(rows, truth.ravel(), strict=True) if row.low == row.low
        ]
        assert 0.88 < np.mean(inside) < 0.99


def test_reliability_is_high_where_people_differ_and_near_zero_where_they_do_not(planted) -> None:
    assert min(row.reliability for row in planted[1]) > 0.7
    rng = np.random.default_rng(1)
    same = scoring.score("valuelex", table(16, lambda r, i: word(VALUELEX_SUB[rng.integers(6)])))
    found = [row.reliability for row in same[:9]]
    assert np.mean(found) < 0.4
    assert same[0].reliability_of


def test_one_level_behind_all_six_scores_is_noticed(planted) -> None:
    answers = table(8, lambda r, i: "", versions=("v1",))
    rng = np.random.default_rng(0)
    noise = rng.random((len(answers.texts), 6)) * 0.2
    level = np.linspace(0, 1, 8)[answers.respondent][:, None]
    marked = valuelex.halo(valuelex.scale_scores(answers, level + noise, rule="judge", unit="points"))
    assert marked.share > 0.9 > marked.chance
    assert marked.correlations[0, 1] > 0.9 > marked.centred[0, 1]
    clean = valuelex.halo(planted[1])
    assert clean.n == 48
    assert clean.share < clean.chance + 0.2
    assert math.isnan(valuelex.halo(planted[1][:18]).share)
    with pytest.raises(InputError, match="several rules"):
        valuelex.halo((*planted[1], *planted[2]))


# Other scorers


def test_prototypes_find_the_sub_dimension_of_a_completion_and_need_its_words() -> None:
    rng = np.random.default_rng(0)
    words = valuelex.prototype_words()
    centres = rng.standard_normal((6, 32))
    place = np.array([VALUELEX_SUB.index(lists.sub_of(one)) for one in words])
    vectors = 5.0 + centres[place] + 0.5 * rng.standard_normal((len(words), 32))
    said = np.vstack([5.0 + centres + 0.3 * rng.standard_normal((6, 32)), np.zeros((1, 32)), np.full((1, 32), np.nan)])
    found = valuelex.by_prototypes(said, words, vectors)
    assert found[:6].argmax(axis=1).tolist() == list(range(6))
    assert np.isnan(found[6:]).all()
    shuffled = valuelex.by_prototypes(said, words, rng.permutation(vectors))
    assert np.abs(shuffled[:6]).max() < found[:6].max(axis=1).min()
    with pytest.raises(InputError, match="words of ethical"):
        valuelex.by_prototypes(said, words[:-31], vectors[:-31])
    with pytest.raises(InputError, match="vector of numbers"):
        valuelex.by_prototypes(said, words[:5], vectors)
    with pytest.raises(InputError, match="vector of numbers"):
        valuelex.by_prototypes(said[:, :5], words, vectors)


def test_a_judge_is_asked_in_both_orders_and_its_answers_become_scores() -> None:
    answers = table(2, lambda r, i: ("honesty", "calm", "")[i], n_stems=3, versions=("v1",))
    asked = valuelex.judge_prompts(answers)
    assert len(asked) == 4, "two different completions, in two orders"
    assert asked[0].options == asked[1].options[::-1]
    for prompt in asked:
        assert [m.name for m in prompt.marks] == ["content", "options"]
        content, mark = prompt.messages[0].content, prompt.marks[1]
        assert content[mark.start : mark.end] == "\n".join(option.label for option in prompt.options)

    def judged(prompt, likely: float) -> Response:
        ratings = tuple(option.rating for option in prompt.options)
        logs = tuple(math.log(0.7 if one == likely else 0.05) for one in ratings)
        return Response(prompt.id, prompt.item_id, prompt.group, prompt.source, prompt.template, ratings, logs)

    responses = [judged(prompt, 6.0 if "honesty" in prompt.messages[0].content else 0.0) for prompt in asked]
    found = valuelex.judge_scores(answers, responses)
    assert found[[0, 3]].argmax(axis=1).tolist() == [5, 5]
    assert found[0, 5] == pytest.approx(0.7)
    assert np.isnan(found[[1, 2, 4, 5]]).all(), "none of these, and nothing said"
    split = [judged(asked[0], 6.0), judged(asked[1], 5.0), *responses[2:]]
    assert valuelex.judge_scores(answers, split)[0, 4:] == pytest.approx([0.375, 0.375]), "both orders count"
    with pytest.raises(InputError, match="no answer to"):
        valuelex.judge_scores(answers, responses[:-1])


def test_a_judge_that_only_speaks_is_scored_by_what_it_says() -> None:
    answers = table(1, lambda r, i: "calm", n_stems=1, versions=("v1",))
    asked = valuelex.judge_prompts(answers)

    def spoken(rating: float | None) -> list[Response]:
        ratings = tuple(float(i) for i in range(7))
        reason = None if rating is not None else "no label"
        return [
            Response(p.id, p.item_id, p.group, p.source, p.template, ratings, text="", rating=rating, reason=reason)
            for p in asked
        ]

    assert valuelex.judge_scores(answers, spoken(2.0))[0].tolist() == [0, 1, 0, 0, 0, 0]
    assert np.isnan(valuelex.judge_scores(answers, spoken(None))).all()


def test_scorers_that_agree_and_those_that_do_not_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    first = rng.random((200, 6))
    near, far = 10 * first + rng.random((200, 6)), rng.random((200, 6))
    near[:5] = np.nan
    for one in valuelex.agreement(first, near, names=("a", "b")):
        assert one.spearman > 0.9
        assert one.icc > 0.9
        assert (one.n, one.n_unscored) == (195, 5)
    assert max(abs(one.icc) for one in valuelex.agreement(first, far, names=("a", "b"))) < 0.25
    assert math.isnan(valuelex.agreement(first, np.zeros((200, 6)), names=("a", "b"))[0].icc)
    with pytest.raises(InputError, match="200 and 5"):
        valuelex.agreement(first, far[:5], names=("a", "b"))


# People


def test_a_scorer_is_held_against_peoples_labels(tmp_path) -> None:
    said = [(IDS[i], word(SUBS[i]), SUBS[i]) for i in range(60)] + [
        (IDS[0], "mumble", "social"),
        (IDS[0], "honesty", "none"),
    ]
    path = tmp_path / "labels.csv"
    path.write_text("item_id,completion,label\n" + "".join(f"{a},{b},{c}\n" for a, b, c in said), encoding="utf-8")
    labels = valuelex.read_labels(path)
    good = valuelex.calibrate(labels, valuelex.by_words(labels.completions), scorer="lexicon")
    assert (good.n, good.n_unscored, good.accuracy, good.kappa) == (60, 1, 1.0, 1.0)
    assert min(good.spearman) > 0.9
    rng = np.random.default_rng(0)
    bad = valuelex.calibrate(labels, rng.random((62, 6)), scorer="dice")
    assert abs(bad.kappa) < 0.3
    with pytest.raises(InputError, match="scorer lexicon"):
        valuelex.calibrate(labels, np.zeros((3, 6)), scorer="lexicon")


def test_peoples_numbers_are_read_too(tmp_path) -> None:
    path = tmp_path / "numbers.csv"
    path.write_text(f"item_id,completion,{','.join(VALUELEX_SUB)}\n{IDS[0]},hope,0,0,1,5,0,2\n", encoding="utf-8")
    assert valuelex.read_labels(path).scores.tolist() == [[0, 0, 1, 5, 0, 2]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item_id,completion\nsocial-01,hope\n", "no column self_competent"),
        ("item_id,text,label\nsocial-01,hope,social\n", "no column completion"),
        ("item_id,completion,label\nsocial-99,hope,social\n", "'social-99' in row 2"),
        ("item_id,completion,label\nsocial-01,hope,sociable\n", "unknown label 'sociable'"),
        ("item_id,completion,label\nsocial-01,,social\n", "row 2 has no completion"),
        (f"item_id,completion,{','.join(VALUELEX_SUB)}\nsocial-01,hope,0,0,much,5,0,2\n", "social is 'much' in row 2"),
        ("", "is empty"),
    ],
)
def test_labels_that_cannot_be_used_are_refused_by_row(text, message, tmp_path) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        check.read_labels(tmp_path / "a.csv")


# Files


def test_completions_are_read_from_a_file_and_scored(tmp_path) -> None:
    path = tmp_path / "said.csv"
    lines = [f"{model},{item},{said}" for model, said in (("a", "Honesty."), ("b", "")) for item in IDS]
    path.write_text("model,item_id,raw_response\n" + "\n".join(lines) + "\n", encoding="utf-8")
    rows = scoring.score("valuelex", scoring.read("valuelex", path))
    by = {(row.respondent, row.scale): row for row in rows}
    assert by["a", "ethical"].estimate == 1.0
    assert by["a", "integrity"].estimate == 0.5
    assert by["b", "ethical"].n_unscored == 16


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,item_id,raw_response\na,social-1,hope\n", "not in valuelex"),
        ("model,item_id,raw_response\na,social-01,hope\na,social-01,faith\n", "stand there twice"),
        ("model,item_id,numeric_response\na,social-01,1\n", "no completion has any text"),
        ("model,item_id,raw_response\na,social-01,\n", "no completion has any text"),
    ],
)
def test_a_file_that_cannot_be_scored_is_refused(text, message, tmp_path) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        scoring.score("valuelex", scoring.read("valuelex", tmp_path / "a.csv"))


def test_scores_of_another_number_of_rows_are_refused() -> None:
    with pytest.raises(InputError, match="5 scores"):
        valuelex.scale_scores(table(1, lambda r, i: "hope"), np.zeros((5, 6)), rule="judge", unit="")
