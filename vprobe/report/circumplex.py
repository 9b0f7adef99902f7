"""The profile laid out on Schwartz's circle: a way to read it, not a claim that the model has the circle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator

from vprobe import values as words
from vprobe.report import style
from vprobe.report import truth as true
from vprobe.report.profile import KINDS
from vprobe.report.truth import NONE, Truth
from vprobe.report.wording import tick
from vprobe.types import ProfileRow

HOLE = 0.18
"""Radius of the empty middle, as a share of the whole, so that low values do not crowd together."""

APART = 8.0
"""Degrees by which two values of one wedge are drawn apart."""


def fits(rows: Sequence[ProfileRow]) -> tuple[ProfileRow, ...]:
    """Return the rows that can be drawn: values on the circle whose estimate exists."""
    return tuple(row for row in rows if row.value in words.SCHWARTZ and math.isfinite(row.estimate))


@dataclass(frozen=True)
class Scale:
    """Which radius a number has; the same in every circle of a figure."""

    low: float
    high: float

    def radius(self, x: float) -> float:
        """Return the distance from the centre, 1 being the rim."""
        return HOLE + (1 - HOLE) * (x - self.low) / (self.high - self.low)

    @property
    def rings(self) -> tuple[float, ...]:
        """Round numbers within the scale."""
        ticks = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(self.low, self.high)
        return tuple(float(t) for t in ticks if self.low <= t <= self.high)


def _true(row: ProfileRow, truth: Truth) -> float:
    return truth.number(f"profile {row.kind}", row.value)


def _scale(rows: Sequence[ProfileRow], truth: Truth) -> Scale:
    parts = ((row.estimate, row.low, row.high, _true(row, truth), 0.0) for row in rows)
    ends = [x for part in parts for x in part if math.isfinite(x)]
    room = 0.06 * (max(ends) - min(ends)) or 0.1
    return Scale(min(ends) - room, max(ends) + room)


def draw(rows: Sequence[ProfileRow], truth: Truth = NONE) -> style.Drawing:
    """Draw one circle per kind of profile; distance from the zero circle is the estimate.

    Args:
        rows: As returned by `fits`, at least one.
        truth: What was planted, as "profile rating" and "profile probe".
    """
    kinds = [(kind, label) for kind, label, _ in KINDS if any(row.kind == kind for row in rows)]
    scale = _scale(rows, truth)
    known = any(math.isfinite(_true(row, truth)) for row in rows)
    with style.drawing():
        figure = style.blank(4.45 if known else 4.3)
        places = figure.subplots(1, len(kinds), squeeze=False)[0]
        for axes, (kind, label) in zip(places, kinds, strict=True):
            _circle(axes, [row for row in rows if row.kind == kind], scale, truth)
            axes.set_title(label, loc="center", pad=8)
        if known:
            figure.legend(handles=[true.handle()], loc="outside lower center")
        return style.finish(figure, "circumplex", "Value profile drawn at the values' angles on Schwartz's circle.")


def _circle(axes: Axes, rows: list[ProfileRow], scale: Scale, truth: Truth) -> None:
    axes.set_axis_off()
    for ring in scale.rings:
        zero = abs(ring) < 1e-9
        edge, line = (style.INK, "-") if zero else (style.GRID, (0, (4, 3)))
        axes.add_patch(Circle((0, 0), scale.radius(ring), fill=False, ec=edge, lw=1.2 if zero else 0.6, ls=line))
        spot = _at(20.0, scale.radius(ring))
        axes.text(
            *spot, "0" if zero else tick(ring), size=7, color=style.MUTED, ha="center", va="center", bbox=_paper()
        )
    for row in rows:
        _spoke(axes, row, scale)
        if math.isfinite(_true(row, truth)):
            true.mark(axes, *_at(_angle(row.value), scale.radius(_true(row, truth))))
    for value in words.SCHWARTZ:
        _name(axes, value, missing=all(row.value != value for row in rows))
    axes.add_patch(Circle((0, 0), 1.0, fill=False, ec=style.GRID, lw=0.8))
    axes.set_xlim(-1.55, 1.55)
    axes.set_ylim(-1.2, 1.2)
    axes.set_aspect("equal")


def _paper() -> dict:
    return {"fc": style.PAPER, "ec": "none", "pad": 0.8}


def _angle(value: str) -> float:
    """Degrees clockwise from the top; the two values of one wedge a little apart."""
    shift = {"conformity": -APART, "tradition": APART}.get(value, 0.0)
    return words.angle(value) + shift


def _at(degrees: float, radius: float) -> tuple[float, float]:
    turn = math.radians(degrees)
    return radius * math.sin(turn), radius * math.cos(turn)


def _spoke(axes: Axes, row: ProfileRow, scale: Scale) -> None:
    turn, tint = _angle(row.value), style.colour(row.value)

    def ray(start: float, end: float) -> np.ndarray:
        return np.transpose([_at(turn, start), _at(turn, end)])

    radius = scale.radius
    axes.plot(*ray(HOLE, 1.0), color=style.GRID, lw=0.6, zorder=0)
    axes.plot(*ray(radius(0.0), radius(row.estimate)), color=tint, lw=5, alpha=0.35, solid_capstyle="butt")
    if math.isfinite(row.low) and math.isfinite(row.high):
        axes.plot(*ray(radius(row.low), radius(row.high)), color=tint, lw=1.8, zorder=3)
    mark, face = ("o", tint) if row.kind == "rating" else ("s", style.PAPER)
    axes.plot(
        *ray(radius(row.estimate), radius(row.estimate))[:, :1], mark, ms=6.5, mfc=face, mec=tint, mew=1.6, zorder=4
    )


def _name(axes: Axes, value: str, *, missing: bool) -> None:
    x, y = _at(_angle(value), 1.07)
    side = "center" if abs(x) < 0.2 else ("left" if x > 0 else "right")
    stand = "center" if abs(x) >= 0.2 else ("bottom" if y > 0 else "top")
    label = style.title(value) + (" (n/a)" if missing else "")
    axes.text(x, y, label, ha=side, va=stand, size=8.5, color=style.MUTED if missing else style.INK)
