"""Our own questions that make a model name its values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Question:
    """A question that asks for values in single words.

    Args:
        id: Unique among the questions.
        text: What to ask.
    """

    id: str
    text: str


def questions() -> tuple[Question, ...]:
    """Return the fifteen questions that ship with vprobe; a respondent is asked all of them."""
    found = json.loads(Path(__file__).with_name("prompts.json").read_text(encoding="utf-8"))["prompts"]
    return tuple(Question(one["id"], one["text"]) for one in found)
