"""Reading activations back: memory-mapped, and only from files that are what the manifest says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vprobe.errors import StoreError, unknown
from vprobe.store import manifest
from vprobe.store._files import sha256
from vprobe.store.layout import INDEX, JOURNAL, Journal, Sample, read_index, site_file, tensor_header
from vprobe.types import Activations, Site

_checked: set[tuple[str, int, int, int, str]] = set()
"""Files already compared with their hash by this process: path, inode, size, time of change, hash."""


@dataclass(frozen=True)
class Recording:
    """What a run has recorded, or is recording.

    Args:
        positions: What activations were averaged over.
        sites: Where they were read.
        n_samples: Rows.
        d_model: Numbers per row.
        n_done: Batches safely on disk.
        n_batches: Batches in all.
        model: Fingerprint of the model.
    """

    positions: tuple[str, ...]
    sites: tuple[Site, ...]
    n_samples: int
    d_model: int
    n_done: int
    n_batches: int
    model: str


def recording(folder: Path) -> Recording:
    """Tell what a run has recorded, finished or not.

    Args:
        folder: The run folder.

    Raises:
        StoreError: Not a run folder, nothing was recorded, or the journal is damaged.
    """
    manifest.check_run(folder)
    path = folder / "activations" / JOURNAL
    if not path.parent.is_dir():
        raise StoreError("this run has no activations yet", where=str(folder), do="run vprobe extract first")
    journal = Journal.read(path)
    plan = journal.plan
    return Recording(
        positions=tuple(plan["positions"]),
        sites=tuple(Site.parse(text) for text in plan["sites"]),
        n_samples=plan["n_samples"],
        d_model=plan["d_model"],
        n_done=journal.n_done,
        n_batches=plan["n_batches"],
        model=plan["model"],
    )


def recorded(folder: Path) -> bool:
    """Tell whether every batch of a recording is in its journal, sealed or not; True where nothing is recorded.

    Args:
        folder: A run folder, or one that is still to be made.

    Raises:
        StoreError: The journal is damaged.
    """
    path = folder / "activations" / JOURNAL
    return not path.parent.is_dir() or Journal.read(path).finished


def has_activations(folder: Path) -> bool:
    """Tell whether a run's activations are recorded to the end and sealed."""
    path = folder / "activations" / JOURNAL
    return path.is_file() and Journal.read(path).finished and bool(_hashes(folder))


def _hashes(folder: Path) -> dict[str, str]:
    return manifest.read(folder)["stages"].get("extract", {}).get("files", {})


def _finished(folder: Path) -> Recording:
    """Return what was recorded, refusing a recording that was stopped."""
    known = recording(folder)
    if known.n_done < known.n_batches or not _hashes(folder):
        raise StoreError(
            f"recording was stopped: {known.n_done} of {known.n_batches} batches are done",
            where=str(folder),
            do="run vprobe extract again with the same settings; it resumes where it stopped",
        )
    return known


def load_samples(folder: Path) -> tuple[Sample, ...]:
    """Return what each row of the recorded activations is.

    Args:
        folder: The run folder.

    Raises:
        StoreError: Nothing was recorded, the recording was stopped, or the index is damaged.
    """
    _finished(folder)
    _check_hash(folder, INDEX)
    return read_index(folder / "activations" / INDEX)


def load_activations(folder: Path, position: str, sites: Sequence[Site] | None = None) -> Activations:
    """Return recorded activations; those of a single site stay on disk and are mapped into memory.

    Args:
        folder: The run folder.
        position: What was averaged over.
        sites: Some of the recorded sites; all when None.

    Raises:
        InputError: The position or a site was not recorded; the nearest is named.
        StoreError: Not a run folder, a stopped recording, or a damaged file, which is named.
    """
    known = _finished(folder)
    if position not in known.positions:
        raise unknown("position", position, known.positions, where=str(folder))
    wanted = known.sites if sites is None else tuple(sites)
    for site in wanted:
        if site not in known.sites:
            raise unknown("site", str(site), [str(s) for s in known.sites], where=str(folder))
    samples = load_samples(folder)
    parts = [_map(folder, known, position, site) for site in wanted]
    x = parts[0][:, None, :] if len(parts) == 1 else np.stack(parts, axis=1)
    return Activations(x, tuple(sample.prompt_id for sample in samples), wanted, position, known.model)


def _map(folder: Path, known: Recording, position: str, site: Site) -> np.ndarray:
    """Map one site's numbers into memory, after checking the file's size, header and hash."""
    name = site_file(position, site)
    path, shape = folder / "activations" / name, (known.n_samples, known.d_model)
    head = tensor_header("x", shape, {"position": position, "site": str(site), "model": known.model})
    size = len(head) + 4 * shape[0] * shape[1]
    found = path.stat().st_size if path.is_file() else None
    if found != size:
        raise _damaged(path, "missing" if found is None else f"{found} bytes long", f"{size} bytes")
    with path.open("rb") as file:
        if file.read(len(head)) != head:
            raise _damaged(path, "damaged: its header is not the one vprobe wrote", "the header of this site and model")
    _check_hash(folder, name)
    return np.memmap(path, dtype="<f4", mode="r", offset=len(head), shape=shape)


def _check_hash(folder: Path, name: str) -> None:
    """Compare a file with its hash in the manifest, once per process as long as it stays the same file."""
    path = folder / "activations" / name
    noted = _hashes(folder).get(f"activations/{name}", "")
    if not path.is_file():
        raise _damaged(path, "missing", "the file vprobe wrote")
    stat = path.stat()
    key = (str(path.resolve()), stat.st_ino, stat.st_size, stat.st_mtime_ns, noted)
    if key in _checked:
        return
    if sha256(path) != noted:
        raise _damaged(path, "damaged: its SHA-256 is not the one in run.json", noted or "a hash in run.json")
    _checked.add(key)


def _damaged(path: Path, found: str, expected: str) -> StoreError:
    return StoreError(
        found,
        where=str(path),
        expected=expected,
        do="run vprobe extract again with the same settings: it notices the damage and records anew",
    )
