"""Figures of a vector's card: dose-response, the row of the effect matrix, cost, transfer, and causal checks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from vprobe import damage, values
from vprobe.report import causal_figures as causal
from vprobe.report import dose, style
from vprobe.report.wording import many, number, tick
from vprobe.types import CardFact, DamageRow, DoseRow, EffectRow, SaidRow, SpecificityRow, TransferRow, VectorCard


def figures(card: VectorCard) -> tuple[style.Drawing, ...]:
    """Return the figures that a card's tables allow.

    Args:
        card: The card.
    """
    out = []
    swept: tuple[DoseRow, ...] = (*card.part("dose").rows("steering"), *card.part("nulls").rows("steering"))
    if any(row.arm == "steered" for row in swept):
        out.append(dose.draw([row for row in swept if row.arm != "baseline"], "dose"))
    said: tuple[SaidRow, ...] = (*card.part("dose").rows("said"), *card.part("nulls").rows("said"))
    if any(row.arm == "steered" for row in said):
        out.append(_said(card, said))
    effects: tuple[EffectRow, ...] = card.part("specificity").rows("effects")
    if effects:
        out.append(_specificity(card, effects))
    costs: tuple[DamageRow, ...] = card.part("damage").rows("damage")
    if costs:
        out.append(_damage(card, costs))
    moved: tuple[TransferRow, ...] = card.part("transfer").rows("transfer")
    if any(math.isfinite(row.estimate) for row in moved):
        out.append(_transfer(card, moved))
    for part, table, draw in (("causal", "ablations", causal.ablated), ("causal", "interchange", causal.exchanged),
                              ("positions", "positions", causal.placed)):  # fmt: skip
        if rows := card.part(part).rows(table):
            out.append(draw(rows, width=6.8))
    return tuple(out)


def _said(card: VectorCard, rows: Sequence[SaidRow]) -> style.Drawing:
    """Draw how far the model's own words move, over the reach of null vectors at every dose."""
    tint = style.colour(card.direction.value)
    own = sorted((row for row in rows if row.arm == "steered"), key=lambda row: row.strength)
    handles: list[Line2D | Patch] = [Line2D([], [], marker="o", ms=4, color=style.INK, label="steered, 95 % interval")]
    with style.drawing():
        figure = style.blank(3.6, 5.4)
        axes = figure.subplots()
        for arm in dict.fromkeys(row.arm for row in rows if row.arm != "steered"):
            handles.append(_null(axes, arm, [row for row in rows if row.arm == arm]))
        axes.axhline(0, color=style.MUTED, lw=0.8)
        axes.plot([row.strength for row in own], [row.effect for row in own], "-o", color=tint, ms=4.5, lw=1.5)
        axes.vlines([row.strength for row in own], [row.low for row in own], [row.high for row in own], color=tint)
        axes.set_title(f"{style.title(card.direction.value)} at {card.direction.site}", size=9)
        axes.set_xlabel(f"strength ({own[0].dose})")
        axes.set_ylabel("change in log-prob per token\nand SD of label")
        axes.xaxis.set_major_formatter(lambda value, _: tick(value))
        axes.grid(axis="y", color=style.GRID, lw=0.5)
        figure.legend(handles=handles, loc="outside lower center", ncols=1)
        alt = f"How far doses of the {style.title(card.direction.value)} vector move what the model would say itself."
        return style.finish(figure, "said", alt)


def _null(axes: Axes, arm: str, rows: Sequence[SaidRow]) -> Line2D | Patch:
    """Draw the middle 95 % of a null arm at every dose: shaded for shuffled labels, dashed edges for the others."""
    reach = [(0.0, 0.0, 0.0)]
    for strength in {row.strength for row in rows}:
        found = np.array([row.effect for row in rows if row.strength == strength and math.isfinite(row.effect)])
        if len(found):
            low_end, high_end = np.quantile(found, (0.025, 0.975))
            reach.append((strength, float(low_end), float(high_end)))
    x, low, high = ([one[part] for one in sorted(reach)] for part in range(3))
    told = f"middle 95 % of {len({row.draw for row in rows})} draws"
    if arm == "shuffled":
        axes.fill_between(x, low, high, color=style.BAND, alpha=0.42, lw=0)
        return Patch(fc=style.BAND, alpha=0.42, label=f"shuffled labels: {told}")
    for edge in (low, high):
        axes.plot(x, edge, color=style.MUTED, lw=0.9, ls=(0, (3, 2)))
    return Line2D([], [], color=style.MUTED, lw=0.9, ls=(0, (3, 2)), label=f"{arm} vectors: {told}")


def _transfer(card: VectorCard, rows: Sequence[TransferRow]) -> style.Drawing:
    """Draw one line per instrument, each on a scale of its own, over the reach of shuffled-label vectors."""
    rows = [row for row in rows if math.isfinite(row.estimate)]
    tint = style.colour(card.direction.value)
    with style.drawing():
        figure = style.blank(0.85 * len(rows) + 0.9, 7.6)
        for axes, row in zip(figure.subplots(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
            if row.n_nulls:
                axes.axvspan(row.null_low, row.null_high, color=style.BAND, alpha=0.42, lw=0)
            axes.axvline(0, color=style.MUTED, lw=0.8)
            if math.isfinite(row.low):
                axes.plot([row.low, row.high], [0, 0], color=tint, lw=2)
            face = tint if row.shown else style.PAPER
            axes.plot([row.estimate], [0], "o", ms=6.5, mfc=face, mec=tint, mew=1.5)
            axes.set_yticks([0], [row.instrument])
            axes.set_ylim(-1, 1)
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
            way = {1: "up", -1: "down"}.get(row.predicted, "nothing")
            told = f"{row.measure.partition(';')[0]} ({row.unit}); predicted: {way}"
            told += "; hardly answered, see the note" if row.note else ""
            axes.set_title(told, size=7.5, weight="normal")
            axes.xaxis.set_major_formatter(lambda value, _: tick(value))
            axes.margins(x=0.1)
        figure.legend(handles=_transfer_handles(), loc="outside lower center", ncols=3)
        alt = f"Half the change of {many(len(rows), 'instrument')} unused for fitting under the outermost doses."
        return style.finish(figure, "transfer", alt)


def _transfer_handles() -> list[Line2D | Patch]:
    dot = {"marker": "o", "ms": 6, "mec": style.INK, "mew": 1.4, "color": style.INK, "lw": 2}
    return [
        Line2D([], [], mfc=style.INK, label="shown: as predicted and beyond the null", **dot),
        Line2D([], [], mfc=style.PAPER, label="not shown; bar: 95 % interval", **dot),
        Patch(fc=style.BAND, alpha=0.42, label="shuffled labels, middle 95 %"),
    ]


def _specificity(card: VectorCard, rows: Sequence[EffectRow]) -> style.Drawing:
    """Draw the row of the effect matrix, the vector's own method filled, the other open, with the circle fit."""
    target = card.direction.value
    rows = [row for row in rows if row.kind == "unique"] or list(rows)
    measured = style.in_order([row.measured for row in rows])
    own = card.direction.method.replace("_", "-")
    methods = sorted(dict.fromkeys(row.method.replace("_", "-") for row in rows), key=lambda name: name != own)
    with style.drawing():
        figure = style.blank(0.36 * len(measured) + 1.5, 6.8)
        axes = figure.subplots()
        style.rows_axis(axes, measured)
        for label, name in zip(axes.get_yticklabels(), measured, strict=True):
            label.set_fontweight("bold" if name == target else "normal")
        axes.axvline(0, color=style.MUTED, lw=0.8)
        axes.axhspan(measured.index(target) - 0.5, measured.index(target) + 0.5, color=style.GRID, alpha=0.5, lw=0)
        for place, method in enumerate(methods):
            shift = -0.14 if place == 0 else 0.17
            for row in (one for one in rows if one.method.replace("_", "-") == method):
                _dot(axes, row, measured.index(row.measured) + shift, filled=place == 0)
        fit = _fit(card, measured)
        if fit:
            axes.plot(fit, range(len(measured)), "x", color=style.INK, ms=5, mew=1.2, zorder=5)
        axes.set_xlabel("effect, rating points per unit of strength and SD of label (labels told apart)")
        axes.grid(axis="x", color=style.GRID, lw=0.5)
        axes.set_axisbelow(True)
        figure.legend(handles=_specific_handles(methods, bool(fit)), loc="outside lower center", ncols=2)
        alt = f"Effects of steering {style.title(target)} on {many(len(measured), 'value')} with 95 % intervals."
        return style.finish(figure, "specificity", alt)


def _dot(axes: Axes, row: EffectRow, y: float, *, filled: bool) -> None:
    tint = style.colour(row.measured)
    if not math.isfinite(row.effect):
        axes.text(0, y, " n/a", va="center", size=8, color=style.MUTED)
        return
    if math.isfinite(row.low):
        axes.plot([row.low, row.high], [y, y], color=tint, lw=1.8 if filled else 1.0, zorder=3)
    face = tint if filled else style.PAPER
    axes.plot([row.effect], [y], "o" if filled else "s", ms=5.5, mfc=face, mec=tint, mew=1.3, zorder=4)


def _fit(card: VectorCard, measured: Sequence[str]) -> list[float]:
    """Return c + g cos(theta - own angle) of the vector's own row; nothing where it was not fitted."""
    found: tuple[SpecificityRow, ...] = card.part("specificity").rows("specificity")
    own = card.direction.method.replace("_", "-")
    row = next((r for r in found if r.kind == "unique" and r.method.replace("_", "-") == own), None)
    if row is None or not math.isfinite(row.gain) or not all(one in values.SCHWARTZ for one in measured):
        return []
    turn = {one: math.radians(values.angle(one) - values.angle(card.direction.value)) for one in measured}
    return [row.uniform + row.gain * math.cos(turn[one]) for one in measured]


def _specific_handles(methods: Sequence[str], fit: bool) -> list[Line2D | Patch]:
    dot = {"color": style.INK, "mec": style.INK, "lw": 1.6}
    out: list[Line2D | Patch] = [Line2D([], [], marker="o", mfc=style.INK, label=f"{methods[0]}, 95 % interval", **dot)]
    out += [Line2D([], [], marker="s", mfc=style.PAPER, label=f"{one}, beside it", **dot) for one in methods[1:]]
    out += [Line2D([], [], marker="x", lw=0, color=style.INK, mew=1.2, label="lift and circle alone")] if fit else []
    return [*out, Patch(fc=style.GRID, alpha=0.5, label="the value steered")]


def _damage(card: VectorCard, rows: Sequence[DamageRow]) -> style.Drawing:
    """Draw KL, perplexity and effect at a cost, with the limits of the standard budget."""
    rows = sorted(rows, key=lambda row: row.strength)
    points = [fact for fact in card.facts if fact.part == "damage" and fact.name.startswith("effect at")]
    paid = {f"effect at {row.strength:g}": row.kl for row in rows}
    points = [fact for fact in points if fact.name in paid and math.isfinite(fact.value)]
    tint = style.colour(card.direction.value)
    with style.drawing():
        figure = style.blank(3.1, 3.3 * (2 + bool(points)))
        panels = figure.subplots(1, 2 + bool(points), squeeze=False)[0]
        x = [row.strength for row in rows]
        title = "KL on neutral text (nats per token)"
        _cost(panels[0], x, [row.kl for row in rows], tint, title, damage.BUDGET.kl, none=0.0)
        ends = np.array([[row.kl - row.kl_low, row.kl_high - row.kl] for row in rows]).T.clip(min=0)
        panels[0].errorbar(x, [row.kl for row in rows], ends, fmt="none", ecolor=tint, lw=1.2)
        most = damage.BUDGET.perplexity_ratio
        ratios = [row.perplexity_ratio for row in rows]
        _cost(panels[1], x, ratios, tint, "perplexity, steered over base", most, none=1.0)
        for axes in panels[:2]:
            axes.set_xlabel(f"strength ({rows[0].unit})")
        if points:
            _iso(panels[2], points, paid, tint)
        handles = [
            Line2D([], [], marker="o", ms=4, color=style.INK, label="dose measured, 95 % interval where there is one"),
            Line2D([], [], marker="v", ms=4, color=style.INK, label="dose away from the value (right panel)"),
            Line2D([], [], color=style.INK, ls="--", lw=1.0, label="limit of the standard budget"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
        alt = f"What doses of the {style.title(card.direction.value)} vector cost, and the effect at each cost."
        return style.finish(figure, "damage", alt)


def _cost(
    axes: Axes, x: Sequence[float], y: Sequence[float], tint: str, label: str, limit: float, *, none: float
) -> None:
    """Draw one cost over the doses; no dose costs `none`, so that the line goes through it."""
    line = sorted([*zip(x, y, strict=True), (0.0, none)])
    axes.plot([at for at, _ in line], [cost for _, cost in line], "-", color=tint, lw=1.4)
    axes.plot(x, y, "o", color=tint, ms=4)
    known = [one for one in y if math.isfinite(one)]
    if known and limit <= 1.6 * max(known):
        axes.axhline(limit, color=style.INK, ls="--", lw=1.0)
    elif known:
        axes.text(0.03, 0.97, f"limit: {limit:g}, above this panel", transform=axes.transAxes, size=7.5, va="top",
                  color=style.MUTED)  # fmt: skip
    axes.set_title(label, size=8.5)
    axes.margins(y=0.18)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(lambda value, _: tick(value))
    axes.yaxis.set_major_formatter(lambda value, _: tick(value))
    axes.grid(axis="y", color=style.GRID, lw=0.5)


def _iso(axes: Axes, points: Sequence[CardFact], paid: dict[str, float], tint: str) -> None:
    """Draw the effect over what it costs, doses towards the value as circles, away from it as triangles."""
    for sign, marker in ((1, "o"), (-1, "v")):
        mine = [one for one in points if float(one.name.removeprefix("effect at ")) * sign > 0]
        mine.sort(key=lambda one: paid[one.name])
        x = [paid[one.name] for one in mine]
        axes.plot(x, [one.value for one in mine], "-" + marker, color=tint, ms=4.5, lw=1.2)
        axes.vlines(x, [one.low for one in mine], [one.high for one in mine], color=tint, lw=1.1)
        for one, at in zip(mine, x, strict=True):
            text = number(float(one.name.removeprefix("effect at ")), 2)
            axes.annotate(text, (at, one.value), xytext=(5, 3), textcoords="offset points", size=7, color=style.INK)
    axes.axhline(0, color=style.MUTED, lw=0.8)
    unit = "points" if points[0].unit.startswith("points") else "log-prob per token"
    axes.set_title(f"effect ({unit} per SD) over cost", size=8.5)
    axes.set_xlabel("KL on neutral text (nats per token)")
    positive = [paid[one.name] for one in points if paid[one.name] > 0]
    if positive and max(positive) > 20 * min(positive):
        axes.set_xscale("log")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(lambda value, _: tick(value))
    axes.margins(x=0.16)
    axes.grid(axis="y", color=style.GRID, lw=0.5)
