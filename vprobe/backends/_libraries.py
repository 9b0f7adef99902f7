"""Libraries that only some engines need: imported when one is used, refused in words when they are not there."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any

from vprobe.errors import ModelError

BACKENDS = "install it: pip install 'vprobe[backends]'"


def library(module: str, *, package: str, oldest: tuple[int, int], below: int, do: str = BACKENDS) -> Any:
    """Import a library.

    Args:
        module: Its import name.
        package: Its name in the package index.
        oldest: Oldest version that works, major and minor.
        below: First major version that is not known to work; with a major of 0, the first such minor version.
        do: What a user can do where it is missing.

    Raises:
        ModelError: It is not installed, or is another version.
    """
    low = ".".join(map(str, oldest))
    high = f"0.{below}" if oldest[0] == 0 else str(below)
    wanted = f"{package} {low} or later, below {high}"
    try:
        version = metadata.version(package)
        found = importlib.import_module(module)
    except (ImportError, metadata.PackageNotFoundError) as error:
        raise ModelError(f"{package} is not installed: {error}", where="backend", expected=wanted, do=do) from error
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    top = (0, below) if oldest[0] == 0 else (below, 0)
    if not oldest <= parts < top:
        raise ModelError(f"{package} {version}", where="backend", expected=wanted, do=do)
    return found
