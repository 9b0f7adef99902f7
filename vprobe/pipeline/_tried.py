"""How much was looked at before something was found: configurations tried, and the seed of every stage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vprobe import store
from vprobe.types import ConditionRow, DoseRow, SearchRow


@dataclass(frozen=True)
class Tried:
    """Configurations that one stage tried.

    Args:
        stage: The stage.
        what: What they are, in words.
        n: How many, all values together.
    """

    stage: str
    what: str
    n: int


@dataclass(frozen=True)
class Seeded:
    """The seed of everything one stage drew."""

    stage: str
    seed: int


def tried(folder: Path) -> tuple[Tried, ...]:
    """Count what a run tried, from its tables; null draws and shuffled copies are not counted.

    Args:
        folder: A run.
    """
    out = []
    if store.has(folder, "search"):
        cells = store.load_rows(folder, "search", SearchRow)
        parts = [
            _many(len({row.method for row in cells}), "method"),
            _many(len({row.site for row in cells}), "site"),
            _many(len({row.penalty for row in cells if not math.isnan(row.penalty)}), "penalty", "penalties"),
            _many(len({row.value for row in cells}), "value"),
        ]
        at = {(row.method, row.site, "" if math.isnan(row.penalty) else row.penalty, row.value) for row in cells}
        out.append(Tried("probe", " x ".join(part for part in parts if part), len(at)))
    if store.has(folder, "steering"):
        real = [row for row in store.load_rows(folder, "steering", DoseRow) if row.arm == "steered" and row.strength]
        places = {(row.value, row.site, row.positions, row.strength) for row in real}
        doses = _many(len({row.strength for row in real}), "strength")
        out.append(Tried("steer sweep", f"{doses} x {_many(len({row.value for row in real}), 'value')}", len(places)))
    if store.has(folder, "conditions"):
        rows = store.load_rows(folder, "conditions", ConditionRow)
        asked = {row.instrument for row in rows}
        told = f"{_many(len({row.condition for row in rows}), 'condition')} x {_many(len(asked), 'instrument')}"
        out.append(Tried("conditions", told, len({(row.condition, row.instrument) for row in rows})))
    return tuple(out)


def seeds(folder: Path) -> tuple[Seeded, ...]:
    """Return the seed of every finished stage.

    Args:
        folder: A run.
    """
    return tuple(Seeded(stage, store.load_info(folder, stage).seed) for stage in store.stages(folder))


def in_words(counted: Sequence[Tried], drawn: Sequence[Seeded]) -> tuple[str, str]:
    """Say both in one line each.

    Args:
        counted: Of `tried`.
        drawn: Of `seeds`.
    """
    told = "; ".join(f"{one.stage} {one.n:,} ({one.what})" for one in counted) or "none"
    alike: dict[int, list[str]] = {}
    for one in drawn:
        alike.setdefault(one.seed, []).append(one.stage)
    known = "; ".join(f"{seed} ({', '.join(names)})" for seed, names in alike.items()) or "none"
    return f"configurations tried: {told}", f"seeds: {known}"


def _many(n: int, one: str, several: str = "") -> str:
    return "" if not n else f"{n} {one}" if n == 1 else f"{n} {several or one + 's'}"
