"""Texts of our own that are no instrument: sentence stems to be completed, and personas to be given to a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vprobe import values as words
from vprobe.errors import DataError, InputError


@dataclass(frozen=True)
class Stem:
    """The beginning of a sentence, whose completion tells what matters to whoever completes it.

    Args:
        id: Unique among the stems.
        text: The beginning, without a stop.

    Raises:
        InputError: Empty text, or one that ends in a stop or a space.
    """

    id: str
    text: str

    def __post_init__(self) -> None:
        if not self.text or not self.text[-1].isalpha():
            raise InputError(
                f"{self.text!r}", where=f"stem {self.id}", expected="words without a stop or space at the end"
            )


@dataclass(frozen=True)
class Persona:
    """Somebody a model is asked to be, by a system prompt that names no value.

    Args:
        id: Unique among the personas.
        name: Short name.
        text: The system prompt.
        values: What matters to them, as (value, +1), and what does not, as (value, -1); other values are left open.

    Raises:
        InputError: Empty text, an unknown value, one named twice, a sign other than +1 or -1, or nothing that matters.
    """

    id: str
    name: str
    text: str
    values: tuple[tuple[str, int], ...]

    def __post_init__(self) -> None:
        where = f"persona {self.id}"
        if not self.text.strip() or not self.name.strip():
            raise InputError("empty name or text", where=where, expected="some text in both")
        if len({words.find(value, where=where) for value, _ in self.values}) != len(self.values):
            raise InputError("a value is named twice", where=where)
        signs = {sign for _, sign in self.values}
        if not signs <= {1, -1} or 1 not in signs:
            raise InputError(f"signs {sorted(signs)}", where=where, expected="+1 or -1, and +1 at least once")


def stems() -> tuple[Stem, ...]:
    """Return the sentence stems that ship with vprobe.

    Raises:
        DataError: Two share an id or a text.
    """
    found = tuple(Stem(one["id"], one["text"]) for one in _read("stems"))
    _check("stems", [one.id for one in found], [one.text for one in found])
    return found


def personas() -> tuple[Persona, ...]:
    """Return the personas that ship with vprobe.

    Raises:
        DataError: Two share an id, a name or a text.
    """
    found = tuple(
        Persona(one["id"], one["name"], one["text"], tuple(one["values"].items())) for one in _read("personas")
    )
    _check("personas", [one.id for one in found], [one.name for one in found], [one.text for one in found])
    return found


def _read(name: str) -> list[dict]:
    return json.loads(Path(__file__).with_name(f"{name}.json").read_text(encoding="utf-8"))[name]


def _check(name: str, *columns: Sequence[str]) -> None:
    """Refuse a file in which two entries share what must be their own."""
    for column in columns:
        twice = [text for i, text in enumerate(column) if text.lower() in {other.lower() for other in column[:i]}]
        if twice:
            raise DataError(f"{twice[0]!r} stands there twice", where=f"{name}.json", expected="every entry once")
