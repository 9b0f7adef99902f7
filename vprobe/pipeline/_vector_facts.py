"""What a vector's card says that stands in no table: doses read off, null arms summed up, effects at a cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vprobe import damage, stats, store
from vprobe.types import CardFact, CardPart, DamageRow, Direction, DoseRow, SearchRow, SitePick

NATS = 1.0
"""KL on neutral text at which a dose is named."""
BEYOND = 0.95
"""Quantile of a null arm that an effect has to exceed."""


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
    out = [
        CardFact("units", "median residual norm", vector.unit, unit="activation units", source="norms"),
        CardFact("units", "coefficient per strength", vector.unit, unit="activation units", source="norms",
                 note="the vector has length 1; a strength of 1 adds this many of it"),
    ]  # fmt: skip
    rows: tuple[DamageRow, ...] = _rows(parts, "damage")
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


def nulls(parts: Sequence[CardPart]) -> tuple[CardFact, ...]:
    """Sum up every null arm: half the difference of the two outermost doses, beside the vector's own.

    Args:
        parts: The card's parts.
    """
    own = [row for row in _rows(parts, "steering") if row.arm == "steered"]
    drawn: tuple[DoseRow, ...] = next((part.rows("steering") for part in parts if part.key == "nulls"), ())
    both = sorted({row.strength for row in own})
    if len(both) < 2 or not drawn or not both[0] < 0 < both[-1]:
        return ()
    ends = (both[0], both[-1])
    mine = _half(own, ends).get(0, math.nan)
    out = [CardFact("nulls", "steered", mine, n=own[0].n_items, unit="points per SD of label", source="steering",
                    note=f"half the difference of doses {ends[1]:g} and {ends[0]:g}")]  # fmt: skip
    for arm in dict.fromkeys(row.arm for row in drawn):
        null = np.array(list(_half([row for row in drawn if row.arm == arm], ends).values()))
        null = null[np.isfinite(null)]
        if not len(null):
            continue
        p = float(stats.permutation_p(np.abs(np.array([mine])), np.abs(null)[:, None])[0])
        low, top, high = np.quantile(null, (0.025, BEYOND, 0.975))
        reached = "exceeds" if mine > top else "does not exceed"
        note = f"the vector {reached} its 95th percentile, {top:.3g}; p = {p:.3g}, either way"
        out.append(CardFact("nulls", arm, float(null.mean()), float(low), float(high), len(null),
                            "points per SD of label", source="steering", note=note))  # fmt: skip
    return tuple(out)


def _half(rows: Sequence[DoseRow], ends: tuple[float, float]) -> dict[int, float]:
    """Return per draw half the difference of the effects at two doses, draws with both."""
    found = {(row.draw, row.strength): row.effect for row in rows}
    draws = sorted({draw for draw, _ in found})
    return {d: (found[d, ends[1]] - found[d, ends[0]]) / 2 for d in draws if {(d, e) for e in ends} <= set(found)}


def at_cost(parts: Sequence[CardPart]) -> tuple[CardFact, ...]:
    """Return the effect of every dose with what it costs, where sweep and damage were measured at the same doses.

    Args:
        parts: The card's parts.
    """
    cost: dict[float, DamageRow] = {round(row.coefficient, 9): row for row in _rows(parts, "damage")}
    out = []
    for row in sorted((r for r in _rows(parts, "steering") if r.arm == "steered"), key=lambda r: r.strength):
        paid = cost.get(round(row.coefficient, 9))
        if paid is not None:
            out.append(
                CardFact("damage", f"effect at {row.strength:g}", row.effect, row.low, row.high, row.n_items,
                         "points per SD of label", source="steering, damage",
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
