"""Forest plot: estimate and interval per value, over the band of the null, with the ceiling."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from vprobe.report import style
from vprobe.report import truth as true
from vprobe.report.tables import above
from vprobe.report.truth import NONE, Truth
from vprobe.report.wording import many, share
from vprobe.types import Agreement

ABREAST = 3
"""Panels in one row of the figure."""

COMPARISONS = (
    ("probe~label", "probe and label"),
    ("probe~rating", "probe and the model's rating"),
    ("rating~label", "the model's rating and label"),
    ("text~label", "words alone and label"),
)


def draw(rows: Sequence[Agreement], name: str, *, by: str, truth: Truth = NONE) -> style.Drawing:
    """Draw one panel per method or per comparison, one row per value.

    Args:
        rows: Item-level rows, at most one per value and panel.
        name: File name of the figure without its ending.
        by: "method" or "comparison": what makes a panel.
        truth: What was planted, under the names of the comparisons.
    """
    values = style.in_order([row.value for row in rows])
    keys = list(dict.fromkeys(_key(row, by) for row in rows))
    abreast = 2 if len(keys) == 4 else min(ABREAST, len(keys))
    down = math.ceil(len(keys) / abreast)
    with style.drawing():
        figure = style.blank(down * (0.27 * len(values) + 0.95) + 0.4, apart=0.04)
        grid = figure.subplots(down, abreast, squeeze=False, sharex=True)
        places = [axes for line in grid for axes in line]
        for place, axes in enumerate(places):
            if place >= len(keys):
                axes.set_axis_off()
                continue
            mine = [row for row in rows if _key(row, by) == keys[place]]
            _panel(axes, mine, values, labels=place % abreast == 0)
            for row in mine:
                true.mark(axes, truth.number(row.comparison, row.value), float(values.index(row.value)))
            axes.set_title(keys[place], size=9)
            axes.set_xlabel(mine[0].statistic)
            axes.tick_params(labelbottom=True)
        known = any(truth.knows(row.comparison) for row in rows)
        handles = [*_key_handles(), *([true.handle()] if known else [])]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), columnspacing=1.4)
        return style.finish(
            figure, name, f"Forest plot of {many(len(values), 'value')}, estimates with intervals, nulls, ceilings."
        )


def _key(row: Agreement, by: str) -> str:
    if by == "method":
        return "words alone, no model" if row.comparison == "text~label" else row.method
    label = dict(COMPARISONS).get(row.comparison, row.comparison)
    return f"{label},\n{row.method}" if row.method else label


def _panel(axes: Axes, rows: list[Agreement], values: tuple[str, ...], *, labels: bool) -> None:
    style.rows_axis(axes, values, labels=labels)
    axes.axvline(0, color=style.MUTED, lw=0.8, zorder=1)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(lambda x, _: "0" if abs(x) < 1e-9 else share(x).rstrip("0"))
    for row in rows:
        y = values.index(row.value)
        tint = style.colour(row.value)
        if math.isfinite(row.null_low) and math.isfinite(row.null_high):
            width = row.null_high - row.null_low
            axes.add_patch(Rectangle((row.null_low, y - 0.36), width, 0.72, fc=style.BAND, alpha=0.42, lw=0, zorder=0))
            axes.update_datalim([(row.null_low, y), (row.null_high, y)])
        if math.isfinite(row.ceiling):
            axes.plot([row.ceiling] * 2, [y - 0.3, y + 0.3], color=style.INK, lw=1.6, solid_capstyle="butt")
        if math.isfinite(row.low) and math.isfinite(row.high):
            axes.plot([row.low, row.high], [y, y], color=tint, lw=2.2, solid_capstyle="butt", zorder=3)
        if math.isfinite(row.estimate):
            face = tint if above(row) else style.PAPER
            axes.plot([row.estimate], [y], "o", ms=6, mfc=face, mec=tint, mew=1.6, zorder=4)
        else:
            axes.text(0, y, " n/a", va="center", ha="left", size=8, color=style.MUTED)
    if not any(math.isfinite(row.estimate) for row in rows):
        axes.set_xlim(-0.1, 1.0)
    axes.grid(axis="x", color=style.GRID, lw=0.5)
    axes.set_axisbelow(True)


def _key_handles() -> list[Line2D | Patch]:
    dot = {"marker": "o", "ms": 6, "mec": style.INK, "mew": 1.5, "color": style.INK, "lw": 2}
    return [
        Line2D([], [], mfc=style.INK, label="above the null (p \N{LESS-THAN OR EQUAL TO} .05)", **dot),
        Line2D([], [], mfc=style.PAPER, label="not above it; bar: 95 % interval", **dot),
        Patch(fc=style.BAND, alpha=0.42, label="null, middle 95 %"),
        Line2D([], [], marker="|", ms=9, mew=1.6, lw=0, color=style.INK, label="ceiling (label noise)"),
    ]
