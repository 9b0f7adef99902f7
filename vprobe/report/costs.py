"""What steering costs: the section on damage, and the dose up to which it stays within the budget."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vprobe import damage
from vprobe.report import style
from vprobe.report.grids import Grid
from vprobe.report.parts import Section
from vprobe.report.wording import interval, number, share
from vprobe.types import DamageRow


def section(rows: Sequence[DamageRow]) -> Section:
    """Return the section on damage.

    Args:
        rows: Rows of the table `damage`.
    """
    limits = damage.BUDGET
    one = rows[0]
    reads = (
        "This shows what each dose did to what it should leave alone: the next token of neutral text, right answers to "
        "questions, the probability of the options shown, and how varied and how willing the texts are. "
        f"The budget: KL at most {limits.kl:g} nat per token, perplexity at most {limits.perplexity_ratio:g} times the "
        f"base, at most {limits.drop:g} of the answers lost and the change shown to lie within {limits.margin:g}, "
        f"option mass at least {limits.mass_ratio:g} of the base. A limit that could not be measured is not kept."
    )
    note = f"A strength of 1 is: {one.unit}. n: {one.n_texts} neutral texts of {one.n_tokens:,} tokens, "
    note += f"{one.n_questions} questions, {one.n_harmless} harmless and {one.n_harmful} harmful-looking requests."
    if one.chance_p > damage.LEVEL:
        note += " The base model answers the questions no better than by guessing, so no loss of ability can show."
    if one.option_mass < damage.ANSWERS:
        note += f" Base option mass {share(one.option_mass)}: the model does not answer with the options at all."
    return Section(
        "damage", "What steering costs", reads, (), (_budget(rows), _costs(rows), _texts(rows)), footnote=note
    )


def _budget(rows: Sequence[DamageRow]) -> Grid:
    cells = tuple(
        (
            style.title(one.value),
            "towards" if one.sign > 0 else "away from",
            _dose(one.strength),
            _dose(one.without_ability),
            one.broken or "nothing tried",
            str(one.tried),
        )
        for one in damage.within_budget(rows)
    )
    head = ("value", "steered", ">largest dose kept", ">leaving ability aside", "the next breaks", ">doses tried")
    return Grid("Largest dose inside the budget, together with all smaller ones", head, cells)


def _dose(strength: float) -> str:
    return "none" if math.isnan(strength) else number(strength, 3)


def _costs(rows: Sequence[DamageRow]) -> Grid:
    cells = tuple(
        (
            style.title(row.value), number(row.strength, 3), number(row.coefficient, 3), share(row.kl, 3),
            interval(row.kl_low, row.kl_high), share(row.perplexity_ratio, 3), share(row.accuracy_base, 3),
            share(row.accuracy, 3), interval(row.change_low, row.change_high), share(row.same_p, 3),
            share(row.mass_ratio, 3), row.broken or "none",
        )
        for row in rows
    )  # fmt: skip
    head = ("value", ">strength", ">size", ">KL", ">95 % interval", ">perplexity ratio", ">accuracy, base",
            ">accuracy, steered", ">90 % of the change", ">p of being the same", ">option mass ratio",
            "limits broken")  # fmt: skip
    return Grid("What each dose costs", head, cells)


def _texts(rows: Sequence[DamageRow]) -> Grid:
    cells = tuple(
        (
            style.title(row.value), number(row.strength, 3), share(row.distinct_2_base), share(row.distinct_2),
            share(row.repetition_base), share(row.repetition), share(row.refused_base), share(row.refused),
            share(row.refused_harmful_base), share(row.refused_harmful),
        )
        for row in rows
    )  # fmt: skip
    head = ("value", ">strength", ">distinct pairs, base", ">steered", ">repetition, base", ">steered",
            ">refused, base", ">steered", ">refused of harmful, base", ">steered")  # fmt: skip
    notes = ("Refusals are counted by a list of English phrases; compare steered with base, not with other models.",)
    return Grid("Greedy texts", head, cells, notes)
