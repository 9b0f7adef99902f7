"""Instrument scores: one panel per instrument, family, kind and read-out, and every number in a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from vprobe import values as words
from vprobe.report import style
from vprobe.report.grids import Grid
from vprobe.report.parts import Panel, Section
from vprobe.report.wording import SPACE, interval, number, share, tick
from vprobe.types import ScaleRow

ABREAST = 2
KINDS = (
    ("rating", "how much the model says a response is like it"),
    ("self_report", "how much it says a described person is like it"),
    ("generation", "what it is likely to say"),
    ("choice", "what it chooses"),
)
"""Kinds are never averaged over one another."""


def panels(rows: Sequence[ScaleRow]) -> tuple[tuple[ScaleRow, ...], ...]:
    """Return the scores that belong into one panel each, at least three values with a number among them.

    Args:
        rows: All scores of a run.
    """
    keys = dict.fromkeys(_key(row) for row in rows)
    parts = (tuple(row for row in rows if _key(row) == key) for key in keys)
    return tuple(
        part
        for part in parts
        if len(part) > 2
        and all(row.scale in words.NAMES for row in part)
        and any(math.isfinite(row.estimate) for row in part)
    )


def section(rows: Sequence[ScaleRow]) -> Section:
    """Return the part of the page on instrument scores.

    Args:
        rows: All scores of a run.
    """
    kinds = {row.kind for row in rows}
    said = "; ".join(f"{kind.replace('_', '-')}: {what}" for kind, what in KINDS if kind in kinds)
    caption = (
        "Dot: score by the instrument's own rule; bar: 95 % interval over queries. A score is relative to the same "
        "model's other answers, so zero is not a human mean."
    )
    return Section(
        "instruments",
        "What the instruments say",
        "This shows the scores each instrument's own rule gives to this model's answers. Look at option mass and "
        "reliability first: a score made of options the model never meant to give says little. Kinds of score are kept "
        f"apart ({said}).",
        (Panel(draw(rows), caption),) if panels(rows) else (),
        grids(rows),
    )


def draw(rows: Sequence[ScaleRow]) -> style.Drawing:
    """Draw scores with their intervals.

    Args:
        rows: Scores of which `panels` makes at least one panel.
    """
    parts = panels(rows)
    down = math.ceil(len(parts) / ABREAST)
    longest = max(len({row.scale for row in part}) for part in parts)
    with style.drawing():
        figure = style.blank(down * (0.25 * longest + 1.0) + 0.2, apart=0.05)
        grid = figure.subplots(down, ABREAST, squeeze=False)
        places = [axes for line in grid for axes in line]
        for axes, part in zip(places, parts, strict=False):
            _panel(axes, part)
        for axes in places[len(parts) :]:
            axes.set_axis_off()
        return style.finish(figure, "scales", f"Scores on {len(parts)} sets of scales, with 95 % intervals.")


def _panel(axes: Axes, rows: Sequence[ScaleRow]) -> None:
    names = style.in_order([row.scale for row in rows])
    style.rows_axis(axes, names)
    axes.axvline(0, color=style.MUTED, lw=0.8, zorder=1)
    for row in rows:
        y, tint = names.index(row.scale), style.colour(row.scale)
        if math.isfinite(row.low) and math.isfinite(row.high):
            axes.plot([row.low, row.high], [y, y], color=tint, lw=2.2, solid_capstyle="butt", zorder=3)
        if math.isfinite(row.estimate):
            axes.plot([row.estimate], [y], "o", ms=5.5, mfc=tint, mec=tint, zorder=4)
        else:
            axes.text(0, y, " n/a", va="center", ha="left", size=7.5, color=style.MUTED)
    first = rows[0]
    axes.set_title(f"{first.instrument}, {_title(first)}", size=8.5)
    axes.set_xlabel(first.unit if len(first.unit) < 60 else "within-query r", size=8)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(lambda x, _: tick(x))
    axes.grid(axis="x", color=style.GRID, lw=0.5)
    axes.set_axisbelow(True)


def grids(rows: Sequence[ScaleRow]) -> tuple[Grid, ...]:
    """Lay out every score with what was left out, its option mass and its reliability.

    Args:
        rows: All scores of a run.
    """
    out = []
    for key in dict.fromkeys(_key(row) for row in rows):
        mine = [row for row in rows if _key(row) == key]
        first = mine[0]
        notes = dict.fromkeys(f"Reliability: {row.reliability_of}." for row in mine if row.reliability_of)
        out.append(
            Grid(
                f"{first.instrument}, {first.family}: {_title(first)}; rule {first.rule}; unit: {first.unit}",
                ("scale", ">score", f">95{SPACE}% interval", ">before centring", ">SD", ">n", ">unscored",
                 ">option mass", ">reliability"),
                tuple(_line(row) for row in mine),
                tuple(notes),
                folded=len(mine) > 2,
            )
        )  # fmt: skip
    return tuple(out)


def _line(row: ScaleRow) -> tuple[str, ...]:
    name = style.title(row.scale) if row.scale in words.NAMES else row.scale.replace("_", " ")
    ends = interval(row.low, row.high, unit=True)
    return (name, number(row.estimate), ends, number(row.raw), number(row.spread), f"{row.n:,}",
            f"{row.n_unscored:,}", share(row.option_mass), share(row.reliability))  # fmt: skip


def _key(row: ScaleRow) -> tuple[str, ...]:
    return (row.respondent, row.instrument, row.family, row.kind, row.rule, row.readout, row.unit)


def _title(row: ScaleRow) -> str:
    return row.kind.replace("_", "-") + (f", from {row.readout}" if row.readout else "")
