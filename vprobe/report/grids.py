"""The tables of the page: what stands in each cell, as text."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

from vprobe.report import style
from vprobe.report.tables import NESTED, Tables, Use, usage
from vprobe.report.wording import MISSING, chance, interval, number, setting, share, short
from vprobe.types import Agreement, DoseRow, ProfileRow, RunInfo

ENDS = 2
"""Responses shown at either end of a value's probe scores."""


@dataclass(frozen=True)
class Grid:
    """One table of the page.

    Args:
        caption: What it holds.
        head: Column titles; a leading ">" sets the column flush right.
        rows: Cells as text.
        notes: Lines under the table.
        folded: True when it is closed until clicked.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    folded: bool = False


NUMBERS = (
    ">estimate", ">95 % interval", ">null mean", ">null 95 %", ">p", ">family-wise p", ">ceiling", ">scored",
    ">unscored", ">queries", "note",
)  # fmt: skip


def agreement(rows: Sequence[Agreement], caption: str, *, folded: bool = False) -> Grid:
    """Lay out agreement rows with every column.

    What is the same in all rows (statistic, site, method) goes into the caption; equal notes share one letter.

    Args:
        rows: Of one level and comparison.
        caption: What they are.
        folded: True for a table that is closed until clicked.
    """
    notes = list(dict.fromkeys(row.note for row in rows if row.note))
    order = style.in_order([row.value for row in rows])
    told = [name for name in ("statistic", "site", "method") if len({getattr(row, name) for row in rows}) == 1]
    facts = [f"{name} {getattr(rows[0], name)}" for name in told if getattr(rows[0], name)]
    shown = [name for name in ("method", "site", "statistic") if name not in told]
    cells = []
    for row in sorted(rows, key=lambda row: order.index(row.value)):
        cells.append((
            style.title(row.value),
            *(getattr(row, name) or "\N{EN DASH}" for name in shown),
            share(row.estimate, 3),
            interval3(row.low, row.high),
            share(row.null_mean, 3),
            interval3(row.null_low, row.null_high),
            chance(row.p),
            chance(row.p_family),
            share(row.ceiling),
            f"{row.n_scored:,}",
            f"{row.n_unscored:,}",
            f"{row.n_groups:,}",
            letter(notes.index(row.note)) if row.note else "",
        ))  # fmt: skip
    keys = tuple(f"{letter(i)}: {note}" for i, note in enumerate(notes))
    return Grid("; ".join((caption, *facts)), ("value", *shown, *NUMBERS), tuple(cells), keys, folded)


def span(numbers: Sequence[float]) -> str:
    """Return the smallest and largest of some draws and how many there are, "none" for no draw."""
    if not numbers:
        return "none"
    return f"{number(min(numbers))} to {number(max(numbers))} ({len(numbers)})"


def headline(tables: Tables, comparison: str) -> tuple[Agreement, ...]:
    """Return the item-level rows a claim rests on: nested ones where a probe is involved, all where none is."""
    return tables.rows(comparison, nested=True if comparison.startswith("probe") else None)


def agreements(tables: Tables, named: Sequence[tuple[str, str]]) -> tuple[Grid, ...]:
    """Lay out every row of the table: what claims rest on, other comparisons, profile level, then every site, folded.

    Args:
        tables: The run.
        named: (comparison, words for it) in the order wanted.
    """
    out, known = [], dict(named)
    for comparison, words in named:
        out.append((headline(tables, comparison), f"Item level, {comparison}: {words}", False))
    elsewhere = ("condition",) if tables.conditions else ()
    for level in dict.fromkeys(("item", *(row.level for row in tables.agreement if row.level not in elsewhere))):
        rows = [
            row for row in tables.agreement if row.level == level and (level != "item" or row.comparison not in known)
        ]
        for comparison in dict.fromkeys(row.comparison for row in rows):
            mine = [row for row in rows if row.comparison == comparison]
            out.append((mine, f"{level.capitalize()} level, {comparison}", False))
    for comparison, _ in named:
        if comparison.startswith("probe"):
            out.append((tables.rows(comparison, nested=False), f"Item level, {comparison}, every site", True))
    return tuple(agreement(rows, caption, folded=folded) for rows, caption, folded in out if rows)


def letter(place: int) -> str:
    """Return a, b, ... z, aa, ab, ... for 0, 1, ..."""
    first, last = divmod(place, 26)
    return (letter(first - 1) if first else "") + string.ascii_lowercase[last]


def interval3(low: float, high: float) -> str:
    """Return an interval of correlations to three decimals."""
    return interval(low, high, digits=3)


def profile(rows: Sequence[ProfileRow]) -> Grid:
    """Lay out the value profile."""
    order = style.in_order([row.value for row in rows])
    cells = tuple(
        (
            style.title(row.value),
            row.kind,
            number(row.estimate, 3),
            interval(row.low, row.high, unit=True, digits=3),
            f"{row.n_items:,}",
            f"{row.n_unscored:,}",
            row.unit,
        )
        for row in sorted(rows, key=lambda row: (order.index(row.value), row.kind != "rating"))
    )
    head = ("value", "keyed by", ">slope", ">95 % interval", ">items", ">unscored", "unit")
    return Grid("Value profile", head, cells, folded=True)


def doses(rows: Sequence[DoseRow]) -> Grid:
    """Lay out the steered arm and the prompts that ask for the same; the null draws are in the CSV copy."""
    order = style.in_order([row.value for row in rows])
    shown = [row for row in rows if row.arm in ("steered", "prompted")]
    steered = sorted(shown, key=lambda r: (order.index(r.value), r.arm != "steered", r.site, r.strength))
    cells = tuple(
        (
            style.title(row.value),
            row.site or row.unit,
            row.positions or row.of,
            number(row.strength, 3),
            number(row.coefficient, 3),
            number(row.effect, 3),
            interval(row.low, row.high, unit=True, digits=3),
            number(row.mean_shift, 3),
            share(row.option_mass, 3),
            f"{row.n_items:,}",
            f"{row.n_unscored:,}",
        )
        for row in steered
    )
    head = (
        "value",
        "site",
        "tokens, or prompt",
        ">strength",
        ">coefficient",
        ">effect",
        ">95 % interval",
        ">mean shift",
        ">option mass",
    )
    notes = ("Null draws: every one is a row of tables/steering.csv.",)
    return Grid(
        "Steered and asked for by prompts, every dose", (*head, ">items", ">unscored"), cells, notes, folded=True
    )


def ends(tables: Tables) -> tuple[Grid, ...]:
    """Lay out the responses with the highest and lowest held-out probe scores of each value, for the first method."""
    texts = {item.id: item for item in tables.items}
    rows = [
        r for r in tables.scores if r.kind == "probe" and r.site == NESTED and r.score == r.score and r.item_id in texts
    ]
    if not rows:
        return ()
    method = rows[0].method
    cells = []
    for value in style.in_order([row.value for row in rows]):
        mine = sorted((r for r in rows if r.value == value and r.method == method), key=lambda r: (-r.score, r.item_id))
        chosen = mine if len(mine) <= 2 * ENDS else [*mine[:ENDS], *mine[-ENDS:]]
        for row in chosen:
            item = texts[row.item_id]
            cells.append((style.title(value), number(row.score), item.source, short(item.response)))
    caption = f"Responses with the highest and lowest held-out scores ({method}): what the probe sorts by, not evidence"
    return (Grid(caption, ("value", ">probe score", "source", "response"), tuple(cells), folded=True),)


def use(tables: Tables) -> Grid:
    """Lay out how many items each stage used and skipped, by source, with a line for all of them."""
    rows = usage(tables)
    if len(rows) > 1:
        known = (
            None if any(n is None for n in c) else sum(c)
            for c in zip(*((u.recorded, u.rated) for u in rows), strict=True)
        )
        rows = (*rows, Use("all", sum(u.items for u in rows), *known))
    cells = tuple((u.source, f"{u.items:,}", *_used(u.recorded, u.items), *_used(u.rated, u.items)) for u in rows)
    head = ("source", ">items", ">read", ">not read", ">rated", ">not rated")
    return Grid("Items used and skipped, by source", head, cells)


def _used(n: int | None, of: int) -> tuple[str, str]:
    return (MISSING, MISSING) if n is None else (f"{n:,}", f"{of - n:,}")


def counts(info: RunInfo) -> Grid:
    """Lay out why samples were left out, by stage, reason and source."""
    cells = tuple((c.stage, c.reason, c.source, f"{c.n:,}", f"{c.of:,}") for c in info.counts)
    return Grid("Left out, by stage, reason and source", ("stage", "reason", "source", ">left out", ">of"), cells)


def provenance(tables: Tables) -> tuple[Grid, ...]:
    """Lay out what the run was made with."""
    info, data = tables.info, tables.data
    model = info.model
    of_model = () if model is None else tuple((name.replace("_", " "), setting(x)) for name, x in vars(model).items())
    hashes = tuple((name, f"SHA-256 {sha}") for name, sha in info.data)
    about = () if data is None else (("labels", data.labels), ("licence", data.licence), ("citation", data.citation))
    code = (("vprobe", info.vprobe), ("commit", info.commit or "outside a checkout"), ("seed", str(info.seed)))
    return (
        Grid("Model", ("", ""), of_model or (("model", "none was used yet"),)),
        Grid("Code and seed", ("", ""), (*code, *info.versions)),
        Grid("Data", ("", ""), (*hashes, *about) or (("data", "none recorded"),)),
        Grid("Resolved configuration", ("", ""), tuple((name, setting(x)) for name, x in info.config)),
    )
