"""Agreement in more terms, and several ways of measuring side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from vprobe.report import grids, style
from vprobe.report.grids import Grid
from vprobe.report.parts import Section
from vprobe.report.tables import Tables
from vprobe.report.wording import MISSING, chance, interval, share
from vprobe.types import Agreement, PatternRow, TraitPairRow, ValidityRow

STRICT, LENIENT = 0.85, 0.90
"""Heterotrait-monotrait ratios above these say that two values are not told apart."""


Part = Callable[[Tables], Section]


def detailed(tables: Tables) -> tuple[Part, ...]:
    """Return the section on agreement in more terms, where the run has them."""
    return (lambda tables: detail(tables.detail),) if tables.detail else ()


def across(tables: Tables) -> tuple[Part, ...]:
    """Return the section on methods, instruments and models side by side, where the run was compared so."""
    if not (tables.validity or tables.across):
        return ()
    return (lambda tables: methods(tables.validity, tables.pairs, tables.patterns, tables.across),)


def detail(rows: Sequence[Agreement]) -> Section:
    """Lay out what else `agree` says of one run.

    Args:
        rows: Of the table `agreement_detail`.
    """
    kinds = dict.fromkeys((row.level, row.comparison, row.statistic) for row in rows)
    made = []
    for key in kinds:
        mine = [row for row in rows if (row.level, row.comparison, row.statistic) == key]
        folded = len(mine) > 1
        made.append(grids.agreement(mine, f"{key[0].capitalize()} level, {key[1]}", folded=folded))
    return Section(
        "agreement-detail",
        "Agreement in more terms",
        "This shows the same agreement in other terms: how often two measures prefer the same of two responses, r over "
        "the highest r that noise allows, whether two read-outs are the same number, and profiles and circles "
        "against nulls that know how smooth profiles are and what labels hand down. What is too noisy is n/a.",
        grids=tuple(made),
    )


def methods(
    validity: Sequence[ValidityRow], pairs: Sequence[TraitPairRow], patterns: Sequence[PatternRow],
    rows: Sequence[Agreement],
) -> Section:  # fmt: skip
    """Lay out the multitrait-multimethod matrix's tests, and transfer to other instruments and models.

    Args:
        validity: Campbell and Fiske's first three criteria.
        pairs: Heterotrait-monotrait ratios.
        patterns: The fourth criterion.
        rows: Transfer, profiles of several instruments, models.
    """
    blocks = dict.fromkeys((row.first, row.second) for row in validity)
    made = [_validity([row for row in validity if (row.first, row.second) == key]) for key in blocks]
    made += [_ratios(pairs)] if pairs else []
    made += [_patterns(patterns)] if patterns else []
    for key in dict.fromkeys((row.level, row.comparison) for row in rows):
        mine = [row for row in rows if (row.level, row.comparison) == key]
        made.append(grids.agreement(mine, f"{key[0].capitalize()}, {key[1]}"))
    return Section(
        "methods",
        "Methods side by side",
        "This shows whether ways of measuring agree on a value more than on different values, over conditions. Values "
        "next to each other on the circle rightly go together, so they are counted apart. Chance wins half of the "
        "comparisons.",
        grids=tuple(made),
    )


def _validity(rows: Sequence[ValidityRow]) -> Grid:
    cells = tuple(
        (style.title(row.value), share(row.r), chance(row.p), chance(row.p_family), _won(row.won_apart, row.of_apart),
         _won(row.won_adjacent, row.of_adjacent), _won(row.won_inside, row.of_inside),
         _won(row.won_inside_adjacent, row.of_inside_adjacent), f"{row.n:,}")
        for row in rows
    )  # fmt: skip
    head = ("value", ">r", ">p", ">family-wise p", ">beats others", ">neighbours", ">beats own method", ">neighbours",
            ">units")  # fmt: skip
    return Grid(f"{rows[0].first} against {rows[0].second} (criteria of Campbell and Fiske)", head, cells)


def _won(won: int, of: int) -> str:
    return f"{won} of {of}" if of else MISSING


def _ratios(rows: Sequence[TraitPairRow]) -> Grid:
    cells = tuple(
        (style.title(row.first), style.title(row.second), row.relation, share(row.htmt), interval(row.low, row.high),
         f"{row.n_methods}", f"{row.n:,}")
        for row in sorted(rows, key=lambda row: -abs(row.htmt) if math.isfinite(row.htmt) else 1.0)
    )  # fmt: skip
    known = [row for row in rows if math.isfinite(row.htmt)]
    counts = [sum(abs(row.htmt) < limit for row in known) for limit in (STRICT, LENIENT)]
    note = (
        f"{counts[0]} of {len(known)} pairs lie below {STRICT} (strict), {counts[1]} below {LENIENT:.2f} (lenient); "
        f"{len(rows) - len(known)} have no ratio."
    )
    head = ("value", "value", "on the circle", ">HTMT", ">95 % interval", ">methods", ">units")
    return Grid("Heterotrait-monotrait ratio of every pair of values", head, cells, (note,), folded=True)


def _patterns(rows: Sequence[PatternRow]) -> Grid:
    cells = tuple((row.first, row.second, share(row.rho), chance(row.p), f"{row.n:,}") for row in rows)
    head = ("block", "block", ">rank r", ">p (Mantel)", ">pairs of values")
    return Grid("Same pattern of correlations in two blocks (fourth criterion)", head, cells, folded=True)
