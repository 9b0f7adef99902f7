"""Items and directions of a run: small tables whose parts vouch for each other."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vprobe.errors import StoreError
from vprobe.store._files import sha256, write_atomic
from vprobe.store._known import KNOWN
from vprobe.store.layout import tensor_header
from vprobe.store.manifest import check_run
from vprobe.store.tables import load_rows, note, read_table, save_rows, write_table
from vprobe.types import Benchmark, Direction, Item, Loading, Reliability, Seen, Site


@dataclass(frozen=True)
class _ItemRow:
    """One item, loadings left out: they are a table of their own."""

    id: str
    group: str
    source: str
    form: str
    text: str
    response: str
    title: str
    block: str
    n_raters: int
    keying: int
    scale: tuple[float, float]
    licence: str


@dataclass(frozen=True)
class _LoadingRow:
    """One loading of one item.

    Args:
        item_id: The item.
    """

    item_id: str
    value: str
    r: float
    p: float


@dataclass(frozen=True)
class _DirectionRow:
    """One direction, without its vector.

    Args:
        row: Row of its vector in directions.safetensors.
        seen: Place, in this file's notes, of what it was fitted or chosen on.
    """

    row: int
    site: Site
    value: str
    method: str
    role: Literal["read", "write"]
    effect: Literal["marginal", "partial"]
    provenance: Literal["intrinsic", "prompted", "shared"]
    midpoint: float
    spread: float
    position: str
    fitted_on: str
    seen: int
    model: str
    unit: float


_PLAIN = tuple(f.name for f in dataclasses.fields(_DirectionRow) if f.name not in ("row", "seen"))
"""Fields of a direction that are the same in its row."""

_TEXTS = ("name", "licence", "citation", "sha256", "labels")


def records() -> tuple[tuple[str, type], ...]:
    """List the tables this room knows, with the record behind each."""
    own = (("items", _ItemRow), ("loadings", _LoadingRow), ("directions", _DirectionRow))
    return (*KNOWN.items(), *own)


def save_items(folder: Path, benchmark: Benchmark) -> None:
    """Keep a benchmark's items, loadings and reliability with the run, so that it can be redone without the data cache.

    Templates are left out: they are needed only where a model is asked.

    Args:
        folder: The run folder.
        benchmark: What was asked about.
    """
    names = [f.name for f in dataclasses.fields(_ItemRow)]
    rows = [_ItemRow(**{name: getattr(item, name) for name in names}) for item in benchmark.items]
    loadings = [_LoadingRow(item.id, one.value, one.r, one.p) for item in benchmark.items for one in item.loadings]
    save_rows(folder, "loadings", loadings, _LoadingRow)
    save_rows(folder, "reliability", benchmark.reliability, Reliability)
    about = {name: getattr(benchmark, name) for name in _TEXTS} | {"values": list(benchmark.values)}
    parts = {name: sha256(folder / f"{name}.parquet") for name in ("loadings", "reliability")}
    notes = {"benchmark": json.dumps(about, sort_keys=True), "parts": json.dumps(parts, sort_keys=True)}
    write_table(folder / "items.parquet", rows, _ItemRow, notes)  # last: it vouches for the other two


def load_items(folder: Path) -> Benchmark:
    """Return the benchmark a run was made with, without its templates.

    Args:
        folder: The run folder.

    Raises:
        StoreError: The run has no items, or they are damaged or half written.
    """
    path = folder / "items.parquet"
    rows = load_rows(folder, "items", _ItemRow)
    read = read_table(path)
    try:
        about, parts = json.loads(note(read, "benchmark")), json.loads(note(read, "parts"))
    except ValueError as error:
        raise StoreError(
            "damaged table: its notes are missing", where=str(path), do="run vprobe extract again"
        ) from error
    for name, good in parts.items():
        _vouch(folder / f"{name}.parquet", good, "items.parquet", "run vprobe extract again")
    loadings: dict[str, list[Loading]] = {}
    for one in load_rows(folder, "loadings", _LoadingRow):
        loadings.setdefault(one.item_id, []).append(Loading(one.value, one.r, one.p))
    items = tuple(
        Item(
            **{f.name: getattr(row, f.name) for f in dataclasses.fields(row) if f.name != "scale"},
            scale=(row.scale[0], row.scale[1]),
            loadings=tuple(loadings.get(row.id, ())),
        )
        for row in rows
    )
    return Benchmark(
        items=items,
        templates=(),
        values=tuple(about["values"]),
        reliability=load_rows(folder, "reliability", Reliability),
        **{name: about[name] for name in _TEXTS},
    )


def save_directions(folder: Path, directions: Sequence[Direction]) -> None:
    """Write directions: the vectors as safetensors, what they are as a table with the same rows.

    Args:
        folder: The run folder.
        directions: All of one width.

    Raises:
        StoreError: None, or of different widths.
    """
    widths = sorted({one.vector.shape[0] for one in directions})
    if len(widths) != 1:
        raise StoreError(f"directions of widths {widths}", where=str(folder), expected="at least one, all of one width")
    vectors = np.ascontiguousarray([one.vector for one in directions], dtype="<f4")
    path = folder / "directions.safetensors"
    write_atomic(path, tensor_header("vectors", vectors.shape, {}) + vectors.tobytes())
    seen = list(dict.fromkeys(one.seen for one in directions))
    rows = [
        _DirectionRow(i, seen=seen.index(one.seen), **{name: getattr(one, name) for name in _PLAIN})
        for i, one in enumerate(directions)
    ]
    notes = {"vectors": sha256(path), "shape": json.dumps(vectors.shape), "seen": json.dumps([*map(_sorted, seen)])}
    write_table(folder / "directions.parquet", rows, _DirectionRow, notes)


def load_directions(folder: Path) -> tuple[Direction, ...]:
    """Return the directions of a run, in the order they were saved.

    Args:
        folder: The run folder.

    Raises:
        StoreError: The run has no directions, or they are damaged or half written.
    """
    rows = load_rows(folder, "directions", _DirectionRow)
    read = read_table(folder / "directions.parquet")
    path = folder / "directions.safetensors"
    _vouch(path, note(read, "vectors"), "directions.parquet", "run vprobe probe again")
    shape = tuple(json.loads(note(read, "shape")))
    start = len(tensor_header("vectors", shape, {}))
    vectors = np.frombuffer(path.read_bytes(), dtype="<f4", offset=start).reshape(shape)
    seen = [Seen(*map(frozenset, parts)) for parts in json.loads(note(read, "seen"))]
    return tuple(
        Direction(vector=vectors[row.row], seen=seen[row.seen], **{name: getattr(row, name) for name in _PLAIN})
        for row in rows
    )


def _sorted(seen: Seen) -> list[list[str]]:
    return [sorted(seen.samples), sorted(seen.queries), sorted(seen.rows)]


def _vouch(path: Path, good: str, by: str, do: str) -> None:
    """Make sure a file is the one another file was written with."""
    check_run(path.parent)
    if not path.is_file() or sha256(path) != good:
        raise StoreError(
            "missing, damaged or half written", where=str(path), expected=f"the file {by} was written with", do=do
        )
