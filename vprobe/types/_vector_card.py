"""The card of one steering vector: what a run shows of it, part by part, and what it does not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from vprobe.types._inside import Direction
from vprobe.types._results import RunInfo


@dataclass(frozen=True)
class CardFact:
    """One number or word on a card that stands in no table as it is, with what it was worked out from.

    Args:
        part: Part of the card it belongs to.
        name: What it is.
        value: The number; NaN where it does not exist, or where `text` says it in words.
        low: Lower end of its 95 % interval; NaN where none is made.
        high: Upper end.
        n: What it rests on, such as items or draws; 0 where nothing is counted.
        unit: What 1.0 means.
        text: In words, where it is no number.
        source: The table it was worked out from, or what of the run.
        note: Anything a reader must know.
    """

    part: str
    name: str
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    unit: str = ""
    text: str = ""
    source: str = ""
    note: str = ""


@dataclass(frozen=True)
class CardTable:
    """The rows of one of the run's tables that are about the vector, as they are stored.

    Args:
        name: The table.
        rows: Its records.
        units: (column, unit) of its numbers.
    """

    name: str
    rows: tuple[Any, ...]
    units: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class CardPart:
    """One part of a card.

    Args:
        key: Such as "damage".
        title: Heading.
        reads: What it says and how to read it.
        tables: Rows it rests on.
        missing: What is not there, and why; empty where all is.
        commands: What would make it.
    """

    key: str
    title: str
    reads: str
    tables: tuple[CardTable, ...] = ()
    missing: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()

    def rows(self, table: str) -> tuple[Any, ...]:
        """Return the rows of one table; none where the part has none."""
        return next((one.rows for one in self.tables if one.name == table), ())


@dataclass(frozen=True)
class VectorCard:
    """All that a run shows of one steering vector.

    Args:
        direction: The vector that was measured.
        info: What the activations were recorded with.
        settings: (stage, its settings) of every stage the card rests on.
        parts: In the order of the card.
        facts: What was worked out from the tables.
        rung: How far the value climbs on the claim ladder: what is shown.
        next_rung: What the next rung asks for, and why it is not reached; empty at the top.
    """

    direction: Direction
    info: RunInfo
    settings: tuple[tuple[str, RunInfo], ...]
    parts: tuple[CardPart, ...]
    facts: tuple[CardFact, ...]
    rung: str
    next_rung: str

    def part(self, key: str) -> CardPart:
        """Return a part by its key."""
        return next(one for one in self.parts if one.key == key)
