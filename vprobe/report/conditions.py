"""Across conditions, such as personas: what is read inside the model against what it does, value by value."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from vprobe import stats
from vprobe.report import style
from vprobe.report import truth as true
from vprobe.report.grids import Grid, interval3, letter
from vprobe.report.truth import NONE, SIGN, Truth
from vprobe.report.wording import MISSING, SPACE, chance, interval, many, share, tick
from vprobe.types import Agreement, ConditionRow

ABREAST = 5


def draw(rows: Sequence[ConditionRow], agreed: Sequence[Agreement], name: str, truth: Truth = NONE) -> style.Drawing:
    """Draw one panel per value, one dot per condition, each value as deviations from its mean over conditions.

    Args:
        rows: Of one method.
        agreed: Rows of `agreement` of level "condition".
        name: File name of the figure without its ending.
        truth: What was planted; each measure's correlation with it stands in the panel.
    """
    values = style.in_order([row.value for row in rows])
    abreast = min(ABREAST, len(values))
    down = math.ceil(len(values) / abreast)
    with style.drawing():
        figure = style.blank(
            2.15 * down + (0.75 if truth.knows("condition") else 0.5), min(style.WIDTH, 3.2 + 2.0 * abreast)
        )
        grid = figure.subplots(down, abreast, squeeze=False, sharex=True, sharey=True)
        places = [axes for line in grid for axes in line]
        for axes in places[len(values) :]:
            axes.set_axis_off()
        for axes, value in zip(places, values, strict=False):
            mine = [row for row in rows if row.value == value]
            found = [row for row in agreed if row.value == value and row.method == mine[0].method]
            _panel(axes, mine, found[:1], truth)
        _room(places[0])
        for place, axes in enumerate(places[: len(values)]):
            axes.tick_params(labelbottom=place + abreast >= len(values))
        figure.supxlabel("probe: projection on the value's direction, activation units", size=9)
        figure.supylabel("behaviour: points per unit of label", size=9)
        if truth.knows("condition"):
            handle = true.handle("truth: r of either measure with the planted profiles")
            figure.legend(handles=[handle], loc="outside upper right")
        alt = f"Behaviour against probe over conditions, a panel for each of {many(len(values), 'value')}."
        return style.finish(figure, name, alt)


def _panel(axes: Axes, rows: list[ConditionRow], agreed: Sequence[Agreement], truth: Truth) -> None:
    value = rows[0].value
    tint = style.colour(value)
    x, y = (np.array(side) for side in zip(*((row.probe, row.behavior) for row in rows), strict=True))
    known = np.isfinite(x) & np.isfinite(y)
    axes.axhline(0, color=style.GRID, lw=0.7, zorder=0)
    axes.axvline(0, color=style.GRID, lw=0.7, zorder=0)
    if known.any():
        x, y = x[known] - x[known].mean(), y[known] - y[known].mean()
        axes.scatter(x, y, s=15, marker=style.marker(value), color=tint, alpha=0.75, linewidths=0)
    axes.set_title(style.title(value), color=tint, size=9)
    for row in agreed:
        text = f"r {share(row.estimate)} {interval(row.low, row.high)}"
        axes.text(0.03, 0.98, text, transform=axes.transAxes, size=7.5, va="top")
    ours = _with_truth(rows, truth)
    if any(math.isfinite(r) for r in ours):
        text = f"{SIGN} probe {share(ours[0])}, behaviour {share(ours[1])}"
        axes.text(0.97, 0.03, text, transform=axes.transAxes, size=7, ha="right", va="bottom")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(lambda at, _: tick(at))


def _room(axes: Axes) -> None:
    """Leave room above and below the dots of all panels for the numbers written there."""
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.18 * (high - low), high + 0.18 * (high - low))


def _with_truth(rows: Sequence[ConditionRow], truth: Truth) -> tuple[float, float]:
    """Return the correlation of either measure of one value with what was planted in the conditions."""
    planted = np.array([truth.number("condition", row.value, row.condition) for row in rows])
    measured = ([row.probe for row in rows], [row.behavior for row in rows])
    probe, behavior = (stats.pearson(np.array(side, dtype=np.float64), planted) for side in measured)
    return probe, behavior


def agreement(rows: Sequence[Agreement]) -> Grid:
    """Lay out the agreement over conditions.

    Args:
        rows: Of level "condition", one comparison.
    """
    notes = list(dict.fromkeys(row.note for row in rows if row.note))
    cells = tuple(
        (style.title(row.value), share(row.estimate, 3), interval3(row.low, row.high), share(row.null_mean, 3),
         interval3(row.null_low, row.null_high), chance(row.p), chance(row.p_family), f"{row.n_scored:,}",
         f"{row.n_unscored:,}", letter(notes.index(row.note)) if row.note else "")
        for row in rows
    )  # fmt: skip
    head = (
        "value", ">r", ">95 % interval", ">null mean", ">null 95 %", ">p", ">family-wise p", ">conditions", ">left out",
        "note",
    )  # fmt: skip
    told = [f"{name} {', '.join(dict.fromkeys(getattr(row, name) for row in rows))}" for name in ("site", "method")]
    caption = "; ".join((f"Agreement over conditions, {rows[0].comparison}", *told))
    return Grid(caption, head, cells, tuple(f"{letter(i)}: {note}" for i, note in enumerate(notes)))


def planted(rows: Sequence[ConditionRow], truth: Truth) -> Grid:
    """Lay out how well either measure follows the profiles planted in the conditions.

    Args:
        rows: Of one method.
        truth: What was planted.
    """
    cells = []
    for value in style.in_order([row.value for row in rows]):
        mine = [row for row in rows if row.value == value]
        probe, behavior = _with_truth(mine, truth)
        known = sum(math.isfinite(truth.number("condition", value, row.condition)) for row in mine)
        cells.append((style.title(value), share(probe, 3), share(behavior, 3), f"{known:,}" if known else MISSING))
    head = ("value", f">r of probe with{SPACE}truth", f">r of behaviour with{SPACE}truth", ">conditions")
    return Grid(f"{SIGN} Either measure against the profiles planted in the conditions", head, tuple(cells))
