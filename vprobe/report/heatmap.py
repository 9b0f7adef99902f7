"""Layer by value heat map of the held-out agreement, with its null and its ceiling beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vprobe.report import style
from vprobe.report.tables import above_family
from vprobe.report.truth import NONE, SIGN, Truth
from vprobe.report.wording import many, share
from vprobe.types import Agreement, Site

NUMBERED = 12
"""With more layers than this the numbers would not fit into the cells."""


def draw(rows: Sequence[Agreement], truth: Truth = NONE) -> style.Drawing:
    """Draw one panel per method and point, one row per value, one column per layer.

    Args:
        rows: Item-level rows at fixed sites.
        truth: What was planted; the best reachable r of each value stands beside its ceiling.
    """
    values = style.in_order([row.value for row in rows])
    panels = list(dict.fromkeys((row.method, _point(row, rows)) for row in rows))
    limit = _limit(rows)
    with style.drawing():
        height = len(panels) * (0.26 * len(values) + 0.85) + 0.35
        figure = style.blank(height, apart=0.04)
        grid = figure.subplots(
            len(panels),
            2,
            squeeze=False,
            gridspec_kw={"width_ratios": (5.6, 1.4 if truth.knows("probe~label") else 1.0)},
        )
        mesh = None
        for (method, point), (cells, beside) in zip(panels, grid, strict=True):
            mine = [r for r in rows if r.method == method and _point(r, rows) == point]
            mesh = _cells(cells, mine, values, limit)
            cells.set_title(method if point == "resid_post" else f"{method}, {point}")
            _beside(beside, mine, values, truth)
        grid[-1][0].set_xlabel("layer (block index from 0)")
        _scale(figure, mesh, list(grid[:, 1]), height)
        alt = f"Heat map of held-out within-query correlation by layer for {many(len(values), 'value')}."
        return style.finish(figure, "heatmap", alt)


def _point(row: Agreement, rows: Sequence[Agreement]) -> str:
    """Name the panel of a row: what enters block 0 stands before the residual stream's layers, where there are any."""
    point = Site.parse(row.site).point
    streams = ("resid_post", "resid_pre", "resid_mid")
    if point == "embed":
        return next((s for s in streams if any(Site.parse(r.site).point == s for r in rows)), point)
    return point


def _column(row: Agreement) -> int:
    """Return the layer of a row, -1 for what enters block 0."""
    site = Site.parse(row.site)
    return -1 if site.point == "embed" else site.layer


def _limit(rows: Sequence[Agreement]) -> float:
    """Half the width of the colour scale: covers every estimate and null; at least .3, so that noise looks pale."""
    sizes = [abs(x) for row in rows for x in (row.estimate, row.null_high) if math.isfinite(x)]
    return max(0.3, math.ceil(max(sizes, default=0.1) * 20 - 1e-9) / 20)


def _cells(axes: Axes, rows: list[Agreement], values: tuple[str, ...], limit: float):
    layers = sorted({_column(row) for row in rows})
    grid = np.full((len(values), len(layers)), np.nan)
    for row in rows:
        grid[values.index(row.value), layers.index(_column(row))] = row.estimate
    norm = Normalize(-limit, limit)
    axes.set_facecolor("none")
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(grid), cmap=style.DIVERGING, norm=norm, edgecolors=style.PAPER, linewidth=0.6
    )
    for row in rows:
        x, y = layers.index(_column(row)), values.index(row.value)
        if above_family(row):
            axes.add_patch(Rectangle((x + 0.04, y + 0.06), 0.92, 0.88, fill=False, ec=style.ON_LIGHT, lw=1.5))
        if not math.isfinite(row.estimate):
            axes.add_patch(Rectangle((x, y), 1, 1, fill=False, ec=style.GRID, lw=0, hatch="////"))
        elif len(layers) <= NUMBERED:
            dark = abs(row.estimate) > 0.55 * limit
            weight = "bold" if above_family(row) else "normal"
            ink = style.ON_DARK if dark else style.ON_LIGHT
            axes.text(
                x + 0.5, y + 0.52, share(row.estimate), ha="center", va="center", size=8, color=ink, weight=weight
            )
    axes.set_ylim(len(values), 0)
    axes.set_yticks(np.arange(len(values)) + 0.5, [style.title(v) for v in values])
    step = max(1, math.ceil(len(layers) / 24))
    axes.set_xticks(np.arange(0, len(layers), step) + 0.5, ["embed" if n < 0 else str(n) for n in layers[::step]])
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    return mesh


def _beside(axes: Axes, rows: list[Agreement], values: tuple[str, ...], truth: Truth) -> None:
    """Write each value's ceiling, its truth and the null's upper quantile (its smallest and largest over layers)."""
    planted = truth.knows("probe~label")
    axes.set_xlim(0, 3 if planted else 2)
    axes.set_ylim(len(values), 0)
    axes.axis("off")
    axes.text(0.5, -0.25, "null 97.5 %", ha="center", va="bottom", size=8, color=style.MUTED)
    axes.text(1.6, -0.25, "ceiling", ha="center", va="bottom", size=8, color=style.MUTED)
    if planted:
        axes.text(2.5, -0.25, f"{SIGN} truth", ha="center", va="bottom", size=8, color=style.MUTED)
    for y, value in enumerate(values):
        mine = [row for row in rows if row.value == value]
        nulls = sorted(row.null_high for row in mine if math.isfinite(row.null_high))
        ceilings = {share(row.ceiling) for row in mine}
        low, high = (share(nulls[0]), share(nulls[-1])) if nulls else ("n/a", "n/a")
        text = low if low == high else f"{low}\N{EN DASH}{high}"
        axes.text(0.5, y + 0.52, text, ha="center", va="center", size=8)
        axes.text(1.6, y + 0.52, " / ".join(sorted(ceilings)) or "n/a", ha="center", va="center", size=8)
        if planted:
            best = share(truth.number("probe~label", value))
            axes.text(2.5, y + 0.52, best, ha="center", va="center", size=8)


def _scale(figure: Figure, mesh, axes: list[Axes], height: float) -> None:
    bar = figure.colorbar(mesh, ax=axes, fraction=0.12, aspect=min(30.0, height * 6), pad=0.02)
    bar.set_label("held-out within-query r")
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    if bar.solids is not None:
        bar.solids.set(rasterized=False, edgecolor="face")  # all vector: no picture inside the SVG
    bar.ax.tick_params(length=2)
    ticks = [t for t in bar.get_ticks() if abs(t) <= mesh.norm.vmax + 1e-9]
    bar.set_ticks(ticks, labels=[share(float(t)) if t else "0" for t in ticks])
