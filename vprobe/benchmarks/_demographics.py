"""Demographic personas: system prompts that say who somebody is on one axis, such as age, and nothing else."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Demographic:
    """Somebody a model is asked to be, known by one thing only.

    Args:
        id: Unique, axis and level, such as "age-under_30".
        axis: Such as "age".
        level: Level on the axis, such as "under_30".
        ordered: True when the levels of the axis have an order; they are listed in it.
        text: The system prompt.
    """

    id: str
    axis: str
    level: str
    ordered: bool
    text: str


@functools.cache
def demographics() -> tuple[Demographic, ...]:
    """Return the 25 demographic personas on seven axes; the levels of an axis stand together."""
    found = json.loads(Path(__file__).with_name("demographics.json").read_text(encoding="utf-8"))["axes"]
    return tuple(
        Demographic(f"{one['axis']}-{level}", one["axis"], level, one["ordered"], text)
        for one in found
        for level, text in one["levels"].items()
    )
