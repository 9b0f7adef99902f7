"""Map of the responses: neighbours have similar activations; a picture, not evidence."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from vprobe.report import style
from vprobe.types import MapPoint


def draw(points: Sequence[MapPoint]) -> style.Drawing:
    """Draw one dot per response in the colour of its strongest value, filled when the loading is positive.

    Args:
        points: Of one or several sites; a panel each.
    """
    sites = list(dict.fromkeys(point.site for point in points))
    values = style.in_order([point.value for point in points])
    abreast = min(2, len(sites))
    down = math.ceil(len(sites) / abreast)
    with style.drawing():
        figure = style.blank(5.2 * down if abreast == 1 else 3.9 * down)
        grid = figure.subplots(down, abreast, squeeze=False)
        places = [axes for line in grid for axes in line]
        for axes in places[len(sites) :]:
            axes.set_axis_off()
        for axes, site in zip(places, sites, strict=False):
            _panel(axes, [p for p in points if p.site == site])
            axes.set_title(site)
        first = [p for p in points if p.site == sites[0]]
        figure.legend(
            handles=_handles(first, values), loc="outside right upper", title="strongest value (n)", alignment="left"
        )
        return style.finish(figure, "map", f"Two-dimensional map of {len(first)} responses coloured by value.")


def _panel(axes: Axes, points: list[MapPoint]) -> None:
    for value in style.in_order([p.value for p in points]):
        tint, mark = style.colour(value), style.marker(value)
        for positive in (False, True):
            mine = [p for p in points if p.value == value and (p.loading > 0) is positive]
            if mine:
                face = tint if positive else "none"
                x, y = [p.x for p in mine], [p.y for p in mine]
                axes.scatter(x, y, s=22, marker=mark, facecolors=face, edgecolors=tint, linewidths=0.9, alpha=0.9)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("map coordinate 1 (no unit)")
    axes.set_ylabel("map coordinate 2 (no unit)")
    axes.set_aspect("equal", adjustable="datalim")


def _handles(points: list[MapPoint], values: tuple[str, ...]) -> list[Line2D]:
    out = []
    for value in values:
        n = sum(point.value == value for point in points)
        tint = style.colour(value)
        label = f"{style.title(value)} ({n})"
        out.append(Line2D([], [], lw=0, marker=style.marker(value), ms=5.5, mfc=tint, mec=tint, label=label))
    for face, label in ((style.INK, "filled: expresses it"), ("none", "hollow: speaks against it")):
        out.append(Line2D([], [], lw=0, marker="o", ms=5.5, mfc=face, mec=style.INK, label=label))
    return out
