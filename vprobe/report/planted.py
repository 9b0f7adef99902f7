"""Directions against what was planted: how near each fitted direction comes, and how near theory says one comes."""

from __future__ import annotations

import math

from vprobe.report import style
from vprobe.report.grids import Grid
from vprobe.report.tables import Tables
from vprobe.report.truth import SIGN
from vprobe.report.wording import share

NOTES = (
    "Partial: the other values' labels are held constant. Marginal: they are not, so a marginal direction holds a part "
    "of every value whose labels go with its own, and a cosine below 1 is no fault of the estimate alone.",
    "Expected: what theory gives for a partial direction from as many labels with as much noise.",
)

THEORY = "partial"
"""The method whose cosine theory foretells."""


def directions(tables: Tables) -> tuple[Grid, ...]:
    """Lay out the cosine of each fitted direction with the planted one; nothing where none was planted.

    Args:
        tables: The run.
    """
    found = [row for row in tables.truth.rows if row.quantity == "cosine" and math.isfinite(row.truth)]
    if not found:
        return ()
    methods = list(dict.fromkeys(row.subject for row in found))
    effects = {one.method: one.effect for one in tables.effects}
    known = tables.truth.knows("cosine expected")
    columns = [("cosine", method) for method in methods]
    if known:
        place = methods.index(THEORY) + 1 if THEORY in methods else len(methods)
        columns.insert(place, ("cosine expected", THEORY))
    heads = ["value", *(_head(quantity, method, effects.get(method, "")) for quantity, method in columns)]
    cells = tuple(
        (style.title(value), *(share(tables.truth.number(quantity, value, method), 3) for quantity, method in columns))
        for value in style.in_order([row.value for row in found])
    )
    caption = f"{SIGN} Directions against what was planted: cosine with the planted direction, where it was planted"
    return (Grid(caption, tuple(heads), cells, NOTES[: 1 + known]),)


def _head(quantity: str, method: str, effect: str) -> str:
    if quantity == "cosine expected":
        return f">expected of {method}"
    return f">{method} ({effect})" if effect and effect != method else f">{method}"
