"""The claim ladder: how far every value climbs, how much was tried on the way, and with which seeds."""

from __future__ import annotations

from dataclasses import dataclass

from vprobe.report import style
from vprobe.report.grids import Grid
from vprobe.report.parts import Section
from vprobe.types import Climb


@dataclass(frozen=True)
class Ladder:
    """The claim ladder of a run.

    Args:
        method: Direction method of its probes.
        climbs: One per value.
        tried: How many configurations were tried, in one line.
        seeds: The seeds of all stages, in one line.
    """

    method: str
    climbs: tuple[Climb, ...]
    tried: str
    seeds: str


def section(ladder: Ladder) -> Section:
    """Lay the ladder out.

    Args:
        ladder: Of the run.
    """
    order = style.in_order([one.value for one in ladder.climbs])
    climbs = sorted(ladder.climbs, key=lambda one: order.index(one.value))
    cells = tuple((style.title(one.value), f"{one.rung}", one.name, one.missing or "nothing") for one in climbs)
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
