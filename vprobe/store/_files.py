"""Bytes on disk: whole or absent under their real name, synced, and locked against a second writer."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vprobe.errors import StoreError

try:
    import fcntl
except ImportError:  # no locks on this platform
    fcntl = None  # type: ignore[assignment]

TEMP = ".vprobe-tmp-"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ENODEV)
_BLOCK = 1 << 20


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def size_text(n: int) -> str:
    """Return a number of bytes with its nearest unit, as people read it: "290.1 MB (290123456 bytes)"."""
    unit = next((u for u in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")) if n >= u[0]), None)
    return f"{n / unit[0]:.1f} {unit[1]} ({n} bytes)" if unit else f"{n} bytes"


@contextmanager
def disk_errors(path: Path, needed: int) -> Iterator[None]:
    """Turn what an operating system says about a disk into an error a user can act on.

    Args:
        path: The file or folder being written.
        needed: Bytes the whole step takes; 0 where that is not known.

    Raises:
        StoreError: The disk is full, or the place cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise StoreError(
                f"cannot be written: {error.strerror or error}",
                where=str(path),
                do="check the folder's rights and the disk, or choose another --out folder",
            ) from error
        raise StoreError(
            f"the disk is full: {f'{size_text(needed)} needed, ' if needed else ''}{size_text(_free(path))} free",
            where=str(path),
            expected="room for the whole step",
            do="free some space and run the same command again, which goes on from what is finished; or choose another "
            "--out folder, or record fewer sites, positions or items",
        ) from error


def _free(path: Path) -> int:
    """Return the bytes free on the disk that holds, or would hold, a path."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def sync_file(path: Path) -> None:
    """Make a file's bytes durable."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def preallocate(fd: int, size: int) -> None:
    """Reserve a file's bytes on the disk, so that a full disk shows now and not after hours of work.

    Args:
        fd: An open file.
        size: Its final size, bytes.
    """
    start = os.fstat(fd).st_size
    try:
        os.posix_fallocate(fd, 0, size)
        return
    except AttributeError:  # a platform without the call
        pass
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    for at in range(start, size, _BLOCK):
        os.pwrite(fd, bytes(min(_BLOCK, size - at)), at)


def write_new(path: Path, head: bytes, size: int | None = None) -> None:
    """Create a file with its first bytes written and the rest reserved as zeros, synced; it must not exist yet.

    Args:
        path: The new file.
        head: First bytes.
        size: Final size, bytes; the length of `head` when None.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        write_all(fd, head, 0)
        if size is not None and size > len(head):
            preallocate(fd, size)
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes | memoryview, at: int) -> None:
    """Write all bytes at an offset; a system call may take fewer than it is given."""
    view = memoryview(data)
    while len(view):
        done = os.pwrite(fd, view, at)
        view, at = view[done:], at + done


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file's content; a kill at any moment leaves the old content or the new, never a part.

    Args:
        path: The file; its folder is made when missing.
        data: All of its bytes.

    Raises:
        StoreError: The disk is full, or the place cannot be written.
    """
    with disk_errors(path, len(data)):
        path.parent.mkdir(parents=True, exist_ok=True)
        clean(path.parent)
        temporary, fd = _temporary(path)
        try:
            write_all(fd, data, 0)
            os.fsync(fd)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)
        sync_folder(path.parent)


def _temporary(path: Path) -> tuple[Path, int]:
    """Open a new file beside another and lock it; one that a cleaning process took before it was locked is given up."""
    while True:
        new = path.with_name(f"{TEMP}{secrets.token_hex(4)}-{path.name}")
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        if lock(fd) and new.exists():
            return new, fd
        os.close(fd)


def clean(folder: Path) -> None:
    """Delete what a killed process left half made; the temporary files of a living one are locked and stay."""
    for path in folder.glob(f"{TEMP}*"):
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            if not lock(fd):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        finally:
            os.close(fd)


def lock(fd: int) -> bool:
    """Take a lock that the operating system lets go of when the process dies; False when another process holds it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems have no locks; a second writer is then the user's own risk
        return True
    return True


def lock_folder(folder: Path) -> int:
    """Lock a folder against a second writer until the returned descriptor is closed or the process dies.

    Args:
        folder: An existing folder.

    Raises:
        StoreError: Another process is writing there.
    """
    fd = os.open(folder, os.O_RDONLY)
    if lock(fd):
        return fd
    os.close(fd)
    raise StoreError(
        "another process is recording into this run",
        where=str(folder),
        do="wait for it, or choose another --out folder; several processes of one run are ranks, started by one "
        "torchrun or srun",
    )


@contextmanager
def in_turn(folder: Path, name: str, *, wait: float = 0.0) -> Iterator[bool]:
    """Give True to one process at a time; the hidden file whose lock it is goes with it.

    A process that dies lets go of the lock; the file it leaves is the next one's.

    Args:
        folder: An existing folder.
        name: Name of the hidden file.
        wait: Seconds to wait for another process before giving False.

    Raises:
        StoreError: The disk is full, or the place cannot be written.
    """
    path, until = folder / name, time.monotonic() + wait
    with disk_errors(folder, 0):
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        while not (mine := lock(fd) and same(path, fd)):
            if time.monotonic() >= until and same(path, fd):
                break
            os.close(fd)
            time.sleep(0.005)
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield mine
    finally:
        if mine:
            path.unlink(missing_ok=True)
        os.close(fd)


def same(path: Path, fd: int) -> bool:
    """Tell whether an open file is still the one of that name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False
