"""Plain sentences about everyday things that speak of nobody's values: what steering should leave alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from vprobe.errors import DataError
from vprobe.types import Mark, Message, Prompt


@dataclass(frozen=True)
class Neutral:
    """A sentence or two about an everyday thing, and the request they answer.

    Args:
        id: Unique among them.
        topic: What they are about; several share one.
        request: What somebody says to be told of it.
        text: The sentences.
    """

    id: str
    topic: str
    request: str
    text: str

    @property
    def prompt(self) -> Prompt:
        """The text as the answer to its request, so that every position that can be steered is there."""
        messages = (Message("user", self.request), Message("assistant", self.text))
        marks = (Mark("content", 0, 0, len(self.request)), Mark("response", 1, 0, len(self.text)))
        return Prompt(f"{self.id}/neutral", self.id, self.topic, "neutral", "neutral", messages, marks)


def neutral() -> tuple[Neutral, ...]:
    """Return the texts that ship with vprobe.

    Raises:
        DataError: Two share an id or a text.
    """
    read = json.loads(Path(__file__).with_name("neutral.json").read_text(encoding="utf-8"))
    found = tuple(
        Neutral(one["id"], one["topic"], read["request"].replace("{topic}", one["topic"]), one["text"])
        for one in read["neutral"]
    )
    if len({one.id for one in found}) < len(found) or len({one.text for one in found}) < len(found):
        raise DataError("an id or a text stands there twice", where="neutral.json", expected="every entry once")
    return found
