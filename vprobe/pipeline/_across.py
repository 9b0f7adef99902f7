"""`agree RUN...`: several ways of measuring, several instruments and several models against each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import agreement, stats, store
from vprobe.agreement import Methods
from vprobe.config import RunConfig
from vprobe.pipeline._common import info
from vprobe.pipeline._conditions import SAID, STEERED, Square, ceilings, square
from vprobe.types import (
    Agreement,
    ConditionRow,
    MethodRow,
    PatternRow,
    ProfileRow,
    RunInfo,
    ScaleRow,
    TraitPairRow,
    ValidityRow,
)
from vprobe.values import SCHWARTZ

TRANSFER = "transfer"
"""Level of rows in which directions meet an instrument they were not fitted on."""
TABLES = ("mtmm", "validity", "trait_pairs", "patterns", "agreement_across")
DRAWS = 999


@dataclass(frozen=True)
class Across:
    """What several measures, instruments or models show together.

    Args:
        methods: The multitrait-multimethod matrix; None where fewer than two ways of measuring share conditions.
        names: Its methods.
        n: Conditions they share.
        rows: Transfer to other instruments, profiles of several instruments, and agreement over models.
        why: Why there is no matrix; empty where there is.
    """

    methods: Methods | None
    names: tuple[str, ...]
    n: int
    rows: tuple[Agreement, ...]
    why: str = ""


@dataclass(frozen=True)
class _Side:
    """One way of measuring: "probe" or "rating" of a run, what was asked, and its numbers by condition."""

    name: str
    run: Path
    kind: str
    asked: str
    fitted_on: str
    table: Square
    x: Float[np.ndarray, "condition value"]
    halves: Float[np.ndarray, "2 condition value"]


def across(folders: Sequence[Path], *, seed: int = 0) -> Across:
    """Set the ways runs measure values side by side, and store the result in every one of them.

    Args:
        folders: Runs; one is enough for probe against behaviour.
        seed: Seed of shuffles and bootstrap.

    Raises:
        StoreError: A folder is no run.
    """
    sides = [side for folder in folders for side in _sides(folder, folders)]
    found, names, n, why = _methods(sides, seed)
    moved = {one: _transfers([side for side in sides if side.run == one], sides, seed) for one in folders}
    rows = (*_instruments(folders, seed), *_models(folders, seed), *_states(sides, seed))
    made = info("across", RunConfig(seed=seed), more=(("runs", len(folders)),))
    for folder, mine in moved.items():
        _save(folder, found, (*mine, *rows), made)
    return Across(found, names, n, (*itertools.chain(*moved.values()), *rows), why)


def _save(folder: Path, found: Methods | None, rows: Sequence[Agreement], made: RunInfo) -> None:
    """Store what is said of one run: of transfer rows only those whose probe is its own."""
    kept = (*(TABLES[:-1] if found else ()), *(TABLES[-1:] if rows else ()))
    if not kept:
        store.drop(folder, ("across",))
        return
    if found:
        store.save_rows(folder, "mtmm", found.cells, MethodRow)
        store.save_rows(folder, "validity", found.validity, ValidityRow)
        store.save_rows(folder, "trait_pairs", found.pairs, TraitPairRow)
        store.save_rows(folder, "patterns", found.patterns, PatternRow)
    if rows:
        store.save_rows(folder, "agreement_across", rows, Agreement)
    for name in TABLES:
        if name not in kept:
            (folder / f"{name}.parquet").unlink(missing_ok=True)
    store.save_info(folder, made, "across")


def _sides(folder: Path, folders: Sequence[Path]) -> list[_Side]:
    """Return what a run reads and what its model does, on every instrument it was asked under conditions."""
    if not store.has(folder, "conditions"):
        return []
    rows = [row for row in store.load_rows(folder, "conditions", ConditionRow) if row.kind != STEERED]
    own = store.load_items(folder).name
    prefix = f"{folder.name}: " if len(folders) > 1 else ""
    out = []
    for instrument in dict.fromkeys(row.instrument for row in rows):
        table = square([row for row in rows if row.instrument == instrument])
        asked = instrument or own
        probe, rating = (table.probe, table.probe_halves), (table.behavior, table.behavior_halves)
        for kind, (x, halves) in (("probe", probe), ("rating", rating)):
            out.append(_Side(f"{prefix}{kind} {asked}", folder, kind, asked, own, table, x, halves))
    return out


def _model(folder: Path) -> str:
    model = store.load_info(folder).model
    return f"{model.name} {model.fingerprint}" if model else ""


def _methods(sides: Sequence[_Side], seed: int) -> tuple[Methods | None, tuple[str, ...], int, str]:
    """Lay the ways of measuring one model over the conditions and values all of them have."""
    if len(sides) < 2:
        return None, (), 0, "no conditions: run vprobe shift, or personas in vprobe run"
    if len({_model(side.run) for side in sides}) > 1:
        return None, (), 0, "the runs are of several models, whose conditions are not the same units"
    names = [name for name in sides[0].table.names if all(name in side.table.names for side in sides)]
    values = [value for value in sides[0].table.values if all(value in side.table.values for side in sides)]
    wanted = [value for value in SCHWARTZ if value in values] or values
    if len(names) < agreement.NEEDED_CONDITIONS or len(wanted) < 2:
        return (
            None,
            (),
            len(names),
            f"{len(names)} conditions and {len(wanted)} values are in all of them; 5 and 2 needed",
        )
    x = np.stack([_picked(side, side.x, names, wanted) for side in sides], axis=1)
    kept = [i for i in range(len(sides)) if np.isfinite(x[:, i]).any()]
    if len(kept) < 2:
        return None, (), len(names), "fewer than two ways of measuring have numbers"
    told = tuple(sides[i].name for i in kept)
    kinds = _named(sides[0], sides[0].table.kinds, names)
    made = agreement.methods(x[:, kept], names=told, values=wanted, draws=DRAWS, seed=seed, kinds=kinds)
    return made, told, len(names), ""


def _named(side: _Side, of: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return what `of` says of some of a side's conditions, such as their kinds."""
    return [of[side.table.names.index(name)] for name in names]


def _picked(side: _Side, x: np.ndarray, names: Sequence[str], values: Sequence[str]) -> np.ndarray:
    """Return the part of a side's numbers, conditions and values its last axes, that is of some of both."""
    rows = [side.table.names.index(name) for name in names]
    columns = [side.table.values.index(value) for value in values]
    return x[..., rows, :][..., columns]


def _fitted(one: _Side, other: _Side) -> bool:
    """Tell whether any benchmark of another side had a part in the fit; several are joined with +."""
    return bool(set(other.asked.removesuffix(f" {SAID}").split("+")) & set(one.fitted_on.split("+")))


def _transfers(mine: Sequence[_Side], sides: Sequence[_Side], seed: int) -> list[Agreement]:
    """Set what is read on a run's own items beside what its model does on an instrument that had no part in the fit."""
    out: list[Agreement] = []
    for one in (side for side in mine if side.kind == "probe" and side.asked == side.fitted_on):
        for other in (side for side in sides if side.kind == "rating"):
            if _model(one.run) != _model(other.run) or _fitted(one, other):
                continue
            names = [name for name in one.table.names if name in other.table.names]
            values = [value for value in one.table.values if value in other.table.values]
            if len(names) < agreement.NEEDED_CONDITIONS or not values:
                continue
            x, y = (_picked(side, side.x, names, values) for side in (one, other))
            kinds, clusters = (_named(one, of, names) for of in (one.table.kinds, one.table.clusters))
            halves = [_picked(side, side.halves, names, values) for side in (one, other)]
            if not np.isfinite(y).any():
                continue
            out += agreement.conditions(
                x, y, values=values, site=one.table.site, method="", draws=DRAWS, seed=seed, level=TRANSFER,
                comparison=f"probe {one.fitted_on}~rating {other.asked}", kinds=kinds, clusters=clusters,
                ceilings=ceilings(halves[0], halves[1], kinds),
            )  # fmt: skip
    return out


def _instruments(folders: Sequence[Path], seed: int) -> list[Agreement]:
    """Compare the profiles one model has on different instruments, where all ten values have a score."""
    profiles: dict[tuple[str, str], np.ndarray] = {}
    for folder in folders:
        rows = store.load_rows(folder, "scales", ScaleRow) if store.has(folder, "scales") else ()
        for key in dict.fromkeys((row.instrument, row.kind, row.rule, row.readout) for row in rows):
            mine = {row.scale: row.estimate for row in rows if (row.instrument, row.kind, row.rule, row.readout) == key}
            x = np.array([mine.get(value, math.nan) for value in SCHWARTZ])
            if np.isfinite(x).all():
                profiles.setdefault((_model(folder), f"{key[0]} {key[1]}"), x)
    out = []
    for (one, x), (other, y) in itertools.combinations(profiles.items(), 2):
        if one[0] == other[0] and one[1].split()[0] != other[1].split()[0]:
            blank = agreement.blank("profile", f"{one[1]}~{other[1]}", n=len(SCHWARTZ), of=len(SCHWARTZ))
            out.append(agreement.smooth(blank, x, y, seed=seed))
    return out


def _models(folders: Sequence[Path], seed: int) -> list[Agreement]:
    """Compare probe-keyed and rating-keyed profiles over models, the profile all models share taken out."""
    sides: dict[str, dict[str, np.ndarray]] = {"probe": {}, "rating": {}}
    for folder in folders:
        rows = store.load_rows(folder, "profile", ProfileRow) if store.has(folder, "profile") else ()
        for kind, found in sides.items():
            mine = {row.value: row.estimate for row in rows if row.kind == kind}
            if mine:
                found.setdefault(_model(folder), np.array([mine.get(value, math.nan) for value in SCHWARTZ]))
    names = [name for name in sides["probe"] if name in sides["rating"]]
    if len(names) < 2:
        return []
    x, y = (np.stack([side[name] for name in names]) for side in (sides["probe"], sides["rating"]))
    return _over_models(x, y, SCHWARTZ, "probe profile~rating profile", seed)


def _states(sides: Sequence[_Side], seed: int) -> list[Agreement]:
    """Set what is read in each model beside what it does, averaged over the conditions all models were told.

    Where a condition says nothing of values, this compares what the models are like by themselves: is what is read in
    one nearer to what that one does than to what the others do?
    """
    found: dict[str, dict[str, dict[str, _Side]]] = {}
    for side in sides:
        found.setdefault(side.asked, {}).setdefault(_model(side.run), {}).setdefault(side.kind, side)
    out: list[Agreement] = []
    for asked, by_model in found.items():
        several = list(by_model.values())
        if len(several) < 2:
            continue
        tables = [one["probe"].table for one in several]
        names = [name for name in tables[0].names if all(name in table.names for table in tables)]
        values = [value for value in tables[0].values if all(value in table.values for table in tables)]
        if names and values:
            x, y = (
                np.stack([_picked(one[kind], one[kind].x, names, values).mean(axis=0) for one in several])
                for kind in ("probe", "rating")
            )
            out += _over_models(x, y, values, f"probe~rating {asked}, {len(names)} conditions told to all", seed)
    return out


def _over_models(
    x: Float[np.ndarray, "model value"], y: Float[np.ndarray, "model value"], values: Sequence[str], comparison: str,
    seed: int,
) -> list[Agreement]:  # fmt: skip
    """Correlate over models where there are enough, and tell each model by its own profile."""
    n = len(x)
    if n >= agreement.NEEDED_CONDITIONS:
        at = {"site": "nested", "method": "", "draws": DRAWS, "seed": seed, "level": "model", "comparison": comparison}
        return [*agreement.conditions(x, y, values=values, **at), *agreement.cells(x, y, **at)]
    known = stats.identify(x, y, draws=DRAWS, seed=seed)
    row = agreement.blank("model", comparison, n=known.n, of=n)
    note = f"chance is 1 in {known.n}; {n} models, correlations over models need {agreement.NEEDED_CONDITIONS}"
    note = note if math.isfinite(known.accuracy) else f"{known.n} models with all values; 3 are needed"
    return [
        replace(row, statistic=agreement.TOLD, estimate=known.accuracy, null_mean=known.chance, p=known.p, note=note)
    ]
