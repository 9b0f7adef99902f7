"""Figures of causal checks: what is gone without a direction, what exchanging it does, and where it has to act."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from vprobe.report import style
from vprobe.report.wording import listing, many, tick
from vprobe.types import AblationRow, InterchangeRow, PositionRow

ABREAST = 5
"""Values side by side."""
OFF = 0.2
"""Distance of marks of one value from each other, rows."""
LEAST = -1.0
"""Share from which on an interval is cut: where hardly anything is there, its share can be anything."""


def ablated(rows: Sequence[AblationRow], name: str = "ablation", *, width: float = style.WIDTH) -> style.Drawing:
    """Draw, per value, the share that goes with its direction over the reach of null vectors, and that of the others.

    Args:
        rows: At most one per value.
        name: File name of the figure without its ending.
        width: Inches.
    """
    found = style.in_order([row.value for row in rows])
    with style.drawing():
        figure = style.blank(0.42 * len(found) + 1.75, width)
        axes = _axes(figure.subplots(), found, "share of what ratings owe to it that is gone")
        for row in rows:
            y, tint = float(found.index(row.value)), style.colour(row.value)
            if math.isfinite(row.reach):
                _band(axes, 0.0, row.reach, y)
            _mark(axes, row.removed, (row.low, row.high), y, tint, filled=row.beyond)
            _mark(axes, row.others, (row.others_low, row.others_high), y + OFF, style.MUTED, shape="s", size=4.0)
        _cut(axes, rows, found)
        kept = [
            _handle("o", style.INK, "its own share: beyond null vectors"),
            _handle("o", style.PAPER, "not beyond them; bar: 95 % interval"),
            _handle("s", style.PAPER, "share of all other values", colour=style.MUTED, size=4.0),
            Patch(
                fc=style.BAND, alpha=0.42, label=f"null vectors: 95 % of at least {min(r.n_null for r in rows)} a kind"
            ),
        ]
        figure.legend(handles=kept, loc="outside lower center", ncols=2)
        told = _of(found)
        alt = f"Share of what ratings owe to a value that is gone without its direction, {told}, over null vectors."
        return style.finish(figure, name, alt)


def exchanged(rows: Sequence[InterchangeRow], name: str = "exchange", *, width: float = style.WIDTH) -> style.Drawing:
    """Draw, per value, the slope that a coordinate taken over makes beside the natural one and what ablation costs.

    Args:
        rows: At most one per value.
        name: File name of the figure without its ending.
        width: Inches.
    """
    found = style.in_order([row.value for row in rows])
    with style.drawing():
        figure = style.blank(0.62 * len(found) + 1.75, width)
        axes = _axes(figure.subplots(), found, "rating points per SD of label and SD of what is read")
        for row in rows:
            y, tint = float(found.index(row.value)), style.colour(row.value)
            if math.isfinite(row.reach):
                _band(axes, -row.reach, row.reach, y)
            _mark(axes, row.natural, (row.natural_low, row.natural_high), y - 1.5 * OFF, tint, shape="s", size=4.5)
            _mark(axes, row.slope, (row.low, row.high), y - OFF / 2, tint, filled=abs(row.slope) > row.reach)
            _mark(axes, row.whole, (row.whole_low, row.whole_high), y + OFF / 2, tint, shape="^", size=4.5)
            _mark(axes, row.ablated, (row.ablated_low, row.ablated_high), y + 1.5 * OFF, tint, shape="v", size=4.5)
        kept = [
            _handle("s", style.PAPER, "the personas' own difference", size=4.5),
            _handle("o", style.INK, "coordinate taken over: beyond null vectors"),
            _handle("o", style.PAPER, "not beyond them; bars: 95 % intervals"),
            _handle("^", style.PAPER, "whole activation put in", size=4.5),
            _handle("v", style.PAPER, "lost when the direction is taken out", size=4.5),
            Patch(fc=style.BAND, alpha=0.42, label=f"null vectors: 95 % of {min(row.n_null for row in rows)}"),
        ]
        figure.legend(handles=kept, loc="outside lower center", ncols=2 if width < style.WIDTH else 3)
        alt = f"What taking over another persona's coordinate does to ratings, {_of(found)}, beside null vectors."
        return style.finish(figure, name, alt)


def placed(rows: Sequence[PositionRow], name: str = "positions", *, width: float = style.WIDTH) -> style.Drawing:
    """Draw, in one panel per value, the effect of steering only some of the tokens beside that of steering all.

    Args:
        rows: At most one per value and set of tokens.
        name: File name of the figure without its ending.
        width: Inches; more than one value takes all of the page.
    """
    found = style.in_order([row.value for row in rows])
    places = list(dict.fromkeys(row.positions for row in rows))
    abreast = min(ABREAST, len(found))
    down = math.ceil(len(found) / abreast)
    with style.drawing():
        figure = style.blank(down * (0.28 * len(places) + 0.75) + 0.75, width)
        grid = figure.subplots(down, abreast, squeeze=False, sharex=True)
        panels = [axes for line in grid for axes in line]
        for number, axes in enumerate(panels):
            if number >= len(found):
                axes.set_axis_off()
                continue
            mine = [row for row in rows if row.value == found[number]]
            _axes(axes, [one.replace("_", " ") for one in places], "", named=number % abreast == 0)
            axes.set_title(style.title(found[number]), color=style.colour(found[number]), size=9)
            axes.tick_params(labelbottom=True)
            for row in mine:
                whole = row.positions == "all"
                if whole and math.isfinite(row.low):
                    axes.axvspan(row.low, row.high, color=style.GRID, alpha=0.5, lw=0, zorder=0)
                sure = row.low > 0 or row.high < 0
                at = float(places.index(row.positions))
                _mark(axes, row.effect, (row.low, row.high), at, style.colour(row.value), filled=sure)
        wide = "effect, rating points per unit of strength and SD of label"
        for axes in grid[-1][: len(found) - abreast * (down - 1)]:
            axes.set_xlabel(wide if abreast == 1 else "effect (points per\nstrength and SD of label)")
        kept = [
            _handle("o", style.INK, "95 % interval without 0"),
            _handle("o", style.PAPER, "with 0"),
            Patch(fc=style.GRID, alpha=0.5, label="95 % interval with all tokens steered"),
        ]
        figure.legend(handles=kept, loc="outside lower center", ncols=3 if width >= 6 else 1)
        told = listing([one.replace("_", " ") for one in places])
        alt = f"Effect of steering only some of the tokens, {_of(found)}: {told}."
        return style.finish(figure, name, alt)


def _of(found: Sequence[str]) -> str:
    return f"for {many(len(found), 'value')}"


def _axes(axes: Axes, found: Sequence[str], label: str, *, named: bool = True) -> Axes:
    style.rows_axis(axes, found, labels=False)
    axes.set_yticks(range(len(found)), [_name(one) for one in found] if named else [""] * len(found))
    axes.axvline(0, color=style.MUTED, lw=0.8, zorder=1)
    axes.grid(axis="x", color=style.GRID, lw=0.5)
    axes.set_axisbelow(True)
    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(lambda x, _: tick(x))
    return axes


def _name(one: str) -> str:
    return one if " " in one or one in ("all", "prompt", "response") else style.title(one)


def _cut(axes: Axes, rows: Sequence[AblationRow], found: Sequence[str]) -> None:
    """Show shares from 0 to 1 and what lies beyond, down to `LEAST`: an arrow says that a bar goes on."""
    known = [x for row in rows for x in (row.removed, row.low, row.others, row.others_low) if math.isfinite(x)]
    axes.set_xlim(max(min([0.0, *known]) - 0.04, LEAST), 1.04)
    for row in rows:
        y = float(found.index(row.value))
        for low, at, tint in ((row.low, y, style.colour(row.value)), (row.others_low, y + OFF, style.MUTED)):
            if low < LEAST:
                axes.plot([LEAST + 0.015], [at], "<", ms=6, color=tint, zorder=5)


def _band(axes: Axes, low: float, high: float, y: float) -> None:
    axes.add_patch(Rectangle((low, y - 0.36), high - low, 0.72, fc=style.BAND, alpha=0.42, lw=0, zorder=0))
    axes.update_datalim([(low, y), (high, y)])


def _mark(
    axes: Axes, at: float, ends: tuple[float, float], y: float, tint: str, *, filled: bool = False, shape: str = "o",
    size: float = 6.0,
) -> None:  # fmt: skip
    if not math.isfinite(at):
        axes.text(0, y, " n/a", va="center", ha="left", size=8, color=style.MUTED)
        return
    if math.isfinite(ends[0]) and math.isfinite(ends[1]):
        axes.plot(ends, [y, y], color=tint, lw=1.8 if shape == "o" else 1.1, solid_capstyle="butt", zorder=3)
    axes.plot([at], [y], shape, ms=size, mfc=tint if filled else style.PAPER, mec=tint, mew=1.4, zorder=4)


def _handle(shape: str, face: str, label: str, *, colour: str = style.INK, size: float = 6.0) -> Line2D:
    return Line2D([], [], marker=shape, mfc=face, mec=colour, mew=1.4, ms=size, color=colour, lw=1.6, label=label)
