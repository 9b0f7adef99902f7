"""Tables: a tuple of frozen records as one Parquet file, the same bytes for the same records."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from vprobe.errors import InputError, StoreError
from vprobe.store import _seals
from vprobe.store._files import write_atomic
from vprobe.store._known import KNOWN, MADE_BY
from vprobe.store.manifest import check_run
from vprobe.types import Site

if TYPE_CHECKING:
    import pandas as pd

Record = TypeVar("Record")

_PLAIN = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_(), Site: pa.string()}


def save_rows(folder: Path, name: str, rows: Sequence[Any], cls: type | None = None) -> None:
    """Write records as the table `<name>.parquet`, whole or not at all.

    Args:
        folder: The run folder.
        name: Name of the table.
        rows: Frozen records of one class. Lists, nested records, None and NaN come back as they went in.
        cls: Their class; needed only for an empty table of a name vprobe does not know.

    Raises:
        StoreError: The class of an empty table is not known, or the disk is full.
    """
    cls = cls or (type(rows[0]) if rows else KNOWN.get(name))
    if cls is None:
        raise StoreError(f"empty table {name!r} of unknown records", where=str(folder), do="name the class of its rows")
    write_table(folder / f"{name}.parquet", rows, cls)


def write_table(path: Path, rows: Sequence[Any], cls: type, notes: Mapping[str, str] | None = None) -> None:
    """Write records with texts of our own beside them, see `read_table`.

    Args:
        path: The file.
        rows: Records of one class.
        cls: Their class; the columns come from its annotations.
        notes: Texts kept in the file's schema.
    """
    kinds = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]
    meta = {f"vprobe.{key}": text for key, text in {"record": cls.__name__, **(notes or {})}.items()}
    schema = pa.schema([pa.field(name, _arrow(kinds[name])) for name in names], metadata=meta)
    columns = [
        pa.array([_out(getattr(row, n)) for row in rows], schema.field(n).type, from_pandas=False) for n in names
    ]
    sink, made = pa.BufferOutputStream(), pa.Table.from_arrays(columns, schema=schema)
    made = made.replace_schema_metadata({**meta, f"vprobe.{_seals.KEY}": _seals.seal(made)})
    pq.write_table(made, sink, version="2.6", compression="zstd", write_page_checksum=True)
    write_atomic(path, sink.getvalue().to_pybytes())


def load_rows(folder: Path, name: str, cls: type[Record]) -> tuple[Record, ...]:
    """Read a table back as records.

    Args:
        folder: The run folder.
        name: Name of the table.
        cls: Class of its records.

    Raises:
        StoreError: The table is missing, damaged, or of other records.
    """
    return read_records(_open(folder, name), cls, folder / f"{name}.parquet")


def read_records(read: pa.Table, cls: type[Record], path: Path) -> tuple[Record, ...]:
    """Turn a table into records, checking that it is a table of theirs."""
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    needed = {f.name for f in fields if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING}
    present = set(read.column_names)
    kinds = typing.get_type_hints(cls)
    known = needed <= present <= {f.name for f in fields}
    if not known or any(read.schema.field(name).type != _arrow(kinds[name]) for name in present):
        raise StoreError(
            f"columns {', '.join(sorted(present))}",
            where=str(path),
            expected=f"those of {cls.__name__}",
            do="make this stage again; another version of vprobe wrote the table",
        )
    names = [f.name for f in fields if f.name in present]
    columns = [[_in(kinds[n], value) for value in read.column(n).to_pylist()] for n in names]
    try:
        return tuple(cls(**dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True))
    except InputError as error:
        raise StoreError(f"a row is not usable: {error}", where=str(path), do="make this stage again") from error


def table(folder: Path, name: str) -> pd.DataFrame:
    """Return a table as pandas has it, for the report and the command line; None becomes NaN in number columns.

    Args:
        folder: The run folder.
        name: Name of the table.

    Raises:
        StoreError: The table is missing or damaged.
    """
    return _open(folder, name).to_pandas()


def edited(folder: Path, name: str) -> tuple[str, ...]:
    """Name the columns of a table that are not as vprobe wrote them; all of them where the file carries no seal.

    Args:
        folder: The run folder.
        name: Name of the table.

    Raises:
        StoreError: The table is missing or damaged.
    """
    read = _open(folder, name)
    return _seals.broken(read, note(read, _seals.KEY))


def record_of(folder: Path, name: str) -> str:
    """Return the name of the record a table's rows are; empty when the file does not say.

    Args:
        folder: The run folder.
        name: Name of the table.

    Raises:
        StoreError: The table is missing or damaged.
    """
    return note(_open(folder, name), "record")


def has_table(folder: Path, name: str) -> bool:
    """Tell whether a run holds a table.

    Args:
        folder: The run folder.
        name: Name of the table.
    """
    return (folder / f"{name}.parquet").is_file()


def _open(folder: Path, name: str) -> pa.Table:
    check_run(folder)
    if not has_table(folder, name):
        made_by = MADE_BY.get(name)
        raise StoreError(
            f"this run has no table {name!r} yet" if made_by else f"no table {name!r}",
            where=str(folder),
            expected="" if made_by else "one of " + ", ".join(sorted(p.stem for p in folder.glob("*.parquet"))),
            do=f"run vprobe {made_by} first" if made_by else "vprobe tables says what each one holds",
        )
    return read_table(folder / f"{name}.parquet")


def read_table(path: Path) -> pa.Table:
    """Read a Parquet file whose pages carry checksums; its notes are in the schema's metadata.

    Raises:
        StoreError: The file is missing or damaged.
    """
    try:
        return pq.ParquetFile(path, page_checksum_verification=True).read(use_threads=False)
    except (OSError, pa.ArrowException) as error:
        first = (str(error).splitlines() or ["unreadable"])[0]
        raise StoreError(
            f"damaged table: {first}",
            where=str(path),
            expected="the Parquet file vprobe wrote",
            do="make this stage again",
        ) from error


def note(read: pa.Table, key: str) -> str:
    """Return a text kept beside a table, empty when there is none."""
    return ((read.schema.metadata or {}).get(f"vprobe.{key}".encode()) or b"").decode()


def _bare(kind: Any) -> Any:
    """Take the None out of `X | None`."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        (kind,) = (arg for arg in typing.get_args(kind) if arg is not type(None))
    return kind


def _arrow(kind: Any) -> pa.DataType:
    """Return the column type of an annotation."""
    kind = _bare(kind)
    if typing.get_origin(kind) is Literal:
        return pa.string()
    if typing.get_origin(kind) is tuple:
        return pa.list_(_arrow(typing.get_args(kind)[0]))
    if dataclasses.is_dataclass(kind) and kind is not Site:
        hints = typing.get_type_hints(kind)
        return pa.struct([(f.name, _arrow(hints[f.name])) for f in dataclasses.fields(kind)])
    return _PLAIN[kind]


def _out(value: Any) -> Any:
    """Return a field as a column takes it."""
    if isinstance(value, Site):
        return str(value)
    if isinstance(value, tuple):
        return [_out(one) for one in value]
    if dataclasses.is_dataclass(value):
        return {f.name: _out(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return value


def _in(kind: Any, value: Any) -> Any:
    """Return a field as its record has it."""
    kind = _bare(kind)
    if value is None:
        return None
    if kind is Site:
        return Site.parse(value)
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        return tuple(_in(inner, one) for one in value)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{name: _in(hints[name], one) for name, one in value.items()})  # type: ignore[operator]
    return value
