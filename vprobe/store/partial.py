"""Answers as they come in: synced line by line, so that an interrupted `rate` loses nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, final

from vprobe import batching
from vprobe.errors import StoreError
from vprobe.ranks import ALONE, Rank
from vprobe.store import manifest
from vprobe.store._files import clean, disk_errors, lock_folder, sync_folder, write_all, write_new
from vprobe.store._ranks import Crew, leave_none, order
from vprobe.store.tables import save_rows
from vprobe.types import ModelInfo, Response

NAME = "responses.partial.jsonl"
OF_RANKS = "responses.partial.*.jsonl"
"""Logs of several ranks, each its own."""
_SUM = "crc32"
"""Field of a line that holds its checksum."""


@final
class ResponseLog:
    """Keeps finished answers in `responses.partial.jsonl` until `save_responses`; use it in a `with` statement.

    Several ranks keep a log each, and read the others'; each claims the batches it asks, see `_ranks`.

    Args:
        folder: The run folder, made when missing.
        model: The model that answers.
        asked: What the answers depend on besides the model: prompt ids, texts, settings. Only its hash is kept.
        rank: Which of several processes this is.
        settings: (name, value) pairs that all ranks must share.

    Raises:
        StoreError: The folder holds unfinished answers of another model or other prompts, another process is
            writing, or the folder is no run folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        model: ModelInfo,
        asked: Sequence[str],
        rank: Rank = ALONE,
        settings: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._folder = folder
        self._path = folder / (NAME if rank.alone else OF_RANKS.replace("*", str(rank.index)))
        manifest.require_model(manifest.read_or_new(folder), model, folder)
        with disk_errors(folder, 0):
            folder.mkdir(parents=True, exist_ok=True)
        self._crew = None if rank.alone else Crew(folder, rank, settings)
        self._lock = lock_folder(folder) if self._crew is None else -1
        head = {
            "model": model.fingerprint,
            "model_name": model.name,
            "dtype": model.dtype,
            "asked": hashlib.sha256(json.dumps(list(asked)).encode()).hexdigest(),
        }
        self._done: dict[str, Response] = {}
        self._seen: dict[Path, int] = {}
        try:
            clean(folder)
            if self._crew is None:
                leave_none(folder)
            self._resume(head)
            with disk_errors(self._path, 0):
                self._fd = os.open(self._path, os.O_RDWR)
            if self._crew is not None:
                self._crew.ready()
        except BaseException:
            self._let_go()
            raise

    @property
    def done(self) -> tuple[Response, ...]:
        """The answers already kept, of this and earlier runs and of all ranks."""
        self._look()
        return tuple(self._done.values())

    def claims(self, batches: Sequence[Sequence[str]], costs: Sequence[int]) -> Iterator[int]:
        """Yield the batches to ask now: those not all of whose answers are kept, or what this rank may take of them.

        Args:
            batches: Prompt ids.
            costs: Tokens of each batch.
        """
        if self._crew is None:
            yield from (i for i, batch in enumerate(batches) if not self._has(batch))
            return
        for i in order(batching.shards(costs, self._crew.rank.count), self._crew.rank):
            if not self._has(batches[i]) and self._crew.take(i):
                self._look()
                if not self._has(batches[i]):
                    yield i
                self._crew.drop(i)

    def _has(self, batch: Sequence[str]) -> bool:
        return all(name in self._done for name in batch)

    def _resume(self, head: dict[str, str]) -> None:
        """Read what earlier runs and other ranks kept; of its own log a line torn by a kill is cut off."""
        first = self._first = json.dumps(head, sort_keys=True).encode() + b"\n"
        logs = [path for path in (self._folder / NAME, *self._folder.glob(OF_RANKS)) if path.exists()]
        for path in logs:  # before a log of its own is begun: one that is refused leaves none
            line, newline, _ = path.read_bytes().partition(b"\n")
            if newline and line + newline != first:
                raise self._other(path, line, head)
        if not self._path.exists() or b"\n" not in self._path.read_bytes():  # new, or killed before its first line
            with disk_errors(self._path, len(first)):
                self._path.unlink(missing_ok=True)
                write_new(self._path, first)
                sync_folder(self._folder)
        self._seen = dict.fromkeys((*logs, self._path), 0)
        self._look()
        if self._seen[self._path] != self._path.stat().st_size:
            with disk_errors(self._path, 0):
                os.truncate(self._path, self._seen[self._path])

    def _look(self) -> None:
        """Take up what has been added to the logs; a line that is not whole yet waits, a damaged one is passed over."""
        for path in {*self._seen, *self._folder.glob(OF_RANKS)}:
            start = self._seen.get(path, 0)
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:  # the closing rank takes logs away
                file.seek(start)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    if not start and line != self._first:  # of other prompts: its rank was refused
                        break
                    if start and (one := _response(line)):
                        self._done[one.prompt_id] = one
                    start += len(line)
            self._seen[path] = start

    def _other(self, path: Path, line: bytes, head: dict[str, str]) -> StoreError:
        try:
            was = json.loads(line)
            same_model = was["model"] == head["model"]
            what = "other prompts or settings" if same_model else f"model {was['model_name']}, now {head['model_name']}"
            if same_model and was["dtype"] != head["dtype"]:
                what = f"dtype {was['dtype']}, now {head['dtype']}"
        except (ValueError, KeyError, TypeError):
            what = "an unreadable first line"
        return StoreError(
            f"unfinished answers of another kind: {what}",
            where=str(path),
            do="repeat the earlier settings to finish them, delete this file, or give another --out folder",
        )

    def append(self, responses: Sequence[Response]) -> None:
        """Keep finished answers; they are on disk when this returns.

        Args:
            responses: Answers of one batch.

        Raises:
            StoreError: The disk is full.
        """
        data = b"".join(map(_line, responses))
        with disk_errors(self._path, len(data)):
            write_all(self._fd, data, os.fstat(self._fd).st_size)
            os.fsync(self._fd)
        self._done.update((one.prompt_id, one) for one in responses)

    def __enter__(self) -> ResponseLog:
        """Use the log in a `with` statement."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the file and the folder; what was kept stays."""
        os.close(self._fd)
        self._let_go()

    def _let_go(self) -> None:
        if self._crew is not None:
            self._crew.close()
        else:
            os.close(self._lock)


def save_responses(folder: Path, responses: Sequence[Response]) -> None:
    """Write the whole table `responses`, and drop the partial ones that led to it.

    Args:
        folder: The run folder.
        responses: All answers, in the order they are to have.

    Raises:
        StoreError: The disk is full.
    """
    save_rows(folder, "responses", responses, Response)
    with disk_errors(folder, 0):
        for path in (folder / NAME, *folder.glob(OF_RANKS)):
            path.unlink(missing_ok=True)
        sync_folder(folder)


def _line(response: Response) -> bytes:
    """Return an answer as a line of a log, with a checksum of it all."""
    row = {f.name: getattr(response, f.name) for f in dataclasses.fields(response)}
    return json.dumps(row | {_SUM: _sum(row)}).encode() + b"\n"


def _response(line: bytes) -> Response | None:
    """Return the answer of a line; None where the line is not as it was written, and has to be asked again."""
    try:
        row: dict[str, Any] = json.loads(line)
        good = row.pop(_SUM) == _sum(row)
        fields: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in row.items()}
        return Response(**fields) if good else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _sum(row: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(row).encode())
