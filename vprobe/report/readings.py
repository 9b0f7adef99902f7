"""What directions of another run read on items that no probe is fitted on, such as a model's own completions."""

from __future__ import annotations

import statistics

from vprobe.report import style
from vprobe.report.grids import Grid
from vprobe.report.parts import Section
from vprobe.report.tables import Tables
from vprobe.report.wording import listing, number

BORROW = "vprobe probe RUN --from OTHER"


def section(tables: Tables) -> Section:
    """Return the part of the page on readings with another run's directions.

    Args:
        tables: A run whose items no probe can be fitted on, or with readings.
    """
    return Section(
        "readings",
        "Read with another run's directions",
        "This shows what directions fitted on other items of the same model read here, in standard deviations of the "
        "items they were fitted on. Zero is the mean of those items, which are of another sort, so compare the parts "
        "of this table with each other before reading a level.",
        grids=(_grid(tables),) if tables.readings else (),
        excuse="" if tables.readings else tables.cannot_probe,
        commands=() if tables.readings else (BORROW,),
    )


def _grid(tables: Tables) -> Grid:
    """Lay out mean scores of another run's directions, by value and source of the items, with their spread."""
    source = {item.id: item.source for item in tables.items}
    rows = [row for row in tables.readings if row.score == row.score]
    cells = []
    for value in style.in_order([row.value for row in rows]):
        for name in dict.fromkeys(source.get(row.item_id, "") for row in rows):
            mine = [row.score for row in rows if row.value == value and source.get(row.item_id, "") == name]
            if mine:
                spread = statistics.stdev(mine) if len(mine) > 1 else None
                cells.append((style.title(value), name, number(statistics.fmean(mine)), number(spread), str(len(mine))))
    where = listing(tuple(dict.fromkeys(f"{row.method}, {row.site}" for row in rows)))
    return Grid(f"Mean score: {where}", ("value", "source", ">mean", ">SD", ">items"), tuple(cells), folded=True)
