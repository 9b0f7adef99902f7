"""Answers as they come in: synced line by line, so that an interrupted `rate` loses nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, final

from vprobe.errors import StoreError
from vprobe.store import manifest
from vprobe.store._files import clean, disk_errors, lock_folder, sync_folder, write_all, write_new
from vprobe.store.tables import save_rows
from vprobe.types import ModelInfo, Response

NAME = "responses.partial.jsonl"


@final
class ResponseLog:
    """Keeps finished answers in `responses.partial.jsonl` until `save_responses`; use it in a `with` statement.

    Args:
        folder: The run folder, made when missing.
        model: The model that answers.
        asked: What the answers depend on besides the model: prompt ids, texts, settings. Only its hash is kept.

    Raises:
        StoreError: The folder holds unfinished answers of another model or other prompts, another process is
            writing, or the folder is no run folder.
    """

    def __init__(self, folder: Path, *, model: ModelInfo, asked: Sequence[str]) -> None:
        self._folder, self._path = folder, folder / NAME
        manifest.require_model(manifest.read_or_new(folder), model, folder)
        with disk_errors(folder, 0):
            folder.mkdir(parents=True, exist_ok=True)
        self._lock = lock_folder(folder)
        head = {
            "model": model.fingerprint,
            "model_name": model.name,
            "dtype": model.dtype,
            "asked": hashlib.sha256(json.dumps(list(asked)).encode()).hexdigest(),
        }
        try:
            clean(folder)
            self._done = self._resume(head)
            self._fd = os.open(self._path, os.O_RDWR)
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def done(self) -> tuple[Response, ...]:
        """The answers already kept, of this and earlier runs."""
        return tuple(self._done)

    def _resume(self, head: dict[str, str]) -> list[Response]:
        """Read what an earlier run kept; a line torn by a kill, and all after it, is cut off."""
        first = json.dumps(head, sort_keys=True).encode() + b"\n"
        data = self._path.read_bytes() if self._path.exists() else b""
        if b"\n" not in data:  # new, or killed before its first line stood
            with disk_errors(self._path, len(first)):
                self._path.unlink(missing_ok=True)
                write_new(self._path, first)
                sync_folder(self._folder)
            return []
        lines = data.split(b"\n")[:-1]
        if lines[0] + b"\n" != first:
            raise self._other(lines[0], head)
        kept, size = [], len(first)
        for line in lines[1:]:
            try:
                kept.append(_response(json.loads(line)))
            except (ValueError, TypeError, KeyError):
                break
            size += len(line) + 1
        if size != len(data):
            os.truncate(self._path, size)
        return kept

    def _other(self, line: bytes, head: dict[str, str]) -> StoreError:
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
            where=str(self._path),
            do="repeat the earlier settings to finish them, delete this file, or give another --out folder",
        )

    def append(self, responses: Sequence[Response]) -> None:
        """Keep finished answers; they are on disk when this returns.

        Args:
            responses: Answers of one batch.

        Raises:
            StoreError: The disk is full.
        """
        data = b"".join(json.dumps(_plain(one), ensure_ascii=True).encode() + b"\n" for one in responses)
        with disk_errors(self._path, len(data)):
            write_all(self._fd, data, os.fstat(self._fd).st_size)
            os.fsync(self._fd)
        self._done.extend(responses)

    def __enter__(self) -> ResponseLog:
        """Use the log in a `with` statement."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the file and the folder; what was kept stays."""
        os.close(self._fd)
        os.close(self._lock)


def save_responses(folder: Path, responses: Sequence[Response]) -> None:
    """Write the whole table `responses`, and drop the partial one that led to it.

    Args:
        folder: The run folder.
        responses: All answers, in the order they are to have.

    Raises:
        StoreError: The disk is full.
    """
    save_rows(folder, "responses", responses, Response)
    with disk_errors(folder, 0):
        (folder / NAME).unlink(missing_ok=True)
        sync_folder(folder)


def _plain(response: Response) -> dict[str, Any]:
    return {f.name: getattr(response, f.name) for f in dataclasses.fields(response)}


def _response(row: dict[str, Any]) -> Response:
    fields: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in row.items()}
    return Response(**fields)
