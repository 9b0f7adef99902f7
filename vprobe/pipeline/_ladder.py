"""The claim ladder of runs: gathers what each run stores of a value, and what the runs given with it add."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from vprobe import stats, store
from vprobe.claims import Evidence, ladder
from vprobe.pipeline._across import TRANSFER
from vprobe.pipeline._tried import Seeded, Tried, in_words, seeds, tried
from vprobe.report import Ladder
from vprobe.types import AblationRow, Agreement, BaselineRow, ClaimRow, Climb, InterchangeRow, ModelInfo, TransferRow
from vprobe.values import SCHWARTZ

Row = TypeVar("Row", AblationRow, InterchangeRow)


@dataclass(frozen=True)
class Climbed:
    """How far one run's values climb.

    Args:
        folder: The run.
        method: Direction method of its probes.
        climbs: One per value.
        tried: Configurations tried on the way.
        seeds: Seed of every stage.
    """

    folder: Path
    method: str
    climbs: tuple[Climb, ...]
    tried: tuple[Tried, ...] = ()
    seeds: tuple[Seeded, ...] = ()


def climb(folders: Sequence[Path], *, alpha: float = 0.05, method: str = "") -> tuple[Climbed, ...]:
    """Return how far each run's values climb on the claim ladder; runs of other families replicate each other.

    Args:
        folders: Runs; those that were not probed are left out.
        alpha: Level of rows that carry a p of their own.
        method: Direction method looked at; where empty or not there, the one claims were decided for, else the first.

    Raises:
        StoreError: A folder is no run.
    """
    known = {folder: _rows(folder) for folder in folders}
    out = []
    for folder, rows in known.items():
        methods = [row.method for row in rows if _read(row)]
        if not methods:
            continue
        chosen = method if method in methods else _decided(folder, methods)
        values = [v for v in dict.fromkeys(row.value for row in rows if _read(row)) if v in SCHWARTZ] or [
            v for v in dict.fromkeys(row.value for row in rows if _read(row))
        ]
        others = [(one, found) for one, found in known.items() if _elsewhere(folder, one)]
        evidence = [_evidence(folder, rows, value, chosen, others, alpha) for value in values]
        out.append(Climbed(folder, chosen, ladder(evidence, alpha=alpha), tried(folder), seeds(folder)))
    return tuple(out)


def for_report(folder: Path) -> Ladder | None:
    """Return the ladder of one run as the report shows it; None where nothing was probed.

    Args:
        folder: A run.
    """
    found = climb([folder])
    if not found:
        return None
    return Ladder(found[0].method, found[0].climbs, *in_words(found[0].tried, found[0].seeds))


def _rows(folder: Path) -> tuple[Agreement, ...]:
    return store.load_rows(folder, "agreement", Agreement) if store.has(folder, "agreement") else ()


def _read(row: Agreement) -> bool:
    """Tell whether a row holds held-out probe scores against labels, at sites inner folds picked."""
    return (row.level, row.comparison, row.site) == ("item", "probe~label", "nested")


def _evidence(
    folder: Path,
    rows: Sequence[Agreement],
    value: str,
    method: str,
    others: Sequence[tuple[Path, tuple[Agreement, ...]]],
    alpha: float,
) -> Evidence:
    read = next((row for row in rows if _read(row) and (row.value, row.method) == (value, method)), None)
    conditions = next(
        (r for r in rows if r.level == "condition" and r.value == value and _same(r.method, method)), None
    )
    claimed = store.load_rows(folder, "claims", ClaimRow) if store.has(folder, "claims") else ()
    families = []
    for there, found in others:
        row = next((one for one in found if _read(one) and one.value == value), None)
        if row is not None and math.isfinite(row.p_family):
            families.append((_model(there).family, row.p_family <= alpha and row.estimate > 0))
    mine = tuple(row for row in claimed if row.value in (value, "all") and _same(row.method, method))
    untrained, control = (_beside(folder, name, value, method) for name in ("untrained", "control task"))
    return Evidence(
        value, read, conditions, mine, families=tuple(families),
        untrained=untrained.estimate if untrained else math.nan,
        selectivity=control.excess_low if control else math.nan, instruments=_instruments(folder, value),
        ablated=_tried(folder, "ablations", AblationRow, value, method),
        exchanged=_tried(folder, "interchange", InterchangeRow, value, method),
    )  # fmt: skip


def _decided(folder: Path, methods: Sequence[str]) -> str:
    """Return the method that claims were decided for; the first of the run's where none were."""
    rows = store.load_rows(folder, "claims", ClaimRow) if store.has(folder, "claims") else ()
    return next((one for row in rows for one in methods if row.method and _same(row.method, one)), methods[0])


def _same(one: str, other: str) -> bool:
    """Tell whether a row is of a method, or of none."""
    return not one or one.replace("_", "-") == other.replace("_", "-")


def _instruments(folder: Path, value: str) -> tuple[tuple[str, float], ...]:
    """Return the instruments a value's direction was never fitted on, each with its p there: read, and steered.

    Steering counts where it goes as predicted and beyond its null vectors; its p is 1 elsewhere.
    """
    rows = store.load_rows(folder, "agreement_across", Agreement) if store.has(folder, "agreement_across") else ()
    mine = [row for row in rows if row.level == TRANSFER and row.value == value and math.isfinite(row.p_family)]
    read = tuple((row.comparison.rpartition("rating ")[2], row.p_family) for row in mine)
    moved = store.load_rows(folder, "transfer", TransferRow) if store.has(folder, "transfer") else ()
    steered = [(row, p) for row, p in _corrected(moved) if row.value == value]
    return (*read, *((f"{row.instrument}, steered", p if row.shown else 1.0) for row, p in steered))


def _corrected(rows: Sequence[TransferRow]) -> list[tuple[TransferRow, float]]:
    """Return rows that hold a prediction, each with its p after Holm's correction over all of its instrument."""
    out: list[tuple[TransferRow, float]] = []
    asked = [row for row in rows if row.predicted and row.kind]
    for key in dict.fromkeys((row.instrument, row.method) for row in asked):
        mine = [row for row in asked if (row.instrument, row.method) == key]
        p = stats.holm(np.array([row.p if math.isfinite(row.p) else 1.0 for row in mine]))
        out += [(row, float(one)) for row, one in zip(mine, p, strict=True)]
    return out


def _tried(folder: Path, name: str, record: type[Row], value: str, method: str) -> Row | None:
    """Return what a causal check says of one value's direction; None where the run holds none."""
    rows = store.load_rows(folder, name, record) if store.has(folder, name) else ()
    return next((row for row in rows if (row.value, row.method) == (value, method)), None)


def _beside(folder: Path, baseline: str, value: str, method: str) -> BaselineRow | None:
    """Return a row of the baseline card; None where the run has none."""
    rows = store.load_rows(folder, "baselines", BaselineRow) if store.has(folder, "baselines") else ()
    wanted = (baseline, value, method, True)
    return next((row for row in rows if (row.baseline, row.value, row.method, row.safe) == wanted), None)


def _elsewhere(folder: Path, other: Path) -> bool:
    """Tell whether another run read the same items in a model of another family."""
    if other == folder:
        return False
    same = {item.id for item in store.load_items(folder).items} & {item.id for item in store.load_items(other).items}
    return bool(same) and _model(folder).family != _model(other).family


def _model(folder: Path) -> ModelInfo:
    model = store.load_info(folder).model
    return model or ModelInfo("", "", "", "", 0, 0, 0, "", False)
