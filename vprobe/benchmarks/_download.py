"""Bring one file to its place: stream, resume, check its bytes, rename. Knows nothing of benchmarks."""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vprobe.benchmarks._pinned import PinnedFile
from vprobe.errors import DataError, StoreError

Progress = Callable[[str, int, int], None]
"""Called as progress(path, done_bytes, total_bytes) of the file under way."""

ATTEMPTS = 4
PAUSE = 0.5
"""Seconds before the second attempt; doubled before each further one."""
TIMEOUT = 20.0
"""Seconds without a byte before an attempt is given up."""
CHUNK = 1 << 16
_AGAIN = (408, 425, 429)


class _Again(Exception):
    """Something that may pass: worth another attempt."""


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def problem(path: Path, pinned: PinnedFile) -> str:
    """Say what keeps a file from being the pinned one; empty when nothing does.

    Args:
        path: The file on this machine.
        pinned: What it should be.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            return "is not a file"
        if size != pinned.size:
            return f"has {size} bytes instead of {pinned.size}"
        found = sha256(path)
    except FileNotFoundError:
        return "is not there"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "" if found == pinned.sha256 else f"has SHA-256 {found[:12]}... instead of {pinned.sha256[:12]}..."


def fetch(url: str, target: Path, pinned: PinnedFile, *, progress: Progress | None = None) -> None:
    """Download one file; what arrived before an interruption is used again.

    Args:
        url: Where it lies.
        target: Where it goes. Until its bytes are checked they lie beside it in `<name>.part`.
        pinned: Size and hash it must have.
        progress: Told of every piece that arrives.

    Raises:
        DataError: Not to be had, cut off every time, or not the pinned bytes.
        StoreError: The disk is full or cannot be written.
    """
    part = part_of(target)
    trouble = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            whole = _stream(url, part, pinned, progress)
        except _Again as again:
            trouble = str(again)
            continue
        wrong = problem(part, pinned)
        if not wrong:
            return settle(part, target)
        _drop(part)
        trouble = f"the file {wrong}"
        if whole:  # pieces of different visits may not fit together; a whole download that is wrong stays wrong
            break
    raise DataError(
        f"download failed: {trouble}",
        where=url,
        expected=f"{pinned.size} bytes with SHA-256 {pinned.sha256}",
        do="check the network and run the command again (files already checked are kept, a download cut off goes on "
        "where it stopped), or import a copy with --from DIR",
    )


def bring(source: Path, target: Path, pinned: PinnedFile, *, progress: Progress | None = None) -> str:
    """Copy one file from this machine; returns what is wrong with it, or an empty string when it is in place.

    Args:
        source: The copy to import.
        target: Where it goes.
        pinned: Size and hash it must have.
        progress: Told once, when the file is in place.

    Raises:
        StoreError: The disk is full or cannot be written.
    """
    wrong = problem(source, pinned)
    if wrong:
        return wrong
    part = part_of(target)
    with disk(part):
        shutil.copyfile(source, part)
    wrong = problem(part, pinned)
    if not wrong:
        settle(part, target)
        if progress:
            progress(pinned.path, pinned.size, pinned.size)
    return wrong


def part_of(target: Path) -> Path:
    """Return where the bytes of a file lie until they are checked."""
    return target.with_name(target.name + ".part")


def settle(part: Path, target: Path) -> None:
    """Put a checked file in its place in one step, so that nobody ever sees half of it."""
    with disk(target):
        part.replace(target)


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Turn a failure to write into an error that says where and what to do.

    Args:
        path: What is being written.

    Raises:
        StoreError: The disk is full, or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StoreError(
            "the disk is full" if full else f"cannot be written ({error.strerror or error})",
            where=str(path),
            expected="room for the file" if full else "a folder that can be written",
            do="free some space or " * full + "set VPROBE_CACHE to a folder elsewhere, and run the command again",
        ) from error


def _drop(part: Path) -> None:
    with disk(part):
        part.unlink(missing_ok=True)


def _stream(url: str, part: Path, pinned: PinnedFile, progress: Progress | None) -> bool:
    """Add what is missing to the part file; returns True when all of it came in this one visit."""
    with disk(part):
        have = part.stat().st_size if part.exists() else 0
    if have >= pinned.size and have:
        return False  # the caller checks it, and throws it away when it is wrong
    with _open(url, part, have) as response:
        resumed = have > 0 and response.status == 206
        done = have if resumed else 0  # a server that ignores Range sends everything again
        with disk(part), part.open("ab" if resumed else "wb") as file:
            for chunk in _chunks(response):
                file.write(chunk)
                done += len(chunk)
                if done > pinned.size:
                    break
                if progress:
                    progress(pinned.path, done, pinned.size)
            file.flush()
            os.fsync(file.fileno())
    if done < pinned.size:
        raise _Again(f"the connection ended after {done} of {pinned.size} bytes")
    return not resumed


def _open(url: str, part: Path, have: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": "vprobe", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        return urllib.request.build_opener().open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            _drop(part)
        if error.code in (*_AGAIN, 416) or error.code >= 500:
            raise _Again(f"the server answered {error.code} {error.reason}") from error
        raise DataError(
            f"the server answered {error.code} {error.reason}",
            where=url,
            expected="the pinned file",
            do="check --url or VPROBE_DATA_URL if you set one, or import a copy with --from DIR",
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise _Again(f"no connection ({getattr(error, 'reason', None) or error})") from error


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read(CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _Again(f"the connection broke ({error or type(error).__name__})") from error
        if not chunk:
            return
        yield chunk
