"""Prompts that ask a model for more or for less of a value, and instructions that have nothing to do with values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from vprobe import values as words
from vprobe.errors import InputError


@dataclass(frozen=True)
class Ask:
    """One thing a model is told before it is asked anything.

    Args:
        id: Unique among them.
        value: The value asked for; empty for an instruction that is about none.
        sign: +1 asks for more of the value, -1 for less, 0 for neither.
        text: What it is told.

    Raises:
        InputError: Empty text, an unknown value, or a sign that does not go with the value.
    """

    id: str
    value: str
    sign: int
    text: str

    def __post_init__(self) -> None:
        where = f"prompt {self.id}"
        if not self.text.strip():
            raise InputError("empty text", where=where, expected="some text")
        if self.value:
            words.find(self.value, where=where)
        if self.sign not in ((1, -1) if self.value else (0,)):
            raise InputError(f"sign {self.sign}", where=where, expected="+1 or -1 with a value, 0 without")


def asks() -> tuple[Ask, ...]:
    """Return the prompts that ship with vprobe: two that ask for more and two for less of each Schwartz value.

    Instructions that are about no value come last.
    """
    found = json.loads(Path(__file__).with_name("value_prompts.json").read_text(encoding="utf-8"))
    out = [
        Ask(f"{value}{'+' if sign > 0 else '-'}{number}", value, sign, frame.format(what=found["values"][value]))
        for value in words.SCHWARTZ
        for sign, frames in ((1, found["more"]), (-1, found["less"]))
        for number, frame in enumerate(frames, start=1)
    ]
    out += [Ask(f"instruction-{number}", "", 0, text) for number, text in enumerate(found["instructions"], start=1)]
    return tuple(out)
