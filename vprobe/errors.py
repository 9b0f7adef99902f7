"""Errors a user can act on: what was found, where, what was expected, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class VprobeError(Exception):
    """Base of every error vprobe raises on purpose; the CLI prints it without a traceback and exits with 1.

    Args:
        found: What was found, in one sentence.
        where: The file, option, record or layer it was found in.
        expected: What would have been right.
        do: What the user can do about it.
    """

    def __init__(self, found: str, *, where: str = "", expected: str = "", do: str = "") -> None:
        self.found, self.where, self.expected, self.do = found, where, expected, do
        lines = [found if not where else f"{where}: {found}"]
        if expected:
            lines.append(f"expected: {expected}")
        if do:
            lines.append(f"to do: {do}")
        super().__init__("\n".join(lines))


class InputError(VprobeError):
    """A name, option, record field or file the user gave is not usable."""


class DataError(VprobeError):
    """Benchmark data are missing, incomplete or not the pinned version."""


class ModelError(VprobeError):
    """A model cannot be loaded, read or steered as asked."""


class StoreError(VprobeError):
    """A run folder is missing, damaged, full or belongs to something else."""


class RefusedError(VprobeError):
    """A statistic was asked for that would not be valid; the message names the reason."""


READABLE = "give the path of a file that is there and that you may read"
WRITABLE = "name a place you may write to, or free some space"


def reason(error: Exception) -> str:
    """Return why a file could not be read or written, without the system's error number and the path again.

    Args:
        error: What the operating system, or the reader of the format, raised.
    """
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return said.strip() or type(error).__name__


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name most like `name`, or an empty string when none is close.

    Args:
        name: What the user wrote.
        known: The accepted names.
    """
    spelled = {k.lower(): k for k in known}
    match = difflib.get_close_matches(name.lower(), list(spelled), n=1, cutoff=0.5)
    return spelled[match[0]] if match else ""


def unknown(kind: str, name: str, known: Iterable[str], *, where: str = "") -> InputError:
    """Build the error for a name that is not known, with the nearest known one.

    Args:
        kind: What sort of thing was named, such as "value" or "method".
        name: What the user wrote.
        known: The accepted names.
        where: The option or file it was written in.
    """
    known = list(known)
    near = nearest(name, known)
    hint = f"did you mean {near!r}?" if near else "choose one of the names above"
    return InputError(f"unknown {kind} {name!r}", where=where, expected="one of " + ", ".join(known), do=hint)
