"""The claim ladder: how far every value climbs, how much was tried on the way, and with which seeds."""

from __future__ import annotations

from dataclasses import dataclass

from vprobe.report import style
from vprobe.report.grids import Grid
from vprobe.report.parts import Section


@dataclass(frozen=True)
class Rung:
    """How far one value climbs.

    Args:
        value: Canonical value name.
        number: 0 is none, 8 the highest.
        name: What the rung says.
        missing: What the next rung says, and why it is not reached; empty at the top.
    """

    value: str
    number: int
    name: str
    missing: str


@dataclass(frozen=True)
class Ladder:
    """The claim ladder of a run.

    Args:
        method: Direction method of its probes.
        rungs: One per value.
        tried: How many configurations were tried, in one line.
        seeds: The seeds of all stages, in one line.
    """

    method: str
    rungs: tuple[Rung, ...]
    tried: str
    seeds: str


def section(ladder: Ladder) -> Section:
    """Lay the ladder out.

    Args:
        ladder: Of the run.
    """
    order = style.in_order([one.value for one in ladder.rungs])
    rungs = sorted(ladder.rungs, key=lambda one: order.index(one.value))
    cells = tuple((style.title(one.value), f"{one.number}", one.name, one.missing or "nothing") for one in rungs)
    head = ("value", ">rung", "reached", "why not the next")
    notes = (f"{ladder.tried[:1].upper()}{ladder.tried[1:]}.", f"{ladder.seeds[:1].upper()}{ladder.seeds[1:]}.")
    return Section(
        "ladder",
        "How far every value climbs",
        "This shows how strong a claim the run bears out for each value. Rungs build on each other: one that fails, or "
        "that nobody looked at, ends the climb. The more was tried, the more the largest figure owes to luck; the "
        "figures here are of choices made on inner folds, and their family holds every cell.",
        grids=(Grid(f"Claim ladder, {ladder.method}", head, cells, notes),),
    )
