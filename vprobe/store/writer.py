"""Writing activations: everything reserved before work starts, rows in place, and a journal that never runs ahead."""

from __future__ import annotations

import dataclasses
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import final

import numpy as np
from jaxtyping import Float

from vprobe import batching
from vprobe.errors import StoreError
from vprobe.ranks import ALONE, Rank
from vprobe.store import manifest
from vprobe.store._files import (
    TEMP,
    clean,
    disk_errors,
    lock_folder,
    sha256,
    sync_file,
    sync_folder,
    write_all,
    write_atomic,
    write_new,
)
from vprobe.store._ranks import Crew, leave_none, order
from vprobe.store.layout import INDEX, JOURNAL, Journal, RecordingPlan, differences

SYNC_SECONDS = 2.0
"""Finished batches are synced together this often: a kill loses at most this much work, never a number."""


@final
class ActivationWriter:
    """Creates a recording or resumes it; use it in a `with` statement.

    Creation reserves every byte first and appears whole, by one rename. A batch's byte in the journal is set only
    after its numbers are synced. A resumed recording ends with the same bytes as one that was never stopped.

    Several ranks may write one recording, see `_ranks`; each claims the batches it computes.

    Args:
        folder: The run folder, made when missing.
        plan: What is recorded, and in which batches.
        sync_seconds: Batches are synced together this often, seconds; 0 is after each.
        rank: Which of several processes this is.
        settings: (name, value) pairs that all ranks must share.

    Raises:
        StoreError: The disk is too small, the folder is no run folder, another process is writing, or the folder
            holds a recording of another plan (the message says what differs; nothing computed is deleted).
    """

    def __init__(
        self,
        folder: Path,
        plan: RecordingPlan,
        *,
        sync_seconds: float = SYNC_SECONDS,
        rank: Rank = ALONE,
        settings: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._folder, self._plan, self._sync_seconds = folder, plan, sync_seconds
        self._root = folder / "activations"
        self._unsynced: list[int] = []
        self._last_sync = time.monotonic()
        manifest.require_model(manifest.read_or_new(folder), plan.model, folder)
        with disk_errors(folder, 0):
            folder.mkdir(parents=True, exist_ok=True)
        self._crew = None if rank.alone else Crew(folder, rank, settings)
        self._lock = lock_folder(folder) if self._crew is None else -1
        try:
            clean(folder)
            if self._crew is None:
                leave_none(folder)
            self._heads = {name: plan.head(name) for name in plan.names}
            if not self._root.exists() or not any(self._root.iterdir()):
                self._create()
            self._journal = self._resume() if self._crew is None or self._crew.first else self._known()
            if self._crew is not None:
                self._crew.ready()
        except BaseException:
            self._let_go()
            raise

    @property
    def pending(self) -> tuple[int, ...]:
        """Batches that still have to be computed, by any rank."""
        known = set(self._unsynced)
        done = self._journal.done if self._crew is None else Journal.read(self._root / JOURNAL).done
        return tuple(i for i, byte in enumerate(done) if byte != 1 and i not in known)

    def claims(self) -> Iterator[int]:
        """Yield the batches to compute now: all that are pending, or with several ranks what this one may take."""
        if self._crew is None:
            yield from self.pending
            return
        costs = [sum(self._plan.samples[row].n_tokens for row in batch) for batch in self._plan.batches]
        for batch in order(batching.shards(costs, self._crew.rank.count), self._crew.rank):
            if self._crew.take(batch):
                if self._is_done(batch):
                    self._crew.drop(batch)
                else:
                    yield batch

    def _is_done(self, batch: int) -> bool:
        """Look a batch up in the journal on the disk, where other ranks write too."""
        with (self._root / JOURNAL).open("rb") as file:
            file.seek(self._journal.offset + batch)
            return file.read(1) == b"\x01"

    def _create(self) -> None:
        """Build the whole tree under a temporary name, every byte reserved, then give it its name."""
        plan = self._plan
        needed = sum(len(head) + plan.site_bytes for head in self._heads.values()) + len(plan.index)
        building = self._folder / f"{TEMP}{secrets.token_hex(4)}-activations"
        with disk_errors(self._folder, needed):
            building.mkdir()
            lock = lock_folder(building)  # so that no other process takes it for a dead one's
            try:
                self._fill(building)
                building.rename(self._root)
            except BaseException:
                shutil.rmtree(building, ignore_errors=True)  # give the reserved room back at once
                raise
            finally:
                os.close(lock)
            sync_folder(self._folder)

    def _fill(self, building: Path) -> None:
        """Write every file of a new recording, the numbers still zero."""
        plan = self._plan
        for position in plan.positions:
            (building / position).mkdir()
        for name, head in self._heads.items():
            write_new(building / name, head, len(head) + plan.site_bytes)
        write_new(building / INDEX, plan.index)
        write_new(building / JOURNAL, plan.journal().to_bytes())
        for inside in (*(building / position for position in plan.positions), building):
            sync_folder(inside)

    def _resume(self) -> Journal:
        """Compare what is there with the plan, and take a damaged file as not computed."""
        fresh, there = self._plan.journal(), self._known()
        clean(self._root)
        for position in self._plan.positions:
            clean(self._root / position)
        damaged = [name for name in self._heads if not self._intact(name)]
        if there.finished and not damaged:
            damaged = [name for name, good in self._sealed().items() if sha256(self._root / name) != good]
        if damaged:
            # The journal goes first: were we killed in between, every batch would be computed again, none trusted.
            self._write_journal(fresh)
            there = fresh
            for name in damaged:
                self._replace(name)
        elif (self._root / JOURNAL).stat().st_size != len(there.to_bytes()):
            self._write_journal(there)
        if not self._index_intact():
            write_atomic(self._root / INDEX, self._plan.index)
        return there

    def _known(self) -> Journal:
        """Return the journal that is there, after comparing its plan with this one."""
        there = Journal.read(self._root / JOURNAL)
        found = differences(there, self._plan.journal())
        if found:
            raise StoreError(
                "this folder holds a recording with other settings: " + "; ".join(found),
                where=str(self._root),
                do="repeat the earlier settings, or give another --out folder; nothing was deleted",
            )
        return there

    def _intact(self, name: str) -> bool:
        """Tell whether a site's file has its header and size; its numbers are vouched for by the journal."""
        path, head = self._root / name, self._heads[name]
        if not path.is_file() or path.stat().st_size != len(head) + self._plan.site_bytes:
            return False
        with path.open("rb") as file:
            return file.read(len(head)) == head

    def _index_intact(self) -> bool:
        path = self._root / INDEX
        return path.is_file() and path.read_bytes() == self._plan.index

    def _sealed(self) -> dict[str, str]:
        """Return the hashes noted when the recording was finished, site files only; empty before."""
        files = manifest.read(self._folder)["stages"].get("extract", {}).get("files", {})
        return {name: files[f"activations/{name}"] for name in self._heads if f"activations/{name}" in files}

    def _replace(self, name: str) -> None:
        """Put a fresh reserved file in the place of a damaged one."""
        path, head = self._root / name, self._heads[name]
        with disk_errors(path, len(head) + self._plan.site_bytes):
            path.parent.mkdir(exist_ok=True)
            building = path.with_name(f"{TEMP}{secrets.token_hex(4)}-{path.name}")
            write_new(building, head, len(head) + self._plan.site_bytes)
            building.replace(path)
            sync_folder(path.parent)

    def _write_journal(self, journal: Journal) -> None:
        write_atomic(self._root / JOURNAL, journal.to_bytes())

    def write(self, batch: int, x: Float[np.ndarray, "position sample site d_model"]) -> None:
        """Write the activations of one batch in place.

        Args:
            batch: Index of the batch in the plan.
            x: Its activations, samples in the order of the plan's batch.

        Raises:
            StoreError: Another shape than the plan's, or the disk is full.
        """
        plan, rows = self._plan, self._plan.batches[batch]
        expected = (len(plan.positions), len(rows), len(plan.sites), plan.model.d_model)
        if x.shape != expected:
            raise StoreError(f"activations of shape {x.shape}", where=f"batch {batch}", expected=f"{expected}")
        names = iter(plan.names)
        for p in range(len(plan.positions)):
            for s in range(len(plan.sites)):
                name = next(names)
                self._write_rows(name, rows, np.ascontiguousarray(x[p, :, s], dtype="<f4"))
        self._unsynced.append(batch)
        if time.monotonic() - self._last_sync >= self._sync_seconds:
            self.sync()

    def _write_rows(self, name: str, rows: tuple[int, ...], x: Float[np.ndarray, "sample d_model"]) -> None:
        path, start, width = self._root / name, len(self._heads[name]), x.shape[1] * 4
        with disk_errors(path, x.nbytes):
            fd = os.open(path, os.O_WRONLY)  # a network file system then writes back these bytes and no others
            try:
                for row, numbers in zip(rows, x, strict=True):
                    write_all(fd, numbers.tobytes(), start + row * width)
            finally:
                os.close(fd)

    def sync(self) -> None:
        """Make the batches written so far durable, then mark them in the journal.

        When it fails they count as not computed: a disk that has failed once may say nothing the second time.
        """
        batches, self._unsynced = self._unsynced, []
        if batches:
            with disk_errors(self._root, 0):
                for name in self._heads:
                    sync_file(self._root / name)
                done = bytearray(self._journal.done)
                fd = os.open(self._root / JOURNAL, os.O_WRONLY)
                try:
                    for batch in batches:
                        done[batch] = 1
                        write_all(fd, b"\x01", self._journal.offset + batch)
                    os.fsync(fd)
                finally:
                    os.close(fd)
            self._journal = Journal(self._journal.head, bytes(done))
            if self._crew is not None:
                for batch in batches:
                    self._crew.drop(batch)
        self._last_sync = time.monotonic()

    def finish(self) -> None:
        """Seal the recording: the SHA-256 of every file goes into the manifest.

        Raises:
            StoreError: Batches are still missing, or a file was cut or overwritten since the recording began.
        """
        self.sync()
        if self.pending:
            raise StoreError(f"{len(self.pending)} batches are not written yet", where=str(self._root))
        for name in self._heads:
            if not self._intact(name):
                raise StoreError(
                    "cut or overwritten while it was recorded", where=str(self._root / name),
                    do="check the disk, then run the same command again, which records anew",
                )  # fmt: skip
        files = {f"activations/{name}": sha256(self._root / name) for name in (*self._heads, INDEX)}
        with manifest.changing(self._folder):
            content = manifest.read_or_new(self._folder)
            extract = content["stages"].setdefault("extract", {})
            if extract.get("files") != files:
                extract["files"] = files
                content["model"] = dataclasses.asdict(self._plan.model)
                manifest.write(self._folder, content)

    def __enter__(self) -> ActivationWriter:
        """Use the writer in a `with` statement."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep what was computed, also when the work was stopped, and let go of the folder."""
        try:
            self.sync()
        except StoreError:
            if kind is None:
                raise
        finally:
            self._let_go()

    def _let_go(self) -> None:
        if self._crew is not None:
            self._crew.close()
        else:
            os.close(self._lock)
