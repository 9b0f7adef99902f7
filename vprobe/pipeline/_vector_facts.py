"""What a vector's card says that stands in no table: doses read off, null arms summed up, effects at a cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vprobe import damage, effects, store
from vprobe.types import CardFact, CardPart, DamageRow, Direction, SaidRow, SearchRow, SitePick

NATS = 1.0
"""KL on neutral text at which a dose is named."""
SAID = "log-prob per token and SD of label"


def provenance(folder: Path, vector: Direction) -> tuple[CardFact, ...]:
    """Return how much was tried before the vector was chosen.

    Args:
        folder: A run.
        vector: The vector.
    """
    out = []
    if store.has(folder, "search"):
        rows = [row for row in store.load_rows(folder, "search", SearchRow) if row.value == vector.value]
        mine = [row for row in rows if row.method == vector.method]
        methods = len({row.method for row in rows})
        out.append(
            CardFact("provenance", "configurations tried", float(len(rows)), n=len(rows), unit="cells",
                     source="search", note=f"sites x penalties of {methods} methods; {len(mine)} of this method")
        )  # fmt: skip
    if store.has(folder, "picks"):
        picks = [row for row in store.load_rows(folder, "picks", SitePick)
                 if (row.value, row.method) == (vector.value, vector.method)]  # fmt: skip
        here = sum(row.site == str(vector.site) for row in picks)
        text = f"{here} of {len(picks)} inner choices"
        out.append(CardFact("provenance", "site picked", n=len(picks), text=text, source="picks"))
    return tuple(out)


def units(vector: Direction, parts: Sequence[CardPart]) -> tuple[CardFact, ...]:
    """Return what a strength of 1 is, and the doses that cost a nat on neutral text.

    Args:
        vector: The vector.
        parts: The card's parts; damage among them.
    """
    rows: tuple[DamageRow, ...] = _rows(parts, "damage")
    out = [CardFact("units", "median residual norm", vector.unit, unit="activation units", source="norms"),
           *_coefficients(vector, parts)]  # fmt: skip
    for sign, side in ((1, "towards"), (-1, "away from")):
        mine = [row for row in rows if row.strength * sign > 0]
        if not mine:
            continue
        most = max(mine, key=lambda row: abs(row.strength))
        found = damage.read_off([row.strength for row in mine], [row.kl for row in mine], NATS)
        note = f"read off between measured doses, in units of {most.unit}" if math.isfinite(found) else (
            f"not reached: the largest dose tried, {most.strength:g}, costs {most.kl:.3g} nats"
            if most.kl < NATS else f"the smallest dose tried costs more than {NATS:g} nat"
        )  # fmt: skip
        out.append(CardFact("units", f"dose at KL {NATS:g}, {side} it", found, n=most.n_texts, unit=most.unit,
                            source="damage", note=note))  # fmt: skip
    return tuple(out)


def _coefficients(vector: Direction, parts: Sequence[CardPart]) -> list[CardFact]:
    """Return what a strength of 1 puts in: one number where it adds residual norms, else what was measured with."""
    found = [("steering", row) for row in _rows(parts, "steering") if row.arm == "steered"]
    used = found or [("damage", row) for row in _rows(parts, "damage")]
    if not used or used[0][1].unit == "residual norm":
        return [CardFact("units", "coefficient per strength", vector.unit, unit="activation units", source="norms",
                         note="the vector has length 1; a strength of 1 adds this many of it")]  # fmt: skip
    out = []
    for sign, side in ((1, "towards"), (-1, "away from")):
        mine = [(table, row) for table, row in used if row.strength * sign > 0]
        if mine:
            table, row = mine[0]
            size, note = row.coefficient / row.strength, f"{row.operation}; a strength of {sign} is: {row.unit}"
            out.append(CardFact("units", f"coefficient per strength, {side} it", size, source=table, note=note))
    return out


def nulls(parts: Sequence[CardPart]) -> tuple[CardFact, ...]:
    """Sum up the null arms of what the model says, dose by dose: half the difference of a dose and its opposite.

    Args:
        parts: The card's parts.
    """
    own = [row for row in _rows(parts, "said") if row.arm == "steered"]
    drawn: tuple[SaidRow, ...] = next((part.rows("said") for part in parts if part.key == "nulls"), ())
    out = []
    for dose in sorted(
        {row.strength for row in own if row.strength > 0 and -row.strength in {r.strength for r in own}}
    ):
        mine = _half(own, (-dose, dose)).get(0, math.nan)
        for arm in dict.fromkeys(row.arm for row in drawn):
            null = np.array(list(_half([row for row in drawn if row.arm == arm], (-dose, dose)).values()))
            one = effects.against(null, mine)
            if math.isfinite(one.reach):
                reached = "goes beyond" if one.beyond else "does not go beyond"
                note = (
                    f"{arm} vectors: mean {one.mean:.3g}; it {reached} 95 % of them, {one.reach:.3g}; p = {one.p:.3g}"
                )
                out.append(CardFact("nulls", f"said at {dose:g} against {arm}", mine, n=len(null), unit=SAID,
                                    source="said", note=note))  # fmt: skip
    return tuple(out)


def _half(rows: Sequence[SaidRow], ends: tuple[float, float]) -> dict[int, float]:
    """Return per draw half the difference of the effects at two doses, draws with both."""
    found = {(row.draw, row.strength): row.effect for row in rows}
    draws = sorted({draw for draw, _ in found})
    return {d: (found[d, ends[1]] - found[d, ends[0]]) / 2 for d in draws if {(d, e) for e in ends} <= set(found)}


def at_cost(parts: Sequence[CardPart]) -> tuple[CardFact, ...]:
    """Return the effect of every dose with what it costs, where both were measured at the same doses.

    The effect is that on ratings, or on what the model says where it does not answer with the options.

    Args:
        parts: The card's parts.
    """
    cost: dict[float, DamageRow] = {round(row.coefficient, 9): row for row in _rows(parts, "damage")}
    rated = [row for row in _rows(parts, "steering") if row.arm == "steered" and row.option_mass >= damage.ANSWERS]
    said = [row for row in _rows(parts, "said") if row.arm == "steered"]
    unit, source = ("points per SD of label", "steering") if rated else (SAID, "said")
    out = []
    for row in sorted(rated or said, key=lambda r: r.strength):
        paid = cost.get(round(row.coefficient, 9))
        if paid is not None:
            out.append(
                CardFact("damage", f"effect at {row.strength:g}", row.effect, row.low, row.high, row.n_items, unit,
                         source=f"{source}, damage",
                         note=f"KL {paid.kl:.3g}, perplexity {paid.perplexity_ratio:.3g} times the base")
            )  # fmt: skip
    return tuple(out)


def budget(parts: Sequence[CardPart]) -> tuple[CardFact, ...]:
    """Return the largest dose inside the standard budget, either way.

    Args:
        parts: The card's parts.
    """
    rows: tuple[DamageRow, ...] = _rows(parts, "damage")
    out = []
    for one in damage.within_budget(rows):
        side = "towards" if one.sign > 0 else "away from"
        loose = "none" if math.isnan(one.without_ability) else f"{one.without_ability:g}"
        note = f"{one.tried} doses tried; leaving ability aside: {loose}"
        note += f"; the next breaks: {one.broken}" if one.broken else ""
        text = "none of those tried" if math.isnan(one.strength) else ""
        out.append(CardFact("damage", f"largest dose inside the budget, {side} it", one.strength, n=one.tried,
                            unit=rows[0].unit, text=text, source="damage", note=note))  # fmt: skip
    return tuple(out)


def _rows(parts: Sequence[CardPart], table: str) -> tuple:
    """Return the rows of a table from the first part that has any."""
    return next((part.rows(table) for part in parts if part.rows(table)), ())
