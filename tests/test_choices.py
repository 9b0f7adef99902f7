"""Our own neutral sentences and questions: balanced, no surface gives the answer away, scored without guesses."""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from vprobe import benchmarks, prompts, scoring
from vprobe.benchmarks import choices
from vprobe.benchmarks.choices import Question
from vprobe.scoring import choices as rule
from vprobe.types import ScaleRow

ALL = choices.questions()
CHANCE = 0.25


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower()))


def alike(one: Question, option: str) -> float:
    return sum(difflib.SequenceMatcher(None, option, other).ratio() for other in one.options)


def letters(one: Question, option: str) -> float:
    return sum(c in one.text.lower() for c in set(option.lower())) / len(set(option))


def number(option: str) -> int:
    return int(option) if option.isdigit() else 0


def middle(one: Question, option: str) -> float:
    return -abs(number(option) - sum(map(number, one.options)) / len(one.options))


BASELINES: tuple[tuple[str, Callable[[Question, str], float]], ...] = (
    ("first option", lambda one, x: -one.options.index(x)),
    ("last option", lambda one, x: one.options.index(x)),
    ("second option", lambda one, x: one.options.index(x) == 1),
    ("third option", lambda one, x: one.options.index(x) == 2),
    ("longest option", lambda one, x: len(x)),
    ("shortest option", lambda one, x: -len(x)),
    ("most words", lambda one, x: len(x.split())),
    ("first in the alphabet", lambda one, x: -sorted(one.options).index(x)),
    ("last in the alphabet", lambda one, x: sorted(one.options).index(x)),
    ("shares most words with the question", lambda one, x: len(words(x) & words(one.text))),
    ("shares most letters with the question", letters),
    ("most like the other options", alike),
    ("least like the other options", lambda one, x: -alike(one, x)),
    ("largest number", lambda one, x: number(x)),
    ("smallest number", lambda one, x: -number(x)),
    ("nearest the mean number", middle),
)


def accuracy(pick: Callable[[Question, str], float], of: Sequence[Question] = ALL) -> float:
    """Share right when the option with the largest number is picked; several that share it share the credit."""
    shares = []
    for one in of:
        found = [pick(one, x) for x in one.options]
        best = [i for i, x in enumerate(found, start=1) if x == max(found)]
        shares.append((one.right in best) / len(best))
    return sum(shares) / len(shares)


def test_no_surface_gives_the_answer_away() -> None:
    for name, pick in BASELINES:
        found = accuracy(pick)
        print(f"{name:40s} {found:.3f}")
        assert abs(found - CHANCE) <= 0.04, name
    assert accuracy(lambda one, x: one.options.index(x) + 1 == one.right) == 1.0


def test_there_are_forty_questions_of_each_kind_and_every_place_is_right_ten_times_in_each() -> None:
    assert len(ALL) == 160 and len({one.id for one in ALL}) == 160
    assert set(Counter((one.kind, one.right) for one in ALL).values()) == {10}
    assert len({(one.text, one.options) for one in ALL}) == 160
    for one in ALL:
        assert len(one.options) == 4 and len({x.lower() for x in one.options}) == 4 and one.text.endswith(("?", "."))


def test_a_limit_keeps_all_kinds_and_every_option_is_shown_as_it_is_scored() -> None:
    few = benchmarks.load("choices", limit=4)
    assert [item.source for item in few.items] == list(choices.KINDS) and few.versions == choices.versions()
    for version in few.versions:
        for prompt, one in zip(prompts.render(few, template=version), ALL, strict=False):
            right = next(option for option in prompt.options if option.rating == one.right)
            assert rule.parse(right.label, version, one.id) == one.right
            assert rule.parse(one.options[one.right - 1], version, one.id) == one.right
            shown = prompt.messages[0].content
            assert all(words in shown for words in one.options) and one.text in shown


def test_arithmetic_is_right() -> None:
    plain = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "times": lambda a, b: a * b,
             "divided by": lambda a, b: a // b}  # fmt: skip
    seen = 0
    for one in (one for one in ALL if one.kind == "arithmetic"):
        found = re.fullmatch(r"What is (\d+) (\+|-|times|divided by) (\d+)\?", one.text)
        if found:
            seen += 1
            assert int(one.options[one.right - 1]) == plain[found[2]](int(found[1]), int(found[3]))
    assert seen >= 20


@pytest.mark.parametrize(
    ("text", "version", "wanted"),
    [
        ("C", "v1", 3.0), ("C", "v1_reversed", 2.0), (" (b) ", "v1", 2.0), ("A: six", "v1", 1.0),
        ("D) eight", "v1", 4.0),
        ("The answer is D.", "v2", 4.0), ("A: eight", "v1", math.nan), ("eight", "v3", 4.0), ("Eight legs.", "v3", 4.0),
        ("six or eight", "v3", math.nan), ("A", "v3", math.nan), ("no idea", "v1", math.nan), ("", "v1", math.nan),
        ("sixteen", "v3", math.nan), ("A spider has eight legs", "v1", 4.0),
    ],
)  # fmt: skip
def test_an_answer_is_read_or_left_unscored(text: str, version: str, wanted: float) -> None:
    assert ALL[0].options == ("six", "ten", "four", "eight")
    found = rule.parse(text, version, "choices-01")
    assert found == wanted or (math.isnan(wanted) and math.isnan(found))


def scored(path: Path, rows: Sequence[tuple[str, str, str, float]]) -> dict[tuple[str, str], ScaleRow]:
    lines = [",".join(map(str, row)) for row in rows]
    path.write_text("\n".join(("model,version,item,numeric_response", *lines)), encoding="utf-8")
    return {(row.respondent, row.scale): row for row in scoring.score("choices", scoring.read("choices", path))}


def test_accuracy_counts_what_was_answered_and_never_counts_silence_as_wrong(tmp_path: Path) -> None:
    rows = [("all", "v1", one.id, one.right) for one in ALL]
    rows += [("first", "v1", one.id, 1) for one in ALL]
    rows += [("half", "v1", one.id, one.right) for one in ALL[:80]]
    rows += [("torn", version, one.id, place) for one in ALL for version, place in (("v1", one.right), ("v2", 1))]
    found = scored(tmp_path / "a.csv", rows)
    assert found["all", "accuracy"].estimate == 1.0 and found["first", "accuracy"].estimate == 0.25
    assert found["first", "reading"].estimate == 0.25 and found["first", "reading"].n == 40
    assert (found["half", "accuracy"].estimate, found["half", "accuracy"].n, found["half", "accuracy"].n_unscored) == (
        1.0, 80, 80,
    )  # fmt: skip
    assert found["torn", "accuracy"].estimate == 0.625
    assert found["first", "accuracy"].low < 0.25 < found["first", "accuracy"].high


def test_neutral_texts_are_many_of_many_topics_and_speak_of_nobodys_values() -> None:
    found = benchmarks.neutral()
    assert len(found) == 128 and set(Counter(one.topic for one in found).values()) == {8}
    assert len({one.topic for one in found}) == 16
    judged = re.compile(
        r"\b(should|must|ought|good|bad|better|best|right to|wrong|kind|fair|important|love|like to|want|proud|safe|"
        r"free|success|win|power|tradition|fun|enjoy|help|duty|obey|honest|care)\b",
        re.IGNORECASE,
    )
    assert [one.text for one in found if judged.search(one.text)] == []
    assert all(5 <= len(one.text.split()) <= 30 and one.text.endswith(".") for one in found)
    assert found[0].prompt.messages[0].content == "Say something about the kitchen."
    assert found[0].prompt.messages[1].content == found[0].text
