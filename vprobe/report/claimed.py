"""What may be said: the claims of a run, those that stand and those that are refused, in words and as tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vprobe.report import style
from vprobe.report.grids import Grid
from vprobe.report.parts import REFUSED, STANDS, WORDS, Finding
from vprobe.report.tables import Tables
from vprobe.report.wording import MISSING, chance, interval, listing, many, number, share
from vprobe.types import Agreement, ClaimRow

SHOWN = 4
"""Most rows of figures under one finding; the tables hold all."""
REASONS = 2
"""Most refusals written out under one finding; the section holds all."""
MATCH = 1e-6
"""Estimates of a claim and of a row of `agreement` that differ by more than this are not the same estimate."""


@dataclass(frozen=True)
class Kind:
    """How one kind of claim is put into words.

    Args:
        name: As in the table.
        says: What it says when it stands.
        yes: The finding when it stands, with a place for the values unless it is about all at once.
        no: The finding when it is refused.
        caution: What it does not show.
    """

    name: str
    says: str
    yes: str
    no: str
    caution: str = ""


READ = "Decodable means that a linear probe can read it on queries it never saw, not that the model uses it."
KINDS = (
    Kind("decodable", "a probe reads the value's labels from activations, on queries it never saw", "Decodable: {}.",
         "Not shown to be decodable: {}.", READ),
    Kind("beyond text", "the probe tells more of the labels than words and length of the text do",
         "Read beyond words and length of the text: {}.", "Not shown beyond words and length of the text: {}."),
    Kind("unique", "the value's labels can be told apart from those of the other values",
         "Labels that can be told apart from the other values' labels: {}.",
         "Labels not shown to differ from the other values' labels: {}.", "This is about labels, not about the model."),
    Kind("ten dimensions", "labels and held-out scores share ten dimensions",
         "Labels and held-out scores share ten dimensions.", "Ten dimensions may not be claimed."),
    Kind("dimensions", "labels and held-out scores share as many dimensions as there are values",
         "Labels and held-out scores share as many dimensions as there are values.",
         "As many dimensions as values may not be claimed."),
    Kind("circle", "directions of single values, the other values held constant, lie on Schwartz's circle",
         "Directions of single values, the other values held constant, lie on Schwartz's circle.",
         "That the values lie on a circle may not be claimed."),
    Kind("agrees", "over conditions, what is read inside moves with what the model does",
         "Over conditions, what is read inside moves with what the model does.",
         "That what is read inside moves with what the model does, over conditions, may not be claimed."),
    Kind("causal", "adding the value's direction moves ratings with its labels, beyond both nulls",
         "Adding the value's direction moves the ratings with its labels: {}.", "Not shown to be causal: {}."),
)  # fmt: skip
CORRELATIONS = ("decodable", "beyond text", "circle", "agrees")
FACTS = (">estimate", ">95 % interval", ">null 95 %", ">family-wise p", ">alpha", ">permutations", ">ceiling", ">n")
BARE = tuple(name for name in FACTS if name not in (">95 % interval", ">null 95 %", ">ceiling"))


def _kinds(rows: Sequence[ClaimRow]) -> tuple[Kind, ...]:
    """Return the kinds there are, known ones first."""
    found = dict.fromkeys(row.claim for row in rows)
    known = tuple(kind for kind in KINDS if kind.name in found)
    others = [name for name in found if name not in [kind.name for kind in KINDS]]
    return (*known, *(Kind(name, name, f"{name.capitalize()}: {{}}.", f"Refused, {name}: {{}}.") for name in others))


def findings(tables: Tables) -> tuple[Finding, ...]:
    """Put claims into words: what is no more than the text first, then what else is read, then every other claim."""
    reads = [row for row in tables.claims if row.claim == "decodable"]
    out = _reading(reads, tables) if reads else []
    told = ("decodable", "beyond text") if reads else ()
    for kind in _kinds(tables.claims):
        if kind.name not in told:
            out.append(_of(kind, [row for row in tables.claims if row.claim == kind.name], tables))
    return tuple(out)


def _reading(reads: Sequence[ClaimRow], tables: Tables) -> list[Finding]:
    beyond = {row.value: row for row in tables.claims if row.claim == "beyond text"}
    stand = [row for row in reads if row.made]
    text = [beyond[row.value] for row in stand if row.value in beyond and not beyond[row.value].made]
    more = [row for row in stand if row.value in beyond and beyond[row.value].made]
    plain = [row for row in stand if row.value not in beyond]
    refused = [row for row in reads if not row.made]
    out = []
    if text:
        said = f"Decodable, but not shown beyond words and length of the text: {_names(text, reads)}."
        out.append(Finding(WORDS, said, _facts(text, tables), f"{_reasons(text)} So here nothing is shown that the "
                           "text alone does not show."))  # fmt: skip
    if more:
        said = f"Decodable, also beyond words and length of the text: {_names(more, reads)}."
        passed = [beyond[row.value] for row in more]
        far = f"Beyond words and length, r is {_range(passed, lambda row: row.estimate, estimate)}."
        out.append(Finding(STANDS, said, _facts(more, tables), f"{far} {READ}"))
    if plain:
        caution = f"Whether it is read beyond words and length of the text was not tested. {READ}"
        out.append(Finding(STANDS, f"Decodable: {_names(plain, reads)}.", _facts(plain, tables), caution))
    if refused:
        said = f"Not shown to be decodable: {_names(refused, reads)}."
        out.append(Finding(REFUSED, said, _facts(refused, tables), _reasons(refused)))
    return out


def _of(kind: Kind, rows: Sequence[ClaimRow], tables: Tables) -> Finding:
    made, refused = [row for row in rows if row.made], [row for row in rows if not row.made]
    verdict = f"{len(made)} of {len(rows)} stand" if made and refused else STANDS if made else REFUSED
    sentences = [form.format(_names(part, rows)) for form, part in ((kind.yes, made), (kind.no, refused)) if part]
    said = " ".join(part for part in (_reasons([*refused, *made]), kind.caution) if part)
    return Finding(verdict, " ".join(sentences), _facts([*refused, *made], tables), said)


def _names(rows: Sequence[ClaimRow], of: Sequence[ClaimRow]) -> str:
    """List the values of some rows, or say that they are all there are."""
    values = style.in_order([row.value for row in rows])
    if len(values) > 2 and set(values) == {row.value for row in of}:
        return f"all {len(values)} values"
    return listing([style.title(value) for value in values])


def _reasons(rows: Sequence[ClaimRow]) -> str:
    """Write out the first reasons in full, and say where the others are."""
    told = [row for row in rows if row.reason]
    several = len(told) > 1 or any(row.value != "all" for row in told)
    parts = [f"{style.title(row.value)}: {row.reason}." if several else f"Why: {row.reason}." for row in told[:REASONS]]
    if len(told) > REASONS:
        parts.append(f"{many(len(told) - REASONS, 'more reason')}: see What may be said.")
    return " ".join(parts)


def _beside(row: ClaimRow, tables: Tables) -> Agreement | None:
    """Return the row of `agreement` that holds the same estimate with its interval, own null and ceiling."""
    level, comparison = {"decodable": ("item", "probe~label"), "agrees": ("condition", "probe~behavior")}.get(
        row.claim, ("", "")
    )
    for one in tables.agreement:
        same = (one.level, one.comparison, one.value) == (level, comparison, row.value)
        if same and (one.site, one.method) == (row.site, row.method) and abs(one.estimate - row.estimate) < MATCH:
            return one
    return None


def _facts(rows: Sequence[ClaimRow], tables: Tables) -> Grid:
    """Lay out what some claims rest on, at most `SHOWN` of them."""
    pairs = [(row, _beside(row, tables)) for row in rows[:SHOWN]]
    wide = any(one for _, one in pairs)
    cells = []
    for row, one in pairs:
        ends = interval(one.low, one.high) if one else MISSING
        null = interval(one.null_low, one.null_high) if one else MISSING
        ceiling = share(one.ceiling) if one else MISSING
        tested = (chance(row.p), level(row), permutations(row))
        numbers = (ends, null, *tested, ceiling) if wide else tested
        who = f"{style.title(row.value)}, {row.method} at {row.site}"
        cells.append((who, estimate(row), *numbers, f"{row.n:,}"))
    statistics = listing(list(dict.fromkeys(row.statistic for row in rows)))
    more = (f"{many(len(rows) - SHOWN, 'more value')}: see What may be said",) if len(rows) > SHOWN else ()
    return Grid("", (statistics, *(FACTS if wide else BARE)), tuple(cells), more)


def estimate(row: ClaimRow) -> str:
    """Return the estimate of a claim as its statistic is written."""
    if row.claim in CORRELATIONS:
        return share(row.estimate)
    return number(row.estimate, 0 if "dimensions" in row.claim else 2)


def level(row: ClaimRow) -> str:
    """Return the level of a claim without its leading zero, "n/a" where it rests on no test."""
    return MISSING if math.isnan(row.p) else f"{row.alpha:g}".replace("0.", ".", 1)


def permutations(row: ClaimRow) -> str:
    """Return how many permutations are behind a claim."""
    return f"{row.draws:,}" if row.draws else "none"


def grids(rows: Sequence[ClaimRow]) -> tuple[Grid, ...]:
    """Lay out the claims: a line per kind, then every refusal with its reason, then all of them, folded."""
    refused = [row for row in rows if not row.made]
    none = () if refused else ("No claim is refused.",)
    notes = ("Estimate and p: smallest to largest over values, standing or refused; one number where there is one.",)
    head = (
        "claim", "stands for", ">estimate", ">family-wise p", ">alpha", ">permutations", ">n",
        "what it says where it stands (statistic)",
    )  # fmt: skip
    lines = tuple(_line(kind, [row for row in rows if row.claim == kind.name]) for kind in _kinds(rows))
    out = [Grid("Claims, by kind", head, lines, (*notes, *none))]
    if refused:
        head = ("claim", "value", ">estimate", ">family-wise p", ">n", "why it is refused")
        cells = tuple(
            (row.claim, style.title(row.value), estimate(row), chance(row.p), f"{row.n:,}", row.reason)
            for row in refused
        )
        out.append(Grid("Refused, and why", head, cells))
    return (*out, _all(rows))


def _line(kind: Kind, rows: Sequence[ClaimRow]) -> tuple[str, ...]:
    made = sum(row.made for row in rows)
    count = f"{made} of {many(len(rows), 'value')}"
    if all(row.value == "all" for row in rows):
        count = STANDS if made else REFUSED
    alphas, draws = (tuple(form(row) for row in rows) for form in (level, permutations))
    sizes, statistics = tuple(f"{row.n:,}" for row in rows), tuple(row.statistic for row in rows)
    return (
        kind.name, count, _range(rows, lambda row: row.estimate, estimate),
        _range(rows, lambda row: row.p, lambda row: chance(row.p)),
        *(listing(list(dict.fromkeys(part))) for part in (alphas, draws, sizes)),
        f"{kind.says} ({listing(list(dict.fromkeys(statistics)))})",
    )  # fmt: skip


def _range(rows: Sequence[ClaimRow], key: Callable[[ClaimRow], float], form: Callable[[ClaimRow], str]) -> str:
    real = sorted((row for row in rows if not math.isnan(key(row))), key=key)
    if not real:
        return MISSING
    low, high = form(real[0]), form(real[-1])
    return low if low == high else f"{low} to {high}"


def _all(rows: Sequence[ClaimRow]) -> Grid:
    cells = tuple(
        (row.claim, style.title(row.value), STANDS if row.made else REFUSED, estimate(row), chance(row.p),
         level(row), permutations(row), f"{row.n:,}", row.method, row.site, row.reason)
        for row in rows
    )  # fmt: skip
    head = (
        "claim",
        "value",
        "",
        ">estimate",
        ">family-wise p",
        ">alpha",
        ">permutations",
        ">n",
        "method",
        "site",
        "why not",
    )
    return Grid("Every claim", head, cells, folded=True)
