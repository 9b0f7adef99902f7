"""The first lines of a vector's card: what it shows in a few sentences, each with its numbers, and what is missing."""

from __future__ import annotations

import math

from vprobe import damage
from vprobe.report import style
from vprobe.report.vector_words import significant as three
from vprobe.report.wording import chance, listing, share
from vprobe.types import DamageRow, ResponseRow, SpecificityRow, VectorCard


def lines(card: VectorCard) -> tuple[str, ...]:
    """Return one sentence per part that was measured, and one on what was not.

    Args:
        card: The card.
    """
    found = (_slope(card), _nulls(card), _specific(card), _cost(card), _transfer(card), _rung(card), _missing(card))
    return tuple(one for one in found if one)


def _slope(card: VectorCard) -> str:
    rows: tuple[ResponseRow, ...] = card.part("dose").rows("dose_response")
    row = next((r for r in rows if r.method.replace("_", "-") == card.direction.method.replace("_", "-")), None)
    if row is None or math.isnan(row.slope):
        return ""
    p = chance(row.trend_p)
    ordered = f"doses are in order (p {p})" if row.trend_p <= 0.05 else f"doses are not shown to be in order (p {p})"
    return (
        f"Ratings move {three(row.slope)} points per unit of strength in the way of an item's label (95 % "
        f"{three(row.low)} to {three(row.high)}, {row.n_items} items); {ordered}; {share(row.anti)} of the items go "
        f"against it (95 % {share(row.anti_low)} to {share(row.anti_high)})."
    )


def _nulls(card: VectorCard) -> str:
    facts = [fact for fact in card.facts if fact.part == "nulls"]
    arms = [fact for fact in facts if fact.name != "steered"]
    if not arms:
        return ""
    below = [fact.name for fact in arms if "does not exceed" not in fact.note]
    short = [fact.name for fact in arms if "does not exceed" in fact.note]
    told = f"its effect of {three(facts[0].value)} exceeds the 95th percentile of {listing(below)} vectors" if below \
        else f"its effect of {three(facts[0].value)} exceeds no null arm"  # fmt: skip
    return f"At the outermost doses {told}" + (f", not that of {listing(short)}." if short and below else ".")


def _specific(card: VectorCard) -> str:
    rows: tuple[SpecificityRow, ...] = card.part("specificity").rows("specificity")
    row = next((r for r in rows if r.kind == "unique"), None)
    if row is None or math.isnan(row.ratio):
        return ""
    return (
        f"Other values move by {share(row.ratio)} of what the target moves (95 % {share(row.low)} to "
        f"{share(row.high)}, labels told apart)."
    )


def _cost(card: VectorCard) -> str:
    rows: tuple[DamageRow, ...] = card.part("damage").rows("damage")
    if not rows:
        return "What it costs was not measured: no dose is known to be safe."
    out = []
    for one in damage.within_budget(rows):
        side = "towards it" if one.sign > 0 else "away from it"
        out.append(f"{side} {'none of those tried' if math.isnan(one.strength) else three(one.strength)}")
    return f"Largest dose inside the standard budget: {listing(out)} (unit: {rows[0].unit})."


def _transfer(card: VectorCard) -> str:
    rows = card.part("transfer").rows("transfer")
    told = [row for row in rows if row.predicted]
    if not told:
        return ""
    good = sorted({row.instrument for row in told if row.shown})
    return (
        f"Of {len({row.instrument for row in told})} instruments unused for fitting, it moves "
        f"{listing(good) if good else 'none'} as predicted and beyond its null."
    )


def _rung(card: VectorCard) -> str:
    return f"Claim ladder: {card.rung}."


def _missing(card: VectorCard) -> str:
    parts = [part.title.lower() for part in card.parts if part.missing]
    name = style.title(card.direction.value)
    return f"Not measured for {name}, in whole or part: {listing(parts)}." if parts else ""
