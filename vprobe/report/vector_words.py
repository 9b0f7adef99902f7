"""How the tables of a vector's card are laid out in text: which columns, in which order, under which heading."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vprobe.report import style
from vprobe.report.wording import MISSING, chance, interval, number, share
from vprobe.types import (
    AuditRow,
    CardFact,
    CardTable,
    DamageRow,
    DoseRow,
    EffectRow,
    NullRow,
    PromptRow,
    ResponseRow,
    SaidRow,
    SolvedRow,
    SpecificityRow,
    TransferRow,
)

Cells = tuple[str, tuple[str, ...], list[tuple[str, ...]]]
"""Caption, heads (a leading ">" sets a column flush right) and rows of one table."""
Layout = Callable[[Sequence[Any]], list[Cells]]


def significant(x: float) -> str:
    """Return a number with three significant digits, "n/a" where it does not exist."""
    return f"{x:.3g}".replace("-", "\N{MINUS SIGN}") if math.isfinite(x) else MISSING


def fact_rows(facts: Sequence[CardFact]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Lay out what was worked out from the tables: every number with its interval, n and unit.

    Args:
        facts: Of one part.
    """
    ends = any(math.isfinite(fact.low) for fact in facts)
    rows = [
        (fact.name, fact.text or significant(fact.value),
         *((_ends(fact.low, fact.high),) if ends else ()), str(fact.n) if fact.n else "", fact.unit, fact.note)
        for fact in facts
    ]  # fmt: skip
    return ("", ">figure", *((">95 %",) if ends else ()), ">n", "unit", "note"), rows


def cells(table: CardTable, layouts: Mapping[str, Layout]) -> list[Cells]:
    """Lay out a table: by its own layout where it has one, else every column that is not the same in all rows.

    Args:
        table: Rows of one table.
        layouts: Layouts by table name.
    """
    made = layouts.get(table.name)
    return made(table.rows) if made else [_any(table)]


def _any(table: CardTable) -> Cells:
    """Lay out rows nobody wrote a layout for; what is the same in all goes into the caption."""
    first = table.rows[0]
    names = [field.name for field in dataclasses.fields(first)]
    told: dict[str, list[str]] = {name: [_cell(getattr(row, name)) for row in table.rows] for name in names}
    alike = [name for name in names if len(table.rows) > 1 and len(dict.fromkeys(told[name])) == 1]
    shown = [name for name in names if name not in alike]
    units = dict(table.units)
    caption = "; ".join(f"{name.replace('_', ' ')}: {told[name][0]}" for name in alike if told[name][0])
    heads = tuple(
        (">" if isinstance(getattr(first, n), (int, float)) else "") + n.replace("_", " ")
        + (f" ({units[n]})" if units.get(n) and not units[n].startswith("see ") else "")
        for n in shown
    )  # fmt: skip
    return f"The same in all rows: {caption}." if caption else "", heads, list(zip(*(told[n] for n in shown)))


def _cell(x: Any) -> str:
    if isinstance(x, bool):
        return "yes" if x else "no"
    return significant(x) if isinstance(x, float) else str(x).replace("_", " ")


def _ends(low: float, high: float) -> str:
    return f"{significant(low)} to {significant(high)}" if math.isfinite(low) or math.isfinite(high) else MISSING


def _doses(rows: Sequence[DoseRow]) -> list[Cells]:
    heads = (">strength", ">coefficient", ">effect", ">95 %", ">mean shift", ">option mass", ">items", ">p")
    made = [
        (number(r.strength, 3), significant(r.coefficient), significant(r.effect), _ends(r.low, r.high),
         significant(r.mean_shift), share(r.option_mass, 3), str(r.n_items), chance(r.p))
        for r in sorted(rows, key=lambda r: r.strength) if r.arm == "steered"
    ]  # fmt: skip
    one = rows[0]
    caption = f"Sweep, {one.operation} at {one.site} on {one.positions} tokens. Effect: rating points per SD of the "
    return [(f"{caption}label; strength 1 is: {one.unit}.", heads, made)]


def _responses(rows: Sequence[ResponseRow]) -> list[Cells]:
    heads = ("vector", ">slope", ">95 %", ">items against", ">95 %", ">rho", ">monotonicity p", ">asymmetry",
             ">saturates at", ">yes-bias", ">items")  # fmt: skip
    made = [
        (r.method.replace("_", "-"), significant(r.slope), _ends(r.low, r.high), share(r.anti),
         interval(r.anti_low, r.anti_high), share(r.rho), chance(r.trend_p), significant(r.asymmetry),
         "nowhere tried" if math.isnan(r.saturation) else number(r.saturation, 3), significant(r.mean_shift),
         str(r.n_items))
        for r in rows
    ]  # fmt: skip
    return [("Slope per item in the way of its label, points per unit of strength; items against: anti-steerable.",
             heads, made)]  # fmt: skip


def _effects(rows: Sequence[EffectRow]) -> list[Cells]:
    heads = ("measured", ">effect", ">95 %", ">excess over labels", ">excess over people", ">leak, raw",
             ">over gain", ">over headroom", ">relative", ">items")  # fmt: skip
    out = []
    for method, kind in dict.fromkeys((r.method, r.kind) for r in rows if r.method == rows[0].method):
        mine = [r for r in rows if (r.method, r.kind) == (method, kind)]
        made = [
            (f"**{style.title(r.measured)}**" if r.measured == r.target else style.title(r.measured),
             significant(r.effect), _ends(r.low, r.high), significant(r.excess), significant(r.excess_human),
             significant(r.leak), significant(r.leak_gain), significant(r.leak_headroom),
             significant(r.leak_relative), str(r.n_items))
            for r in mine
        ]  # fmt: skip
        labels = "labels told apart" if kind == "unique" else "each label alone"
        out.append((f"Row of the effect matrix, {method.replace('_', '-')} vector, {labels}. Leak: rise in acceptance "
                    "of other values' items at the largest dose, as it is and in three normalisations. The rows of "
                    "the other method are in card.json.",
                    heads, made))  # fmt: skip
    return out


def _specificity(rows: Sequence[SpecificityRow]) -> list[Cells]:
    heads = ("vector", "labels", ">own", ">others", ">others / own", ">95 %", ">lift c", ">circle g",
             ">degrees off", ">leakage e", ">R2", ">items")  # fmt: skip
    made = [
        (r.method.replace("_", "-"), r.kind, significant(r.own), significant(r.others), share(r.ratio),
         interval(r.low, r.high), significant(r.uniform), significant(r.gain), number(r.displacement, 0),
         significant(r.leakage), share(r.r2), str(r.n_items))
        for r in rows
    ]  # fmt: skip
    caption = (
        "Effects on other values as a lift c, a gain g along the circle, and what is left e; degrees off and R2 are of "
        "a wave through the whole row."
    )
    return [(caption, heads, made)]


def _damage(rows: Sequence[DamageRow]) -> list[Cells]:
    rows = sorted(rows, key=lambda r: r.strength)
    one = rows[0]
    costs = [
        (number(r.strength, 3), significant(r.coefficient), significant(r.kl), _ends(r.kl_low, r.kl_high),
         share(r.perplexity_ratio, 3), share(r.accuracy_base, 3), share(r.accuracy, 3),
         interval(r.change_low, r.change_high, digits=3), chance(r.same_p), share(r.mass_ratio, 3),
         r.broken or "none")
        for r in rows
    ]  # fmt: skip
    heads = (">strength", ">coefficient", ">KL", ">95 %", ">perplexity ratio", ">right, base", ">right, steered",
             ">90 % of the change", ">p same (TOST)", ">option mass ratio", "limits broken")  # fmt: skip
    caption = (
        f"On {one.n_texts} neutral texts of {one.n_tokens} tokens, {one.n_questions} questions (margin "
        f"{one.margin:g}); strength 1 is: {one.unit}."
    )
    if one.n_questions and not one.chance_p <= 0.05:
        caption += " The base model only guesses the answers, so no loss of ability can show."
    texts = [
        (number(r.strength, 3), share(r.distinct_1), share(r.distinct_2), share(r.distinct_3), share(r.repetition),
         share(r.refused), share(r.refused_harmful))
        for r in rows
    ]  # fmt: skip
    base = ("base", share(one.distinct_1_base), share(one.distinct_2_base), share(one.distinct_3_base),
            share(one.repetition_base), share(one.refused_base), share(one.refused_harmful_base))  # fmt: skip
    written = (f"Greedy answers to {one.n_harmless} harmless requests; refusals also of {one.n_harmful} "
               "harmful-looking ones.")  # fmt: skip
    return [
        (caption, heads, costs),
        (written, (">strength", ">distinct 1", ">distinct 2", ">distinct 3", ">repetition", ">refused",
                   ">refused, harmful"), [base, *texts]),
    ]  # fmt: skip


def _solved(rows: Sequence[SolvedRow]) -> list[Cells]:
    heads = ("value", "role", ">dose of its vector", ">wanted", ">reached", ">95 %", ">miss", ">items")
    made = [
        (style.title(r.value), r.role, significant(r.strength), significant(r.wanted), significant(r.reached),
         _ends(r.low, r.high), significant(r.miss), str(r.n_items))
        for r in rows
    ]  # fmt: skip
    return [(f"Change in points per SD of label on items nothing was chosen on; KL {significant(rows[0].kl)} on "
             "neutral text.", heads, made)]  # fmt: skip


def _transfer(rows: Sequence[TransferRow]) -> list[Cells]:
    heads = ("instrument", "kind", "measure", "unit", "predicted", ">half change", ">95 %", ">p",
             ">shuffled labels, 95 %", ">null p", ">base", ">n", ">unscored", ">option mass", "shown",
             "note")  # fmt: skip
    made = [
        (r.instrument, r.kind.replace("_", "-") or "not asked", r.measure, r.unit,
         {1: "up", -1: "down"}.get(r.predicted, "nothing"), significant(r.estimate), _ends(r.low, r.high), chance(r.p),
         _ends(r.null_low, r.null_high), chance(r.null_p), significant(r.base), str(r.n), str(r.n_unscored),
         significant(r.option_mass), "yes" if r.shown else "no", r.note)
        for r in rows
    ]  # fmt: skip
    one = rows[0]
    caption = f"Half the change from strength {-one.strength:g} to {one.strength:g} ({one.dose}), on {one.positions} "
    caption += "tokens. Shown: a prediction made beforehand, gone that way, with p at most .05, beyond 95 % of "
    return [(f"{caption}{max(r.n_nulls for r in rows)} vectors of shuffled labels.", heads, made)]


def _said(rows: Sequence[SaidRow]) -> list[Cells]:
    heads = (">strength", ">coefficient", ">effect", ">95 %", ">p", ">queries against", ">95 %", ">mean shift",
             ">queries")  # fmt: skip
    made = [
        (number(r.strength, 3), significant(r.coefficient), significant(r.effect), _ends(r.low, r.high), chance(r.p),
         share(r.anti), interval(r.anti_low, r.anti_high), significant(r.mean_shift), str(r.n_queries))
        for r in sorted(rows, key=lambda r: r.strength)
    ]  # fmt: skip
    one = rows[0]
    return [(f"What the model would say itself, responses of {one.instrument}: change in log-prob per token and SD of "
             f"label within queries; strength 1 is: {one.dose}. No rating is asked.", heads, made)]  # fmt: skip


def _nulls(rows: Sequence[NullRow]) -> list[Cells]:
    heads = ("arm", ">draws", ">mean effect", ">SD", ">95 % reach to", ">largest", ">p", "the vector goes beyond",
             ">mean shift", ">items against")  # fmt: skip
    made = [
        (r.arm, str(r.n_draws), significant(r.mean), significant(r.sd), significant(r.reach), significant(r.largest),
         chance(r.p), "itself" if r.arm == "steered" else "yes" if r.beyond else "no", significant(r.mean_shift),
         share(r.anti))
        for r in rows
    ]  # fmt: skip
    return [("Ratings at the outermost doses, in the direction of the dose, points per SD of label; asked for by a "
             "prompt too.", heads, made)]  # fmt: skip


def _prompted(rows: Sequence[PromptRow]) -> list[Cells]:
    heads = ("asked by", ">prompts", ">their effect", ">95 %", ">effect of the vector", ">95 %", ">r over items",
             ">95 %", ">cosine with the prompted direction", ">95 % of random vectors", ">items")  # fmt: skip
    made = [
        (r.asked_by, str(r.n_prompts), significant(r.effect), _ends(r.low, r.high), significant(r.vector_effect),
         _ends(r.vector_low, r.vector_high), share(r.r), interval(r.r_low, r.r_high), share(r.cosine),
         share(r.cosine_null), str(r.n_items))
        for r in rows
    ]  # fmt: skip
    return [("Points per SD of label within queries, on the same items.", heads, made)]


def _audits(rows: Sequence[AuditRow]) -> list[Cells]:
    heads = ("audit", "arm", "measure", ">figure", ">95 %", "unit", "verdict", ">items", "note")
    made = [
        (r.audit, r.arm, r.measure, significant(r.estimate), _ends(r.low, r.high), r.unit, r.verdict, str(r.n_items),
         r.note)
        for r in rows
    ]  # fmt: skip
    return [("", heads, made)]


LAYOUTS: dict[str, Layout] = {
    "steering": _doses,
    "dose_response": _responses,
    "effects": _effects,
    "specificity": _specificity,
    "damage": _damage,
    "solved": _solved,
    "transfer": _transfer,
    "said": _said,
    "nulls": _nulls,
    "prompted": _prompted,
    "audits": _audits,
}
"""Tables with a layout of their own."""
