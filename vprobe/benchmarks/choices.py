"""Choices: our own 160 four-way questions with a right answer; what a model can do, beside what it values.

Forty each on common knowledge, language, simple arithmetic and reading one short sentence, in turn, all in plain
English. The right answer stands ten times of each kind in each place; neither the longest nor the first option, nor the
one that is most like the question, is right more often than by chance.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

from vprobe.benchmarks._pinned import DataSet
from vprobe.types import Benchmark, Item, Option, Template

DATA = DataSet(
    name="choices",
    what="160 four-way questions on knowledge, language, arithmetic and reading, by the authors of vprobe",
    licence="Apache-2.0",
    citation="The vprobe authors. Choices, shipped with vprobe.",
    shipped=Path(__file__).with_name("choices.json"),
)
LETTERS = "ABCD"
KINDS = ("knowledge", "language", "arithmetic", "reading")
_WORDINGS = (
    ("v1", True, "{text}\n\n{lines}\n\nReply with the letter of the right answer and nothing more.\n\nAnswer:"),
    ("v2", True, "Here is a question with four possible answers.\n\n{text}\n\n{lines}\n\n"
     "Which one is right? Write its letter only:"),
    ("v3", False, "{text}\n\nOne of these is right:\n{lines}\n\nCopy it word for word and add nothing:"),
)  # fmt: skip


@dataclass(frozen=True)
class Question:
    """One question.

    Args:
        id: Such as "choices-07".
        kind: One of `KINDS`.
        text: The question.
        options: Its four possible answers in the order of the file.
        right: Number of the right one, from 1.
    """

    id: str
    kind: str
    text: str
    options: tuple[str, ...]
    right: int


@functools.cache
def questions() -> tuple[Question, ...]:
    """Return the questions in file order."""
    found = json.loads(Path(DATA.shipped or "").read_text(encoding="utf-8"))["choices"]
    return tuple(
        Question(one["id"], one["kind"], one["question"], tuple(one["options"]), one["right"]) for one in found
    )


def load(folder: Path | None = None, limit: int | None = None) -> Benchmark:
    """Load the questions; they ship with vprobe, so there is nothing to download.

    The items have no response of their own (the model answers) and no loadings: they ask for nothing one could value.

    Args:
        folder: Not used: the questions are part of the package.
        limit: Keep only this many questions, in file order; kinds come in turn. None keeps all.
    """
    kept = questions()[:limit]
    return Benchmark(
        name=DATA.name,
        items=tuple(
            Item(
                id=one.id, group=one.id, source=one.kind, form=one.id, text=one.text, response="",
                scale=(1.0, float(len(LETTERS))), licence=DATA.licence,
            )
            for one in kept
        ),
        templates=tuple(
            Template(name + suffix, one.id, text.replace("{lines}", lines), options)
            for name, lettered, text in _WORDINGS
            for suffix, step in (("", 1), ("_reversed", -1))
            for one in kept
            for lines, options in (shown(one, lettered=lettered, step=step),)
        ),
        values=(),
        reliability=(),
        licence=DATA.licence,
        citation=DATA.citation,
        sha256=DATA.sha256,
        labels="none: an answer is right or wrong",
    )  # fmt: skip


def versions() -> tuple[str, ...]:
    """List the wordings, each with its options in both orders."""
    return tuple(name + suffix for name, _, _ in _WORDINGS for suffix in ("", "_reversed"))


def lettered(version: str) -> bool:
    """Return whether the answers of a wording are letters; otherwise they are the options' own words."""
    return next(letters for name, letters, _ in _WORDINGS if name == version.removesuffix("_reversed"))


def shown(one: Question, *, lettered: bool, step: int) -> tuple[str, tuple[Option, ...]]:
    """Return the lines of one question as they are shown, and the answers to choose among, numbered as in the file.

    Args:
        one: The question.
        lettered: Whether letters stand before the lines and are the answers; else the lines are the answers.
        step: 1 for the order of the file, -1 for the reverse.
    """
    numbers = range(1, len(LETTERS) + 1)[::step]
    said = [one.options[i - 1] for i in numbers]
    labels = list(LETTERS) if lettered else said
    lines = [f"{letter}: {words}" for letter, words in zip(LETTERS, said, strict=True)] if lettered else said
    return "\n".join(lines), tuple(Option(label, float(i)) for label, i in zip(labels, numbers, strict=True))
