"""Steering dose-response: what each strength did to the ratings, against vectors that mean nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from vprobe.report import style
from vprobe.report import truth as true
from vprobe.report.truth import NONE, Truth
from vprobe.report.wording import many, tick
from vprobe.types import DoseRow

ABREAST = 5
NULLS = ("shuffled", "random")
"""Null arms that are drawn; the table of arms has them all, and the prompts."""


@dataclass(frozen=True)
class Strip:
    """One line of small panels: what is on its vertical axis."""

    field: str
    label: str
    height: float


STRIPS = (
    Strip("effect", "effect\n(points per SD of label)", 1.9),
    Strip("mean_shift", "mean shift\n(points)", 0.95),
    Strip("option_mass", "option\nmass", 0.75),
)


def draw(rows: Sequence[DoseRow], name: str, truth: Truth = NONE) -> style.Drawing:
    """Draw, per value, the effect with interval over the null arms, and beneath it mean shift and option mass.

    Args:
        rows: Of one choice of token positions.
        name: File name of the figure without its ending.
        truth: What was planted, as "dose" by value and strength.
    """
    rows = [row for row in rows if row.arm in ("baseline", "steered", *NULLS)]
    values = style.in_order([row.value for row in rows])
    abreast = min(ABREAST, len(values))
    blocks = math.ceil(len(values) / abreast)
    with style.drawing():
        figure = style.blank(blocks * 4.15 + 0.45, min(style.WIDTH, 3.2 + 2.2 * abreast))
        parts = figure.subfigures(blocks, 1, squeeze=False)[:, 0]
        for block, part in enumerate(parts):
            part.set_facecolor("none")
            _block(part, rows, values[block * abreast : (block + 1) * abreast], abreast, truth)
        handles = [*_handles(rows), *([true.handle(dashed=True)] if truth.knows("dose") else [])]
        figure.legend(handles=handles, loc="outside lower center", ncols=4 if abreast > 2 else 1)
        return style.finish(figure, name, f"Dose-response of steering for {many(len(values), 'value')} with null arms.")


def _block(part: SubFigure, rows: Sequence[DoseRow], values: tuple[str, ...], abreast: int, truth: Truth) -> None:
    heights = [strip.height for strip in STRIPS]
    grid = part.subplots(
        len(STRIPS), abreast, squeeze=False, sharex=True, sharey="row", gridspec_kw={"height_ratios": heights}
    )
    for column in range(abreast):
        if column >= len(values):
            for line in range(len(STRIPS)):
                grid[line][column].set_axis_off()
            continue
        mine = [row for row in rows if row.value == values[column]]
        sites = ", ".join(dict.fromkeys(row.site for row in mine if row.arm == "steered"))
        grid[0][column].set_title(f"{style.title(values[column])}", color=style.colour(values[column]))
        grid[0][column].text(
            0.04, 0.99, sites, transform=grid[0][column].transAxes, size=7, color=style.MUTED, va="top"
        )
        for strip, line in zip(STRIPS, grid, strict=True):
            _panel(line[column], mine, strip)
        _true(grid[0][column], mine, truth)
        grid[-1][column].set_xlabel("strength")
        grid[-1][column].xaxis.set_major_formatter(lambda x, _: f"{x:.3g}".replace("-", "\N{MINUS SIGN}"))
    for strip, line in zip(STRIPS, grid, strict=True):
        line[0].set_ylabel(strip.label)
        _limits(line[0], rows, strip, truth)
    part.align_ylabels([line[0] for line in grid])


def _limits(axes: Axes, rows: Sequence[DoseRow], strip: Strip, truth: Truth) -> None:
    """Give all blocks of the figure one vertical scale per strip."""
    numbers = [x for row in rows for x in _reach(row, strip, truth) if math.isfinite(x)]
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    if strip.field == "option_mass":
        low, high = min(low, 0.9), max(high, 1.0)
    else:
        low, high = min(low, 0.0), max(high, 0.0)
    room = 0.08 * (high - low) or 0.1
    axes.set_ylim(low - room, high + (2.5 * room if strip.field == "effect" else room))
    axes.yaxis.set_major_locator(MaxNLocator(5 if strip.field == "effect" else 3, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(lambda y, _: tick(y))


def _truth(row: DoseRow, truth: Truth) -> float:
    return truth.number("dose", row.value, f"{row.strength:g}")


def _true(axes: Axes, rows: Sequence[DoseRow], truth: Truth) -> None:
    """Join what the planted direction itself would do at each strength."""
    known = {row.strength: _truth(row, truth) for row in rows if row.arm == "steered"}
    points = sorted((strength, effect) for strength, effect in known.items() if math.isfinite(effect))
    if points:
        true.line(axes, [x for x, _ in points], [y for _, y in points])


def _reach(row: DoseRow, strip: Strip, truth: Truth) -> tuple[float, ...]:
    if strip.field == "effect":
        return (row.effect, row.low, row.high, _truth(row, truth)) if row.arm == "steered" else (row.effect,)
    return (_field(row, strip),)


def _field(row: DoseRow, strip: Strip) -> float:
    return {"effect": row.effect, "mean_shift": row.mean_shift, "option_mass": row.option_mass}[strip.field]


def _panel(axes: Axes, rows: list[DoseRow], strip: Strip) -> None:
    if strip.field != "option_mass":
        axes.axhline(0, color=style.MUTED, lw=0.8, zorder=1)
    axes.axvline(0, color=style.GRID, lw=0.8, zorder=0)
    axes.grid(axis="y", color=style.GRID, lw=0.4)
    axes.set_axisbelow(True)
    for arm in NULLS:
        _null(axes, [row for row in rows if row.arm == arm], strip, arm)
    steered = [row for row in rows if row.arm == "steered"]
    for place, site in enumerate(dict.fromkeys(row.site for row in steered)):
        mine = sorted((row for row in steered if row.site == site), key=lambda row: row.strength)
        tint = style.colour(mine[0].value)
        x, y = [row.strength for row in mine], [_field(row, strip) for row in mine]
        axes.plot(x, y, color=tint, lw=1.6, ls=("-", "--", ":", "-.")[place % 4], zorder=4)
        axes.plot(x, y, "o", color=tint, ms=4 if strip.field == "effect" else 2.8, zorder=5)
        if strip.field == "effect":
            axes.vlines(x, [row.low for row in mine], [row.high for row in mine], color=tint, lw=1.3, zorder=4)


def _null(axes: Axes, rows: list[DoseRow], strip: Strip, arm: str) -> None:
    """Shade from the smallest to the largest draw at each strength; outline the random arm."""
    reach = []
    for strength in sorted({row.strength for row in rows}):
        draws = [_field(row, strip) for row in rows if row.strength == strength]
        draws = [x for x in draws if math.isfinite(x)]
        if draws:
            reach.append((strength, min(draws), max(draws)))
    if not reach:
        return
    x, low, high = zip(*reach, strict=True)
    if arm == "shuffled":
        axes.fill_between(x, low, high, color=style.BAND, alpha=0.42, lw=0, zorder=2)
    else:
        for edge in (low, high):
            axes.plot(x, edge, color=style.MUTED, lw=0.9, ls=(0, (3, 2)), zorder=3)
    single = len({row.draw for row in rows}) == 1
    if single:
        axes.plot(x, low, color=style.MUTED, lw=1.0, marker="." if arm == "shuffled" else "x", ms=4, zorder=3)


def _handles(rows: Sequence[DoseRow]) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [Line2D([], [], marker="o", ms=4, color=style.INK, label="steered, 95 % interval")]
    for arm, label in (("shuffled", "shuffled labels"), ("random", "random direction")):
        draws = len({row.draw for row in rows if row.arm == arm})
        text = f"{label}: range of {draws} draws" if draws != 1 else f"{label}: 1 draw"
        if draws and arm == "shuffled":
            handles.append(Patch(fc=style.BAND, alpha=0.42, label=text))
        elif draws:
            handles.append(Line2D([], [], color=style.MUTED, lw=0.9, ls=(0, (3, 2)), label=text))
    return handles
