"""How several processes write one run folder without waiting for each other.

Every rank has its shard of the batches and computes it; then it takes whatever of the others' shards nobody is at
work on. "At work on" is a lock on one byte of a hidden file, which the operating system lets go of when a process
ends in any way: a rank that dies leaves nothing that has to be cleaned up, its unfinished batches are taken by those
still alive, and if none is left, by the next call. No messages are passed, so no rank can hang for want of another
one; ranks may come late, or in another number next time. What a batch's bytes are depends on the plan alone, so it
does not matter who computes it, nor whether two did.

A rank that finds nothing more to take leaves. The one that finds every batch in the journal closes the store: it runs
what a single process runs at its end. All may find that, so a lock on a second hidden file lets one do it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vprobe.errors import StoreError
from vprobe.ranks import Rank
from vprobe.store._files import disk_errors, write_all

fcntl: Any = importlib.import_module("fcntl") if importlib.util.find_spec("fcntl") else None

RANKS, CLOSING = ".vprobe-ranks", ".vprobe-closing"
"""Hidden files that hold the locks; the rank that closes the store takes them away."""
_SETUP, _AT_WORK, _FIRST, _NUMBER = 0, 1, 8, 1 << 40
"""Bytes of the first file that are locked: while a recording is set up, by every rank at work, per batch, per rank."""


class Crew:
    """One rank's place among those that write one folder; use it in a `with` statement.

    Locks of this kind belong to a process, and all go when it closes the file: one crew per folder and process.

    Args:
        folder: An existing run folder.
        rank: Which of the processes this is.
        settings: (name, value) pairs that all ranks at work together must share.

    Raises:
        StoreError: The file system has no locks, a single process is writing, another rank is at work with other
            settings (the message names them), or one of the same number is.
    """

    def __init__(self, folder: Path, rank: Rank, settings: Sequence[tuple[str, str]]) -> None:
        self.rank, self._folder = rank, folder
        self._folder_fd = os.open(folder, os.O_RDONLY)
        self._fd = -1
        self._held: set[int] = set()
        try:
            if not _flock(self._folder_fd, folder, shared=True):
                raise StoreError(
                    "a process that is no rank is writing into this run", where=str(folder),
                    do="wait for it, or choose another --out folder",
                )  # fmt: skip
            with disk_errors(folder, 0):
                self._fd = os.open(folder / RANKS, os.O_RDWR | os.O_CREAT, 0o666)
            self._lock(_SETUP, wait=True)
            self.first = self._lock(_AT_WORK)
            self._agree({"ranks": str(rank.count), **dict(settings)})
            if not self._lock(_NUMBER + rank.index):
                raise StoreError(
                    f"rank {rank.index} of {rank.count} is at work already", where=str(folder),
                    expected="each rank once", do="wait for it or end it; start all ranks by one torchrun or srun",
                )  # fmt: skip
        except BaseException:
            self.close()
            raise

    def ready(self) -> None:
        """Let the next rank set itself up: what had to be done by one rank alone is done."""
        self._lock(_AT_WORK, shared=True)
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, _SETUP)

    def _agree(self, mine: dict[str, str]) -> None:
        """Write down this call's settings when no other rank is at work, else compare."""
        data = json.dumps(mine, sort_keys=True).encode()
        if self.first:
            with disk_errors(self._folder, len(data)):
                os.ftruncate(self._fd, 0)
                write_all(self._fd, data, 0)
            return
        theirs: dict[str, str] = json.loads(os.pread(self._fd, os.fstat(self._fd).st_size, 0))
        names = [name for name in (*theirs, *mine) if theirs.get(name) != mine.get(name)]
        if names:
            said = [f"{name} {theirs.get(name, 'n/a')}, here {mine.get(name, 'n/a')}" for name in dict.fromkeys(names)]
            raise StoreError(
                f"rank {self.rank.index} was started otherwise than a rank already at work: " + "; ".join(said),
                where=str(self._folder), expected="the same command line for all ranks",
                do="start all ranks by one torchrun or srun; another run needs another --out folder",
            )  # fmt: skip

    def take(self, batch: int) -> bool:
        """Claim a batch; False when a living rank has it."""
        if batch not in self._held and not self._lock(_FIRST + batch):
            return False
        self._held.add(batch)
        return True

    def drop(self, batch: int) -> None:
        """Let go of a batch that is in the journal, or that another rank has finished."""
        self._held.discard(batch)
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, _FIRST + batch)

    def _lock(self, byte: int, *, wait: bool = False, shared: bool = False) -> bool:
        how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
        try:
            fcntl.lockf(self._fd, how, 1, byte)
        except (BlockingIOError, PermissionError):
            return False
        except OSError as error:
            raise _no_locks(self._folder) from error
        return True

    def close(self) -> None:
        """Let go of everything."""
        for fd in (self._fd, self._folder_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._folder_fd = -1


def order(shards: Sequence[Sequence[int]], rank: Rank) -> Iterator[int]:
    """Yield batches in the order in which a rank looks at them: its shard, then the others' from their ends."""
    for step in range(len(shards)):
        shard = shards[(rank.index + step) % len(shards)]
        yield from shard if step == 0 else reversed(shard)


@contextmanager
def closing(folder: Path, parts: Sequence[Path] = ()) -> Iterator[bool]:
    """Give True to one rank at a time: it is to close the store, whose every batch is done.

    Args:
        folder: The run folder.
        parts: Other folders in it that ranks wrote into; their hidden files are taken away too.

    Raises:
        StoreError: The file system has no locks.
    """
    path = folder / CLOSING
    with disk_errors(folder, 0):
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        mine = _flock(fd, folder, shared=False)
        yield mine
        if mine:  # its own file first: a rank that comes now makes new ones, closes again and takes them all away
            for one in (path, *(part / RANKS for part in (*parts, folder))):
                one.unlink(missing_ok=True)
    finally:
        os.close(fd)


def leave_none(folder: Path) -> None:
    """Take away the hidden files of ranks that died; for a process that is no rank and has the folder to itself.

    Args:
        folder: The run folder.
    """
    if fcntl is None:
        return
    for name in (RANKS, CLOSING):
        with contextlib.suppress(OSError):  # none there, or in use
            fd = os.open(folder / name, os.O_RDWR)
            try:
                if name == RANKS:
                    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _AT_WORK)
                else:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                (folder / name).unlink(missing_ok=True)
            finally:
                os.close(fd)


def _flock(fd: int, folder: Path, *, shared: bool) -> bool:
    if fcntl is None:
        raise _no_locks(folder)
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise _no_locks(folder) from error
    return True


def _no_locks(folder: Path) -> StoreError:
    return StoreError(
        "this file system has no locks, which several ranks need", where=str(folder),
        do="choose an --out folder on another one, or run one process",
    )  # fmt: skip
