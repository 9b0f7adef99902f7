"""The first lines of a vector's card: what it shows in a few sentences, each with its numbers, and what is missing."""

from __future__ import annotations

import math

from vprobe import damage
from vprobe.report import style
from vprobe.report.vector_words import significant as three
from vprobe.report.wording import chance, listing, share
from vprobe.types import AblationRow, DamageRow, DoseRow, NullRow, ResponseRow, SaidRow, SpecificityRow, VectorCard


def lines(card: VectorCard) -> tuple[str, ...]:
    """Return one sentence per part that was measured, and one on what was not.

    Args:
        card: The card.
    """
    found = (
        _mute(card),
        _words(card),
        _slope(card),
        _nulls(card),
        _taken(card),
        _specific(card),
        _cost(card),
        _transfer(card),
        _rung(card),
        _missing(card),
    )
    return tuple(one for one in found if one)


def _mute(card: VectorCard) -> str:
    """Return a warning where the model does not answer rating questions at all; empty elsewhere."""
    rows: tuple[DoseRow, ...] = card.part("dose").rows("steering")
    mass = min((row.option_mass for row in rows), default=math.nan)
    if not mass < damage.ANSWERS:
        return ""
    return (
        f"The model does not answer rating questions with their options (mass {three(mass)}): whatever stands below of "
        "its ratings, claims among them, means nothing."
    )


def _words(card: VectorCard) -> str:
    rows: tuple[SaidRow, ...] = card.part("dose").rows("said")
    if not rows:
        return ""
    ends = sorted(rows, key=lambda row: row.strength)
    low, high = ends[0], ends[-1]
    facts = [fact for fact in card.facts if fact.part == "nulls" and fact.source == "said"]
    beyond = sum("it goes beyond" in fact.note for fact in facts)
    told = ""
    if facts:
        each = min(fact.n for fact in facts)
        told = f"; it goes beyond 95 % of {each} null vectors a kind in {beyond} of {len(facts)} comparisons"
    return (
        f"What it would say itself moves by {three(low.effect)} at {three(low.strength)} and {three(high.effect)} at "
        f"{three(high.strength)} (log-prob per token and SD of label, {high.n_queries} queries){told}."
    )


def _slope(card: VectorCard) -> str:
    if _mute(card):
        return ""
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
    rows: tuple[NullRow, ...] = card.part("nulls").rows("nulls")
    arms = [row for row in rows if row.arm not in ("steered", "prompted") and row.n_draws > 1]
    if not arms or _mute(card):
        return ""
    below, short = ([f"{row.n_draws} {row.arm}" for row in arms if bool(row.beyond) == made] for made in (True, False))
    told = f"goes beyond 95 % of {listing(below)} vectors" if below else f"goes not beyond {listing(short)} vectors"
    asked = next((row for row in rows if row.arm == "prompted"), None)
    prompt = f" Asking in words moves them by {three(asked.mean)}." if asked else ""
    return (
        f"At the outermost doses its effect of {three(arms[0].steered)} points per SD of label {told}"
        + (f", not of {listing(short)}." if short and below else ".") + prompt
    )  # fmt: skip


def _taken(card: VectorCard) -> str:
    rows: tuple[AblationRow, ...] = card.part("causal").rows("ablations")
    row = rows[0] if rows else None
    if row is None or math.isnan(row.removed) or _mute(card):
        return ""
    return (
        f"Taken out, {share(row.removed)} of what ratings owe to the value is gone (95 % {share(row.low)} to "
        f"{share(row.high)}, {row.n_items} items under {row.n_conditions} personas); null vectors take up to "
        f"{share(row.reach)}."
    )


def _specific(card: VectorCard) -> str:
    rows: tuple[SpecificityRow, ...] = card.part("specificity").rows("specificity")
    row = next((r for r in rows if r.kind == "unique"), None)
    if row is None or math.isnan(row.ratio) or _mute(card):
        return ""
    others = len({r.measured for r in card.part("specificity").rows("effects") if r.kind == row.kind}) - 1
    return (
        f"Other values ({others}) move by {share(row.ratio)} of what the target moves (95 % {share(row.low)} to "
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
