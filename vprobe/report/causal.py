"""Causal checks as tables and as a section: a direction taken out, exchanged, and steered at some tokens only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from vprobe.report import causal_figures as figures
from vprobe.report import style
from vprobe.report.grids import Grid
from vprobe.report.parts import Panel, Section
from vprobe.report.tables import Tables
from vprobe.report.vector_words import Cells, Layout
from vprobe.report.wording import SPACE, interval, number, share
from vprobe.types import AblationRow, InterchangeRow, PositionRow


def section(tables: Tables) -> Section:
    """Return the section on causal checks.

    Args:
        tables: A run with at least one of the three tables.
    """
    return Section(
        "causal",
        "Taking a direction out, exchanging it, and where it acts",
        "This shows whether the model uses the direction that a value is read from. Taken out, what ratings owe to the "
        "value goes, and what they owe to the others stays; another persona's coordinate put in, ratings change as "
        "the difference in what is read says. Null vectors, treated alike, show what any direction does.",
        (
            *_panels(tables.ablations, figures.ablated, "ablation", _said_of_ablations),
            *_panels(tables.interchange, figures.exchanged, "exchange", _said_of_exchanges),
            *_panels(tables.positions, figures.placed, "positions", _said_of_places),
        ),
        tuple(grid for grid, there in (
            (ablations(tables.ablations), tables.ablations), (exchanges(tables.interchange), tables.interchange),
            (places(tables.positions), tables.positions),
        ) if there),
    )  # fmt: skip


def _panels(
    rows: Sequence[Any], draw: Callable[..., style.Drawing], name: str, said: Callable[[Sequence[Any]], str]
) -> list[Panel]:
    """Draw one figure per way in which rows were made."""
    kinds = list(dict.fromkeys((row.method, row.site) for row in rows))
    out = []
    for place, kind in enumerate(kinds):
        mine = [row for row in rows if (row.method, row.site) == kind]
        called = name if place == 0 else f"{name}-{place + 1}"
        out.append(Panel(draw(mine, called), f"Directions of {kind[0].replace('_', '-')} at {kind[1]}. {said(mine)}"))
    return out


def _n(rows: Sequence[Any], name: str) -> str:
    """Return a count that rows share, or its range."""
    found = sorted({getattr(row, name) for row in rows})
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


def _said_of_ablations(rows: Sequence[AblationRow]) -> str:
    return (
        "Dots: share of the ratings' variance that goes with a value which is gone when its direction is put at its "
        "mean; squares: the same of the other values together. Bars: 95 % intervals over queries. Band: up to the 95th "
        "percentile of the null vectors of the kind that takes most. An arrow: the bar goes on. "
        f"n{SPACE}={SPACE}{_n(rows, 'n_items')} items under {_n(rows, 'n_conditions')} personas."
    )


def _said_of_exchanges(rows: Sequence[InterchangeRow]) -> str:
    return (
        "Where the four marks of a value agree, the coordinate is all there is to it. Bars: 95 % intervals over "
        "queries. Band: 95 % of null vectors whose coordinate is taken over instead. "
        f"n{SPACE}={SPACE}{_n(rows, 'n_items')} items, {_n(rows, 'n_pairs')} pairs of personas."
    )


def _said_of_places(rows: Sequence[PositionRow]) -> str:
    return (
        "Prompt and after prompt divide the text; the others are parts of it. Bars: 95 % intervals over queries. No "
        "null vectors are steered here: they stand with the dose-response. "
        f"n{SPACE}={SPACE}{_n(rows, 'n_items')} items."
    )


def ablations(rows: Sequence[AblationRow]) -> Grid:
    """Lay out what taking directions out took away.

    Args:
        rows: Rows of the table `ablations`.
    """
    cells = tuple(
        (
            style.title(row.value), number(row.base, 3), _unit(row.base_low, row.base_high), number(row.slope, 3),
            share(row.removed), interval(row.low, row.high), share(row.isotropic), share(row.random),
            share(row.shuffled), share(row.other), "yes" if row.beyond else "no", share(row.others),
            interval(row.others_low, row.others_high), number(row.mean_shift, 3), f"{row.n_null:,}",
            f"{row.n_conditions:,}", f"{row.n_items:,}", f"{row.n_unscored:,}",
        )
        for row in rows
    )  # fmt: skip
    head = ("value", ">slope", ">95 % interval", ">without", ">share gone", ">95 % interval", ">isotropic", ">random",
            ">shuffled", ">other values", "beyond", ">gone of others", ">95 % interval", ">mean shift", ">null vectors",
            ">personas", ">items", ">unscored")  # fmt: skip
    notes = (
        "Slope: points per SD of label and SD of what is read, over personas. Share gone: of the variance that goes "
        "with the value; n/a where there is nothing to take away. Isotropic to other values: 95 % of null vectors take "
        "up to that share; beyond: the lower end lies above the largest.",
    )
    return Grid("Each value's direction taken out", head, cells, notes)


def exchanges(rows: Sequence[InterchangeRow]) -> Grid:
    """Lay out what coordinates taken over did.

    Args:
        rows: Rows of the table `interchange`.
    """
    cells = tuple(
        (
            style.title(row.value), number(row.slope, 3), _unit(row.low, row.high), share(row.r),
            number(row.natural, 3), _unit(row.natural_low, row.natural_high), share(row.ratio),
            interval(row.ratio_low, row.ratio_high), number(row.whole, 3), _unit(row.whole_low, row.whole_high),
            number(row.ablated, 3), _unit(row.ablated_low, row.ablated_high), number(row.reach, 3), row.verdict,
            f"{row.n_null:,}", f"{row.n_pairs:,}", f"{row.n_items:,}", f"{row.n_unscored:,}",
        )
        for row in rows
    )  # fmt: skip
    head = ("value", ">coordinate", ">95 % interval", ">r with predicted", ">natural", ">95 % interval", ">of natural",
            ">95 % interval", ">whole activation", ">95 % interval", ">lost without", ">95 % interval", ">null 95 %",
            "verdict", ">null vectors", ">pairs", ">items", ">unscored")  # fmt: skip
    notes = (
        "Points per SD of label and SD of what is read. r: of the change with the difference in what is read times the "
        "label. Lost without: how far the natural slope falls when the direction is taken out.",
    )
    return Grid("Another persona's coordinate taken over", head, cells, notes)


def places(rows: Sequence[PositionRow]) -> Grid:
    """Lay out what steering some tokens did.

    Args:
        rows: Rows of the table `positions`.
    """
    cells = tuple(
        (
            style.title(row.value), row.positions.replace("_", " "), number(row.strength, 3), number(row.effect, 3),
            _unit(row.low, row.high), share(row.of_all), interval(row.of_all_low, row.of_all_high),
            number(row.mean_shift, 3), f"{row.n_items:,}", f"{row.n_unscored:,}",
        )
        for row in rows
    )  # fmt: skip
    head = ("value", "tokens", ">strength", ">effect", ">95 % interval", ">share of all", ">95 % interval",
            ">mean shift", ">items", ">unscored")  # fmt: skip
    notes = (
        "Effect: points per unit of strength and SD of label. Share of all: of the effect with all tokens steered; n/a "
        "where the interval of that one holds 0. No null vectors are steered here.",
    )
    return Grid("Some of the tokens steered", head, cells, notes)


def _unit(low: float, high: float) -> str:
    return interval(low, high, unit=True, digits=3)


def _laid(of: Callable[[Sequence[Any]], Grid]) -> Layout:
    """Return a layout of a vector's card that is the table of the report, without the name of the one value."""

    def laid(rows: Sequence[Any]) -> list[Cells]:
        grid = of(rows)
        return [(f"{grid.caption}. {' '.join(grid.notes)}", grid.head[1:], [row[1:] for row in grid.rows])]

    return laid


LAYOUTS: dict[str, Layout] = {
    "ablations": _laid(ablations), "interchange": _laid(exchanges), "positions": _laid(places),
}  # fmt: skip
"""Tables of a vector's card that have the report's layout."""
