"""The baseline card: what text, an untrained model and labels that mean nothing give in a probe's place."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vprobe.report import style
from vprobe.report.grids import Grid
from vprobe.report.parts import Section
from vprobe.report.tables import Tables
from vprobe.report.wording import MISSING, chance, interval, number, share
from vprobe.types import Agreement, BaselineRow, SearchRow

WITHIN, CONTROL = "within-query r", "control task"
ALPHA = 0.05


def section(tables: Tables) -> Section:
    """Return the part of the page on baselines, the search and the final split.

    Args:
        tables: The run, with rows of `baselines`.
    """
    return Section(
        "baselines",
        "Beside the probes",
        "This shows what much simpler things tell of the same labels, with the same folds held out: words, length and "
        "source of the text, an untrained model of the same shape, what enters the first block, and a control task. "
        "A probe shows something of the model where it is ahead of all of them. The control task asks the same probe "
        "for random functions of the words; selectivity is how much better it does on the real labels.",
        grids=(*_cards(tables), _short(tables.baselines), *_final(tables.final), *_search(tables.search),
               _every(tables.baselines)),
        footnote="Rows marked UNSAFE divide queries between the two sides of a fold. They are there to show what that "
        "would have reported; nothing else on this page rests on them.",
    )  # fmt: skip


def _cards(tables: Tables) -> tuple[Grid, ...]:
    """Lay out one card per method: a line per value, the probe first."""
    out = []
    for method in dict.fromkeys(row.method for row in tables.baselines):
        mine = {(r.value, r.baseline): r for r in tables.baselines if (r.method, r.statistic) == (method, WITHIN)}
        probes = {r.value: r for r in tables.rows("probe~label", nested=True) if r.method == method}
        names = list(dict.fromkeys(name for _, name in mine))
        cells = tuple(
            (style.title(value), *_probe(probes.get(value)), *(_estimate(mine.get((value, n))) for n in names),
             *_selectivity(mine.get((value, CONTROL))))
            for value in style.in_order([value for value, _ in mine])
        )  # fmt: skip
        heads = ("value", f">{method}", ">95 % interval", *(f">{name}" for name in names), ">selectivity",
                 ">95 % interval of it")  # fmt: skip
        notes = dict.fromkeys(f"{r.baseline.capitalize()}: {r.note}." for r in mine.values() if math.isnan(r.estimate))
        out.append(Grid(f"Baseline card of {method}: within-query r, held out", heads, cells, tuple(notes)))
    return tuple(out)


def _probe(row: Agreement | None) -> tuple[str, str]:
    return (share(row.estimate), interval(row.low, row.high)) if row else (MISSING, MISSING)


def _estimate(row: BaselineRow | None) -> str:
    return share(row.estimate) if row else MISSING


def _selectivity(row: BaselineRow | None) -> tuple[str, str]:
    return (share(row.excess), interval(row.excess_low, row.excess_high)) if row else (MISSING, MISSING)


def _short(rows: Sequence[BaselineRow]) -> Grid:
    """Lay out one line per baseline: mean and range over values, its null, and where it or the probe is ahead."""
    cells = []
    for key in dict.fromkeys((row.baseline, row.method, row.statistic, row.safe) for row in rows):
        mine = [r for r in rows if (r.baseline, r.method, r.statistic, r.safe) == key and not math.isnan(r.estimate)]
        if not mine:
            continue
        r, tested = [row.estimate for row in mine], [row for row in mine if not math.isnan(row.p)]
        null = [sum(getattr(row, end) for row in tested) / len(tested) for end in ("null_low", "null_high") if tested]
        compared = [row for row in mine if not math.isnan(row.excess)]
        ahead = f"{sum(row.excess_low > 0 for row in compared)} of {len(compared)}" if compared else MISSING
        above = f"{sum(row.p <= ALPHA for row in tested)} of {len(tested)}" if tested else MISSING
        cells.append(
            (key[0], key[1], key[2], "whole queries" if key[3] else "UNSAFE", share(sum(r) / len(r)),
             interval(min(r), max(r)), interval(*null) if null else MISSING, above, ahead, f"{mine[0].n_scored:,}")
        )  # fmt: skip
    heads = ("baseline", "beside", "statistic", "folds", ">mean r", ">over values", ">null 95 %",
             ">p \N{LESS-THAN OR EQUAL TO} .05", ">probe ahead", ">items")  # fmt: skip
    notes = ("Probe ahead: values for which the 95 % interval of the difference lies above 0. Null: mean over values.",)
    return Grid("Baselines, mean over values", heads, tuple(cells), notes)


def _final(rows: Sequence[Agreement]) -> tuple[Grid, ...]:
    """Lay out the items that were set aside, where they were opened."""
    if not rows:
        return ()
    cells = tuple(
        (style.title(r.value), r.method, share(r.estimate), interval(r.low, r.high), interval(r.null_low, r.null_high),
         chance(r.p), chance(r.p_family), f"{r.n_scored:,}", f"{r.n_groups:,}", r.note)
        for r in rows
    )  # fmt: skip
    heads = ("value", "method", ">r", ">95 % interval", ">null 95 %", ">p", ">family-wise p", ">items", ">queries",
             "note")  # fmt: skip
    return (Grid("Final split: items on which nothing was fitted or chosen", heads, cells),)


def _search(rows: Sequence[SearchRow]) -> tuple[Grid, ...]:
    """Lay out the search: every cell that some inner fold chose, and the best of each value."""
    if not rows:
        return ()
    best = {}
    for row in rows:
        key = (row.method, row.value)
        if not math.isnan(row.r) and row.r > best.get(key, (-math.inf,))[0]:
            best[key] = (row.r, row.site, row.penalty)
    cells = tuple(
        (style.title(r.value), r.method, r.site, number(r.penalty, 3), share(r.r), chance(r.p),
         f"{r.picked} of {r.folds}", "best" if best.get((r.method, r.value)) == (r.r, r.site, r.penalty) else "",
         f"{r.n:,}")
        for r in rows
        if r.picked or best.get((r.method, r.value)) == (r.r, r.site, r.penalty)
    )  # fmt: skip
    heads = ("value", "method", "site", ">penalty", ">r", ">max-T p", ">chosen by inner folds", "", ">items")
    notes = (
        "Every cell is a row of tables/search.csv. r is held out, but the best cell is a choice made after looking; "
        "max-T p is two-sided, against the largest |r| of shuffled labels anywhere in the method's search.",
    )
    return (Grid("The search: cells chosen, and the best of all", heads, cells, notes, folded=True),)


def _every(rows: Sequence[BaselineRow]) -> Grid:
    cells = tuple(
        (r.baseline, style.title(r.value), r.method, r.statistic, share(r.estimate, 3), interval(r.low, r.high),
         interval(r.null_low, r.null_high), chance(r.p), share(r.excess, 3), interval(r.excess_low, r.excess_high),
         f"{r.n_scored:,}", f"{r.n_unscored:,}", f"{r.n_groups:,}", r.note)
        for r in rows
    )  # fmt: skip
    heads = ("baseline", "value", "beside", "statistic", ">estimate", ">95 % interval", ">null 95 %", ">p",
             ">probe less this", ">95 % interval of it", ">items", ">unscored", ">queries", "note")  # fmt: skip
    return Grid("Every baseline", heads, cells, folded=True)
