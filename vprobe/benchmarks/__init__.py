"""Instruments: items with known loadings on values, and the questions put to a model about them. One file each."""

from __future__ import annotations

from pathlib import Path

from vprobe import registry
from vprobe.benchmarks._asks import Ask, asks
from vprobe.benchmarks._cache import DataEntry, cache_folder, get, listing, require
from vprobe.benchmarks._canaries import Canaries, canaries
from vprobe.benchmarks._demographics import Demographic, demographics
from vprobe.benchmarks._neutral import Neutral, neutral
from vprobe.benchmarks._shipped import Persona, Stem, personas, stems
from vprobe.errors import InputError
from vprobe.types import Benchmark

__all__ = [
    "Ask",
    "Canaries",
    "DataEntry",
    "Demographic",
    "Neutral",
    "Persona",
    "Stem",
    "asks",
    "cache_folder",
    "canaries",
    "demographics",
    "folder",
    "get",
    "listing",
    "load",
    "names",
    "neutral",
    "personas",
    "stems",
]


def names() -> tuple[str, ...]:
    """List the benchmarks, sorted by name."""
    return registry.names("vprobe.benchmarks")


def load(name: str, *, folder: Path | None = None, limit: int | None = None) -> Benchmark:
    """Load a benchmark by name: its items, the loadings known of them, its wordings and its reliability.

    Args:
        name: Such as "everyday" or "value-portrait"; `-` and `_` are the same.
        folder: Where its files lie; the user's cache when None. Benchmarks that ship with vprobe take no folder.
        limit: Keep only this many queries, whole and in file order; None or 0 keeps all.

    Raises:
        InputError: The name is not known (the nearest is named), or the limit is negative.
        DataError: Its files are missing or are not the pinned version.
    """
    if limit is not None and limit < 0:
        raise InputError(f"limit {limit}", where="benchmark", expected="a number of queries, or 0 for all")
    return registry.load("vprobe.benchmarks", name, kind="benchmark").load(folder, limit or None)


def folder(name: str, given: Path | None = None) -> Path:
    """Return the folder of a benchmark's files, after checking that they are the pinned bytes.

    Args:
        name: Such as "value-portrait".
        given: Where they lie; the user's cache when None.

    Raises:
        InputError: The name is not known; the nearest is named.
        DataError: Files are missing or are not the pinned version.
    """
    return require(registry.load("vprobe.benchmarks", name, kind="benchmark").DATA, given)
