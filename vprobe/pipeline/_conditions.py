"""The table `conditions` as arrays, and agreement over it: persona prompts, the user's prompts, steered arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from vprobe import agreement
from vprobe.config import RunConfig
from vprobe.errors import RefusedError
from vprobe.types import Agreement, ConditionRow

DRAWS = 999
"""Shuffles behind agreement over cells, whichever stage makes it."""
STEERED = "steered"
"""Kind of conditions made by adding a direction; the other kinds are told something."""

SAID = "generation"
"""Ends the name of an instrument whose responses the model was not asked to rate: how likely did it find each?"""


def over_conditions(rows: Sequence[ConditionRow], config: RunConfig) -> list[Agreement]:
    """Return agreement over all cells of conditions x values, told and steered conditions apart.

    Args:
        rows: The table `conditions`.
        config: Seed.
    """
    out: list[Agreement] = []
    for instrument in dict.fromkeys(row.instrument for row in rows):
        for steered in (False, True):
            mine = [row for row in rows if row.instrument == instrument and (row.kind == STEERED) is steered]
            if mine:
                out += _cells(mine, config)
    return out


def _cells(rows: Sequence[ConditionRow], config: RunConfig) -> list[Agreement]:
    table = square(rows)
    comparison = named(rows[0])
    made = agreement.cells(
        table.probe, table.behavior, site=table.site, method=rows[0].method, draws=DRAWS, seed=config.seed,
        kinds=table.kinds, clusters=table.clusters, comparison=comparison,
    )  # fmt: skip
    more: list[Agreement] = []
    if rows[0].kind == STEERED and len(table.names) >= agreement.NEEDED_CONDITIONS:
        more = list(conditions_of(rows, draws=DRAWS, seed=config.seed, method=rows[0].method))
    if len(table.names) >= agreement.NEEDED_CONDITIONS:
        more += agreement.over_ceiling(
            table.probe, table.behavior, table.probe_halves, table.behavior_halves, values=table.values,
            site=table.site, method=rows[0].method, comparison=comparison, kinds=table.kinds, clusters=table.clusters,
            seed=config.seed,
        )  # fmt: skip
    note = "; what was added is part of what is read" if rows[0].kind == STEERED else ""
    return [replace(row, note=row.note + note) for row in (*made, *more)]


def named(row: ConditionRow) -> str:
    """Return what rows of one kind and instrument compare."""
    parts = ("probe~behavior", row.instrument and f"on {row.instrument}", STEERED if row.kind == STEERED else "")
    return ", ".join(part for part in parts if part)


def conditions_of(rows: Sequence[ConditionRow], *, draws: int, seed: int, method: str) -> tuple[Agreement, ...]:
    """Return agreement over conditions, value by value, with the ceiling that two halves of the queries give.

    Args:
        rows: Of one instrument.
        draws: Shuffles.
        seed: Seed of shuffles and bootstrap.
        method: Direction method.
    """
    table = square(rows)
    return agreement.conditions(
        table.probe, table.behavior, values=table.values, site=table.site, method=method, draws=draws, seed=seed,
        kinds=table.kinds, clusters=table.clusters, comparison=named(rows[0]),
        ceilings=ceilings(table.probe_halves, table.behavior_halves, table.kinds),
    )  # fmt: skip


def ceilings(
    first: Float[np.ndarray, "2 condition value"], second: Float[np.ndarray, "2 condition value"], kinds: Sequence[str]
) -> list[float]:
    """Return the highest expected r of each value from both sides' halves; NaN where a side has no reliability.

    Args:
        first: One side on either half of the queries.
        second: The other side.
        kinds: Kind of each condition.
    """
    found = [agreement.halves(pair[0], pair[1], kinds) for pair in (first, second)]
    tops = np.where((found[0] > 0) & (found[1] > 0), np.sqrt(np.abs(found[0] * found[1])), np.nan)
    return [min(float(one), 1.0) for one in tops]


@dataclass(frozen=True)
class Square:
    """The table `conditions` as arrays; a cell that is not there is NaN.

    Args:
        names: Conditions.
        values: Canonical value names.
        kinds: Kind of each condition.
        clusters: Cluster of each.
        site: Where it was read, "picked" where values were read at different sites.
        probe: What is read.
        behavior: What the model does.
        probe_halves: `probe` on either half of the queries.
        behavior_halves: `behavior` on either half.
    """

    names: tuple[str, ...]
    values: tuple[str, ...]
    kinds: tuple[str, ...]
    clusters: tuple[str, ...]
    site: str
    probe: Float[np.ndarray, "condition value"]
    behavior: Float[np.ndarray, "condition value"]
    probe_halves: Float[np.ndarray, "2 condition value"]
    behavior_halves: Float[np.ndarray, "2 condition value"]


def one_way(rows: Sequence[ConditionRow]) -> None:
    """See that conditions set side by side differ in nothing else: told and steered ones apart, and each instrument.

    Args:
        rows: The table `conditions`, or a part of it.

    Raises:
        RefusedError: A value was read in two ways, or numbers of items differ.
    """
    ways: dict[tuple[str, bool, str], str] = {}
    for row in rows:
        for what, way in ((row.value, f"{row.method} at {row.site}"), ("", f"{row.n_items} items")):
            first = ways.setdefault((row.instrument, row.kind == STEERED, what), way)
            if first != way:
                raise RefusedError(
                    f"{row.condition} with {way} beside conditions with {first}",
                    where=f"{what or 'items'}, {named(row)}", expected="one method, site and set of items for all",
                    do="give --limit, --method and --site as before, or run vprobe probe again, which starts anew",
                )  # fmt: skip


FIELDS = ("probe", "behavior", "probe_first", "probe_second", "behavior_first", "behavior_second")


def square(rows: Sequence[ConditionRow]) -> Square:
    """Return rows of the table `conditions` as arrays.

    Args:
        rows: Of one method and instrument.

    Raises:
        RefusedError: A value was read in two ways, or other items were asked.
    """
    one_way(rows)
    names, values = (tuple(dict.fromkeys(getattr(row, field) for row in rows)) for field in ("condition", "value"))
    first = {row.condition: row for row in reversed(rows)}
    cells = np.full((len(FIELDS), len(names), len(values)), np.nan)
    place, column = ({one: i for i, one in enumerate(part)} for part in (names, values))
    for one in rows:
        cells[:, place[one.condition], column[one.value]] = [getattr(one, field) for field in FIELDS]
    sites = tuple(dict.fromkeys(row.site for row in rows))
    return Square(
        names, values, tuple(first[name].kind for name in names), tuple(first[name].cluster or name for name in names),
        sites[0] if len(sites) == 1 else "picked", cells[0], cells[1], cells[2:4], cells[4:6],
    )  # fmt: skip
