"""Seals: a digest of every column in the table's own file, so that an edit shows where nothing can be made again."""

from __future__ import annotations

import hashlib
import json

import pyarrow as pa

KEY = "columns"
"""Note of a table that holds its seal."""


def seal(table: pa.Table) -> str:
    """Return the digests of a table's columns as JSON."""
    return json.dumps({name: digest(table, name) for name in table.column_names}, sort_keys=True)


def digest(table: pa.Table, column: str) -> str:
    """Return a short hash of a column's values."""
    return hashlib.sha256(repr(table.column(column).to_pylist()).encode()).hexdigest()[:16]


def broken(table: pa.Table, seal: str) -> tuple[str, ...]:
    """Name the columns of a table that are not those its seal was made of.

    Args:
        table: What the file holds now.
        seal: As it was written; empty breaks every column.
    """
    try:
        known = dict(json.loads(seal)) if seal else {}
    except ValueError:
        known = {}
    there = tuple(name for name in table.column_names if known.get(name) != digest(table, name))
    return (*there, *(name for name in known if name not in table.column_names))
