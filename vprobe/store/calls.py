"""What a model was asked and answered within a stage, kept on disk until the stage is done."""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, final

from vprobe.store._files import disk_errors, lock, same, sync_folder, write_all
from vprobe.store.manifest import busy, read_or_new
from vprobe.store.writer import SYNC_SECONDS

OF_STAGES = "*.partial.jsonl"
"""Names of such files: the stage comes first."""


@final
class CallLog:
    """Keeps answers by the key of their question in `<stage>.partial.jsonl`; use it in a `with` statement.

    The file is begun with the first answer, and goes when the block ends well. Where it ends otherwise, or the process
    is killed, the next log of the same stage holds what was kept, unless what all answers depend on has changed: then
    it starts empty. One process at a time uses a log: from when it holds answers until the block ends it is locked.

    Args:
        folder: The run folder, made when missing.
        stage: Name of the stage.
        head: What every answer depends on, such as model and versions; JSON.

    Raises:
        StoreError: The folder is no run folder, or another process uses the log.
    """

    def __init__(self, folder: Path, stage: str, head: Mapping[str, Any]) -> None:
        read_or_new(folder)
        self._path = folder / OF_STAGES.replace("*", stage)
        self._first = json.dumps(dict(head), sort_keys=True).encode() + b"\n"
        self._fd, self._size, self._synced, self._ended = -1, 0, time.monotonic(), False
        self._places: dict[str, tuple[int, int]] = {}
        if self._path.exists():
            self._open()
            self._resume()

    def get(self, key: str) -> Any:
        """Return the answer kept under a key; None where there is none, or it is not as it was written."""
        if key not in self._places:
            return None
        start, length = self._places[key]
        name, answer = _told(os.pread(self._fd, length, start))
        return json.loads(answer) if name == key else None

    def put(self, key: str, answer: Any) -> None:
        """Keep an answer: a killed process loses none, a machine that loses power at most those of two seconds.

        Args:
            key: Of the question: a word, see `get`.
            answer: JSON; not None. After the block nothing is kept.

        Raises:
            StoreError: The disk is full, or another process has begun the same log.
        """
        if self._ended:
            return
        body = f"{key} {json.dumps(answer)}".encode()
        line = b"%08x %s\n" % (zlib.crc32(body), body)
        with disk_errors(self._path, len(line)):
            if self._fd < 0:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._open()
            if not self._places:
                self._begin()
            write_all(self._fd, line, self._size)
            if time.monotonic() - self._synced >= SYNC_SECONDS:
                os.fsync(self._fd)
                self._synced = time.monotonic()
        self._take(line)

    def _open(self) -> None:
        """Open the file, a new one where there is none, and keep others off it until the block ends.

        Raises:
            StoreError: Another process uses it, or it cannot be written.
        """
        with disk_errors(self._path, 0):
            while self._fd < 0:
                fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
                if not lock(fd):
                    os.close(fd)
                    raise busy(self._path.parent, f"another process keeps answers in {self._path.name}")
                if same(self._path, fd):
                    self._fd = fd
                else:  # the other one ended well, and took it away
                    os.close(fd)

    def _resume(self) -> None:
        """Take up what an earlier process kept; a line torn by a kill is written over, a damaged one passed over."""
        with os.fdopen(os.dup(self._fd), "rb") as file:
            if file.readline() != self._first:
                return
            self._size = len(self._first)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._take(line)
        os.ftruncate(self._fd, self._size)

    def _take(self, line: bytes) -> None:
        """Note where the next line stands, unless it is not as it was written."""
        key, _ = _told(line)
        if key:
            self._places[key] = (self._size, len(line))
        self._size += len(line)

    def _begin(self) -> None:
        """Start a file, or one of other answers, with its first line."""
        os.ftruncate(self._fd, 0)
        write_all(self._fd, self._first, 0)
        self._size = len(self._first)
        sync_folder(self._path.parent)

    def __enter__(self) -> CallLog:
        """Use the log in a `with` statement."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop what was kept where the block ended well; else it stays."""
        if self._fd >= 0:
            if kind is None:
                self._path.unlink(missing_ok=True)  # before the lock goes with the descriptor
            os.close(self._fd)
        self._fd, self._ended = -1, True
        self._places.clear()


def _told(line: bytes) -> tuple[str, bytes]:
    """Return a line's key and answer; no key where it is not as it was written."""
    sum_, _, body = line[:-1].partition(b" ")
    key, _, answer = body.partition(b" ")
    return (key.decode(), answer) if sum_ == b"%08x" % zlib.crc32(body) else ("", b"")
