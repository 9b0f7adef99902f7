"""Where benchmark data lie on this machine, whether they are the pinned bytes, and how they get there."""

from __future__ import annotations

import os
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vprobe import registry
from vprobe.benchmarks._download import Progress, bring, disk, fetch, problem
from vprobe.benchmarks._pinned import DataSet
from vprobe.errors import DataError, InputError

PACKAGE = "vprobe.benchmarks"


@dataclass(frozen=True)
class DataEntry:
    """One line of `vprobe data list`.

    Args:
        name: Plug-in name of the benchmark.
        what: One sentence on what it is.
        licence: Under which terms it may be used.
        citation: How to cite it.
        folder: Where its files are, or would go.
        state: "complete", "incomplete", "absent" or "yours" (the user supplies the wording).
        n_good: Files that are there and have the pinned bytes.
        n_files: Files it consists of.
        size: Bytes when complete.
        shipped: True when it came with vprobe and nothing needs downloading.
    """

    name: str
    what: str
    licence: str
    citation: str
    folder: Path
    state: Literal["complete", "incomplete", "absent", "yours"]
    n_good: int
    n_files: int
    size: int
    shipped: bool


def cache_folder() -> Path:
    """Return the folder downloads go to: VPROBE_CACHE if it is set, else the system's cache folder for vprobe."""
    chosen = os.environ.get("VPROBE_CACHE", "")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("vprobe"))


def data_folder(data: DataSet) -> Path:
    """Return where the files of a data set are, or would go; another version has another folder."""
    return data.shipped.parent if data.shipped else cache_folder() / data.name / data.version[:12]


def get(
    name: str, *, source: Path | None = None, base_url: str | None = None, progress: Progress | None = None
) -> Path:
    """Bring the data of a benchmark to this machine and check every byte; files already there and right are kept.

    Args:
        name: Plug-in name of the benchmark.
        source: Folder with a local copy to import instead of downloading, laid out as upstream.
        base_url: Where the files lie; VPROBE_DATA_URL, then the pinned upstream version, when None.
        progress: Called as progress(path, done_bytes, total_bytes) of the file under way.

    Returns:
        The folder that holds the files.

    Raises:
        InputError: Unknown name, a source that is not a folder, or an address that is not http(s).
        DataError: A file cannot be had or is not the pinned one.
        StoreError: The disk is full or cannot be written.
    """
    data: DataSet = registry.load(PACKAGE, name, kind="benchmark").DATA
    folder = data_folder(data)
    if data.shipped:
        if source is not None:
            raise InputError(
                f"{data.name} ships with vprobe", where="--from", do="leave --from out; it is ready to use"
            )
        return folder
    if not data.files:
        raise DataError(
            f"the wording of {data.name} is yours to supply", where="vprobe data get",
            expected=f"a folder with {data.name.replace('-', '_')}.csv in it, named by --data",
            do=f"get the wording from its author (licence: {data.licence}), or use portraits, which ships with vprobe",
        )  # fmt: skip
    if source is not None:
        _import(data, source, folder, progress)
        return folder
    base = _address(base_url or os.environ.get("VPROBE_DATA_URL", "") or data.url)
    for pinned in data.files:
        target = folder / pinned.path
        if not problem(target, pinned):
            if progress:
                progress(pinned.path, pinned.size, pinned.size)
            continue
        with disk(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
        fetch(f"{base}/{urllib.parse.quote(pinned.path)}", target, pinned, progress=progress)
    return folder


def listing() -> tuple[DataEntry, ...]:
    """Say for every benchmark what it is, whether its data are here, and where; checks every byte."""
    return tuple(_entry(registry.load(PACKAGE, name).DATA) for name in registry.names(PACKAGE))


def require(data: DataSet, folder: Path | None = None) -> Path:
    """Return the folder of a data set after checking that every file has the pinned bytes.

    Args:
        data: The data set.
        folder: Where to look; the user's cache when None.

    Raises:
        DataError: Files are missing or not the pinned version; tells how to get them.
    """
    place = Path(folder) if folder is not None else data_folder(data)
    wrong = [f"{one.path} {text}" for one in data.files if (text := problem(place / one.path, one))]
    if not wrong:
        return place
    none = not any((place / one.path).exists() for one in data.files)
    raise DataError(
        f"the data of {data.name} are not there" if none else _several(wrong, len(data.files)),
        where=str(place),
        expected=f"the {len(data.files)} files of version {data.version[:12]}",
        do=f"run: vprobe data get {data.name}" + ("" if folder is None else ", and leave the folder out"),
    )


def _several(wrong: list[str], of: int) -> str:
    more = "" if len(wrong) <= 3 else f"; and {len(wrong) - 3} more"
    return f"{len(wrong)} of {of} files are missing or not the pinned version: " + "; ".join(wrong[:3]) + more


def _address(base: str) -> str:
    if urllib.parse.urlsplit(base).scheme not in ("http", "https"):
        raise InputError(
            f"{base!r} is not a web address",
            where="address of the data",
            expected="http://... or https://...",
            do="use --from DIR for a folder on this machine",
        )
    return base.rstrip("/")


def _import(data: DataSet, source: Path, folder: Path, progress: Progress | None) -> None:
    """Import every file that is right, then name those that are not."""
    source = Path(source).expanduser()
    if not source.is_dir():
        raise InputError("there is no such folder", where=str(source), expected=f"a copy of the files of {data.name}")
    wrong = []
    for pinned in data.files:
        target = folder / pinned.path
        with disk(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
        text = bring(source / pinned.path, target, pinned, progress=progress)
        if text and problem(target, pinned):
            wrong.append(f"{pinned.path} {text}")
    if wrong:
        raise DataError(
            _several(wrong, len(data.files)),
            where=str(source),
            expected=f"the files of version {data.version}, byte for byte",
            do=f"import a checkout of that version (without converted line ends), or run: vprobe data get {data.name}",
        )


def _entry(data: DataSet) -> DataEntry:
    folder = data_folder(data)
    good = 1 if data.shipped else sum(not problem(folder / one.path, one) for one in data.files)
    return DataEntry(
        name=data.name,
        what=data.what,
        licence=data.licence,
        citation=data.citation,
        folder=folder,
        state=_state(data, good),
        n_good=good,
        n_files=len(data.files) + (data.shipped is not None),
        size=data.size,
        shipped=data.shipped is not None,
    )


def _state(data: DataSet, good: int) -> Literal["complete", "incomplete", "absent", "yours"]:
    if not data.files and not data.shipped:
        return "yours"
    if good == (len(data.files) or 1):
        return "complete"
    return "incomplete" if good else "absent"
