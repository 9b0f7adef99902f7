"""Tables of the instruments' commands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vprobe.cli import show


def scales(rows: Sequence[Any]) -> None:
    """Print scale scores: estimate, interval, what was left out, option mass and reliability together."""
    from vprobe import values

    heads = ("scale", "score", "95 % interval", "before centring", "SD", "n", "unscored", "option mass", "reliability")
    for key in dict.fromkeys((r.respondent, r.instrument, r.family, r.kind, r.rule, r.readout) for r in rows):
        mine = [r for r in rows if (r.respondent, r.instrument, r.family, r.kind, r.rule, r.readout) == key]
        respondent, instrument, family, kind, rule, readout = key
        number = show.number
        lines = [
            (values.title(r.scale), number(r.estimate), f"{number(r.low)} .. {number(r.high)}", number(r.raw),
             number(r.spread), str(r.n), str(r.n_unscored), number(r.option_mass), number(r.reliability))
            for r in mine
        ]  # fmt: skip
        show.table(f"{respondent}: {instrument} {family} ({kind}, rule {rule}" + (f", {readout})" if readout else ")"),
              heads, lines)  # fmt: skip
        for what in dict.fromkeys(r.reliability_of for r in mine if r.reliability_of):
            show.line(f"reliability: {what}; unit: {mine[0].unit}")


def induced(run: Path) -> None:
    """Print how near choices come to each type, beside no value and a wrong one."""
    from vprobe import store
    from vprobe.types import InduceRow

    number = show.number
    found = store.load_rows(run, "induced", InduceRow)
    heads = ("target", "arm", "angle", "ideal", "degrees off", "normalised", "over chance", "versions", "unscored",
             "option mass")  # fmt: skip
    for readout, way in dict.fromkeys((row.readout, row.way) for row in found):
        mine = sorted((r for r in found if (r.readout, r.way) == (readout, way)), key=lambda row: row.target)
        rows = [
            (row.target, row.arm.replace("_", " "), number(row.angle, 1), number(row.ideal, 1),
             number(row.distance, 1), number(row.normalised), number(row.chance_corrected), str(row.n),
             str(row.n_unscored), number(row.option_mass))
            for row in mine
        ]  # fmt: skip
        show.table(f"given by {way}, read from {readout}", heads, rows)
    show.line("over chance: 0 is a random responder, 1 is the ideal. Compare each value with the arms beside it.")
    show.line("The distance is degrees from the ideal type; the source leaves its own distance open.")


def demographics(run: Path) -> None:
    """Print how far personas move a model, and where a survey was given how people differ."""
    from vprobe import ess, store, values

    moved = store.load_rows(run, "demographics", ess.Effect)
    pairs = store.load_rows(run, "people_pairs", ess.PairMatch) if store.has(run, "people_pairs") else ()
    among = {(one.axis, one.level, one.value): one.people for one in pairs}
    rows = [
        (one.axis, one.level, values.title(one.value), show.number(one.difference),
         f"{show.number(one.low)} .. {show.number(one.high)}", show.number(among.get((one.axis, one.level, one.value))),
         str(one.n), str(one.n_unscored))
        for one in moved
    ]  # fmt: skip
    heads = ("axis", "level", "value", "model", "95 % interval", "people", "n", "unscored")
    show.table("score under the persona less score without one, centred rating points", heads, rows)
