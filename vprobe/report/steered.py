"""What steering did: doses, null arms and the prompt baseline, and the audits of the effect."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vprobe.report import dose, grids, style
from vprobe.report.grids import Grid
from vprobe.report.parts import Panel, Section
from vprobe.report.tables import Tables
from vprobe.report.wording import chance, interval, number, share
from vprobe.types import AuditRow, NullRow, PromptRow

ARMS = {
    "steered": "the value's vector",
    "prompted": "asked for by prompts",
    "shuffled": "labels permuted through the whole fit",
    "random": "random, covariance-matched",
    "isotropic": "random, no direction favoured",
    "orthogonal": "random, cleared of all values' vectors",
    "other": "other values' vectors",
    "acquiescence": "what goes with high ratings, whatever is rated",
}
"""Arms in words."""
AUDITED = {"told": "vector of being asked", "steered": "the value's vector", "prompted": "asked for by prompts",
           "acquiescence": "acquiescence vector"}  # fmt: skip
UNIT = "points per SD of label"


def section(tables: Tables, planted: str, missing: tuple[str, ...]) -> Section:
    """Return the section on the dose-response.

    Args:
        tables: The run.
        planted: What the diamonds of the figure are, as the end of its caption.
        missing: Commands that would fill it.
    """
    kinds = list(dict.fromkeys(row.positions for row in tables.doses if row.arm == "steered"))
    units = dict.fromkeys(row.unit for row in tables.doses if row.arm == "steered")
    caption = (
        "Top: change of the ratings along the value's label; a real effect rises with strength and leaves the range of "
        "both null arms. Middle: mean shift of all ratings, a wish to say yes rather than a value. Bottom: total "
        "probability of the answer options; a fall means that the model is being damaged. "
        f"A strength of 1 is: {', '.join(units) or 'nothing'}."
    )
    panels = []
    for place, positions in enumerate(kinds):
        rows = [row for row in tables.doses if row.positions == positions]
        name = "dose" if place == 0 else f"dose-{place + 1}"
        panels.append(Panel(dose.draw(rows, name, tables.truth), f"Steered on {positions} tokens. {caption}{planted}"))
    beside = (
        *((nulls(tables.nulls),) if tables.nulls else ()),
        *((prompted(tables.prompted),) if tables.prompted else ()),
    )
    return Section(
        "steering",
        "Steering dose-response",
        "This shows what adding a value's direction to the model's activations did to its ratings. "
        "Vectors from shuffled labels and random vectors of the same size show what any push does; a prompt that asks "
        "for the value shows what asking does.",
        tuple(panels),
        (*((grids.doses(tables.doses),) if tables.doses else ()), *beside),
        "" if tables.doses else "No steering sweep is in this run yet.",
        () if tables.doses else missing,
    )


def nulls(rows: Sequence[NullRow]) -> Grid:
    """Lay out every arm of a sweep at its outermost doses."""
    cells = tuple(
        (
            style.title(row.value), ARMS.get(row.arm, row.arm), f"{row.n_draws:,}", number(row.mean, 3),
            number(row.sd, 3), number(row.reach, 3), number(row.largest, 3),
            "" if row.arm in ("steered", "prompted") else chance(row.p),
            "" if row.arm in ("steered", "prompted") else ("yes" if row.beyond else "no"),
            number(row.mean_shift, 3), share(row.anti, 2), f"{row.n_items:,}",
        )
        for row in rows
    )  # fmt: skip
    head = ("value", "arm", ">draws", ">effect, mean", ">SD", ">95 % of draws within", ">largest", ">p of the vector",
            ">vector beyond", ">mean shift", ">items against their label", ">items")  # fmt: skip
    notes = (
        f"Effects in {UNIT}, in the direction of the dose, at the largest dose either way. The claim that a vector "
        "moves ratings rests on the arm of permuted labels. p of one draw cannot be small.",
    )
    return Grid(
        "All arms: the vector, prompts, and vectors of the same length at the same site and tokens", head, cells, notes
    )


def prompted(rows: Sequence[PromptRow]) -> Grid:
    """Lay out prompts beside vectors."""
    cells = tuple(
        (
            "all values" if row.value == "all" else style.title(row.value), row.asked_by, f"{row.n_prompts:,}",
            number(row.effect, 3), interval(row.low, row.high, unit=True, digits=3), number(row.vector_effect, 3),
            interval(row.vector_low, row.vector_high, unit=True, digits=3), share(row.r, 2),
            interval(row.r_low, row.r_high), share(row.cosine, 2), share(row.cosine_null, 2),
            f"{row.n_items:,}", f"{row.n_unscored:,}",
        )
        for row in rows
    )  # fmt: skip
    head = ("value", "asked by", ">prompts", ">effect of asking", ">95 % interval", ">effect of the vector",
            ">95 % interval", ">r of the two", ">95 % interval", ">cosine", ">null 95 %", ">items",
            ">unscored")  # fmt: skip
    notes = (
        f"Effects in {UNIT}: asked for more of the value minus asked for less, halved, on the same items. r: over "
        "items within queries; for all values, over values, which are not independent. Cosine: vector with the "
        "direction from prompts against the value to prompts for it; null: random vectors with the covariance of "
        "activations.",
    )
    return Grid("Prompt baseline: the same value asked for in words", head, cells, notes)


def audits(rows: Sequence[AuditRow]) -> Section:
    """Return the section on the audits of a steering effect.

    Args:
        rows: Rows of the table `audits`.
    """
    cells = tuple(
        (
            style.title(row.value), AUDITED.get(row.arm, row.arm), row.audit, row.measure, number(row.estimate, 3),
            "" if math.isnan(row.low) else interval(row.low, row.high, unit=True, digits=3), row.unit, row.verdict,
            f"{row.n_items:,}", f"{row.n_unscored:,}", row.note,
        )
        for row in rows
    )  # fmt: skip
    head = ("value", "arm", "audit", "measure", ">figure", ">95 % interval", "unit", "verdict", ">items", ">unscored",
            "note")  # fmt: skip
    verdicts: dict[tuple[str, str, str], str] = {(row.value, row.arm, row.audit): row.verdict for row in rows}
    short = tuple(
        (style.title(value), AUDITED.get(arm, arm), audit, verdict) for (value, arm, audit), verdict in verdicts.items()
    )
    return Section(
        "audits",
        "Audits of steering",
        "This shows whether a steering effect is what it looks like. Options: asked with the list of answers turned "
        "round, an effect on the meaning stays and an effect on the place changes its sign. Reversed items: a value's "
        "effect changes its sign on items that speak against the value, a wish to say yes does not. Compliance: how "
        "much of the effect of a prompted vector is left without what all instructions share. The acquiescence vector "
        "stands beside them to show that the second audit catches it.",
        (),
        (Grid("Verdicts", ("value", "arm", "audit", "verdict"), short),
         Grid("Figures of the audits", head, cells, folded=True)),
    )  # fmt: skip
