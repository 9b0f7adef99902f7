"""Value profile: how much the model's ratings rise with each value, by labels and by its own probes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vprobe.report import style
from vprobe.report import truth as true
from vprobe.report.truth import NONE, Truth
from vprobe.report.wording import tick
from vprobe.types import ProfileRow

KINDS = (("rating", "keyed by labels", "o"), ("probe", "keyed by held-out probe scores", "s"))


def draw(rows: Sequence[ProfileRow], truth: Truth = NONE) -> style.Drawing:
    """Draw both profiles of each value, one below the other in one row.

    Args:
        rows: Of either kind, or both.
        truth: What was planted, as "profile rating" and "profile probe".
    """
    values = style.in_order([row.value for row in rows])
    units = list(dict.fromkeys(row.unit for row in rows))
    with style.drawing():
        figure = style.blank(0.36 * len(values) + 1.15)
        places = figure.subplots(1, len(units), squeeze=False)[0]
        for place, (axes, unit) in enumerate(zip(places, units, strict=True)):
            mine = [row for row in rows if row.unit == unit]
            _panel(axes, mine, values, truth, labels=place == 0)
            axes.set_xlabel(f"within-query slope ({unit})" if unit else "within-query slope")
        kinds = {row.kind for row in rows}
        handles = [_handle(label, mark, kind) for kind, label, mark in KINDS if kind in kinds]
        if any(truth.knows(f"profile {kind}") for kind in kinds):
            handles.append(true.handle())
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
        return style.finish(figure, "profile", f"Value profile of {len(values)} values with 95 % intervals.")


def _handle(label: str, mark: str, kind: str) -> Line2D:
    face = style.INK if kind == "rating" else style.PAPER
    return Line2D([], [], marker=mark, ms=6, lw=2, color=style.INK, mfc=face, mec=style.INK, mew=1.5, label=label)


def _panel(axes: Axes, rows: list[ProfileRow], values: tuple[str, ...], truth: Truth, *, labels: bool) -> None:
    style.rows_axis(axes, values, labels=labels)
    axes.axvline(0, color=style.MUTED, lw=0.8, zorder=1)
    for y in range(0, len(values), 2):
        axes.axhspan(y - 0.5, y + 0.5, color=style.BAND, alpha=0.12, lw=0, zorder=0)
    both = len({row.kind for row in rows}) > 1
    for row in rows:
        shift = (-0.17 if row.kind == "rating" else 0.17) if both else 0.0
        y = values.index(row.value) + shift
        tint = style.colour(row.value)
        mark = "o" if row.kind == "rating" else "s"
        true.mark(axes, truth.number(f"profile {row.kind}", row.value), y)
        if math.isfinite(row.low) and math.isfinite(row.high):
            axes.plot([row.low, row.high], [y, y], color=tint, lw=2.2, solid_capstyle="butt", zorder=3)
        if math.isfinite(row.estimate):
            face = tint if row.kind == "rating" else style.PAPER
            axes.plot([row.estimate], [y], mark, ms=6, mfc=face, mec=tint, mew=1.6, zorder=4)
        else:
            axes.text(0, y, f" n/a ({row.kind})", va="center", ha="left", size=7.5, color=style.MUTED)
    axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(lambda x, _: tick(x))
    axes.grid(axis="x", color=style.GRID, lw=0.5)
    axes.set_axisbelow(True)
