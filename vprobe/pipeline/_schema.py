"""The schema of the tidy tables: what each column means and its unit, taken from the records' own docstrings."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vprobe import ess, lexicon, store, types
from vprobe.errors import WRITABLE, InputError, reason, unknown

RECORDS: dict[str, type] = {
    **dict(store.records()),
    "final": types.Agreement,
    "norms": types.SiteNorm,
    "picks": types.SitePick,
    "embedding": types.EmbeddingRow,
    "demographics": ess.Effect,
    "people": ess.GroupRow,
    "people_pairs": ess.PairMatch,
    "people_trends": ess.TrendMatch,
    "people_axes": ess.AxisMatch,
    "elicited": lexicon.Elicited,
}
"""The record behind every table a run may hold."""
STANDS_FOR = {"_ItemRow": types.Item, "_LoadingRow": types.Loading, "_DirectionRow": types.Direction}
"""Records that are rows of others: what their own docstring does not say, the other's does."""
UNITS = (
    (r"per SD of label|points per standard deviation|points per SD", "rating points per SD of the label"),
    (r"rating points per unit of strength", "rating points per unit of strength"),
    (r"points per unit of the value's label", "rating points per unit of label"),
    (r"rating points|, points|on the instrument's scale", "rating points"),
    (r"activation units|^Median residual norm", "activation units"),
    (r"over the median residual norm|unit of strength", "median residual norms"),
    (r"degrees", "degrees"),
    (r"nats per token", "nats per token"),
    (r"log-prob", "natural log"),
    (r"^Tokens|[Nn]umber of tokens", "tokens"),
    (r"\b[Pp]robability\b|option mass", "probability"),
    (r"\bp of\b|\bp;|\bp,|\bp\b.*(permut|draws|shuffle|tested|two-sided|one-sided|Permutation)", "probability"),
    (r"[Ss]hare of", "share"),
    (r"[Cc]orrelation|within-query r|\br\b|loading", "correlation"),
    (r"\b[Cc]osine\b", "cosine"),
    (r"unit length|Unit vector|no unit", "none"),
)
"""What a docstring says that tells the unit, in the order they are looked for."""
FORMATS = ("csv", "parquet")


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Args:
        table: Name of the table.
        column: Name of the column.
        kind: "text", "number", "whole number", "yes or no" or "list".
        unit: Of a number; "see unit" or "see statistic" where each row says its own, empty where it has none.
        meaning: What it says.
    """

    table: str
    column: str
    kind: str
    unit: str
    meaning: str


def schema(names: Sequence[str] = ()) -> tuple[Column, ...]:
    """Return what every column of some tables means; of all tables there are when none is named.

    Args:
        names: Tables.

    Raises:
        InputError: No such table; the nearest is named.
    """
    for name in names:
        if name not in RECORDS:
            raise unknown("table", name, sorted(RECORDS))
    return tuple(column for name in names or sorted(RECORDS) for column in _columns(name, RECORDS[name]))


def about(name: str) -> str:
    """Return in a line what a row of a table is."""
    return inspect.cleandoc(RECORDS[name].__doc__ or "").split("\n\n")[0].replace("\n", " ")


def export(folder: Path, out: Path, *, kind: str = "csv", names: Sequence[str] = ()) -> tuple[Path, ...]:
    """Write a run's tables as files of one kind, with the schema of those written beside them as `schema.<kind>`.

    Lists become JSON in CSV files; a number that does not exist is an empty cell.

    Args:
        folder: A run.
        out: Folder for the files, made when missing.
        kind: One of `FORMATS`.
        names: Tables; all the run holds when empty.

    Raises:
        InputError: Another kind, a table the run does not hold, or a place that cannot be written.
        StoreError: Not a run, or a damaged table.
    """
    import pandas as pd

    if kind not in FORMATS:
        raise unknown("format", kind, FORMATS, where="--format")
    there = store.tables_of(folder)
    for name in names:
        if name not in there:
            raise unknown("table", name, there, where=str(folder))
    chosen = tuple(names) or there
    frames = {name: store.table(folder, name) for name in chosen}
    told = schema([name for name in chosen if name in RECORDS])
    frames["schema"] = pd.DataFrame([dataclasses.asdict(one) for one in told])
    try:
        out.mkdir(parents=True, exist_ok=True)
        return tuple(_write(out / f"{name}.{kind}", frame) for name, frame in frames.items())
    except OSError as error:
        raise InputError(f"cannot be written: {reason(error)}", where=str(out), do=WRITABLE) from None


def _write(path: Path, frame: Any) -> Path:
    """Write one table; lists and records as JSON where a cell can only be text."""
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
        return path
    plain = frame.copy()
    for name in plain.columns:
        if plain[name].map(lambda cell: isinstance(cell, (list, dict, np.ndarray))).any():
            plain[name] = plain[name].map(lambda cell: json.dumps(cell, default=lambda one: one.tolist()))
    plain.to_csv(path, index=False)
    return path


def _columns(table: str, record: type) -> list[Column]:
    told = (
        _args(record) if record.__name__ not in STANDS_FOR else {**_args(STANDS_FOR[record.__name__]), **_args(record)}
    )
    kinds = typing.get_type_hints(record)
    says = next((name for name in ("unit", "statistic") if kinds.get(name) is str), "")
    out: list[Column] = []
    for field in dataclasses.fields(record):
        meaning, kind = told.get(field.name, ""), _kind(kinds[field.name])
        unit = _unit(field.name, kind, meaning, out) or (f"see {says}" if kind == "number" and says else "")
        out.append(Column(table, field.name, kind, unit, meaning))
    return out


def _args(record: type) -> dict[str, str]:
    """Read the Args section of a docstring."""
    text = inspect.cleandoc(record.__doc__ or "")
    if "Args:\n" not in text:
        return {}
    part = re.split(r"\n\n?\S", text.split("Args:\n", 1)[1])[0]
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", part, re.M)
    return {name: re.sub(r"\s+", " ", meaning).strip() for name, meaning in found}


def _kind(kind: Any) -> str:
    names = {str: "text", float: "number", int: "whole number", bool: "yes or no"}
    parts = [one for one in typing.get_args(kind) if one is not type(None)] if _optional(kind) else [kind]
    if typing.get_origin(parts[0]) is tuple:
        return "list"
    return names.get(parts[0], "text")


def _optional(kind: Any) -> bool:
    return type(None) in typing.get_args(kind)


def _unit(name: str, kind: str, meaning: str, before: Sequence[Column]) -> str:
    """Tell a number's unit from what is said of it; the ends of an interval have that of what they enclose."""
    if kind == "whole number":
        return "count" if name.startswith("n_") or name == "n" else ""
    if kind != "number" and not (kind == "list" and "log" in name):
        return ""
    if name in ("p", "p_family") or name.endswith("_p"):
        return "probability"
    if meaning.startswith(("Lower end", "Upper end", "Its 2.5", "Its 97.5", "2.5 %", "97.5 %")):
        return next((one.unit for one in reversed(before) if one.kind == "number"), "")
    return next((unit for pattern, unit in UNITS if re.search(pattern, meaning)), "")
