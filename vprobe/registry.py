"""Plug-ins: a direction method, steering operation, benchmark or backend is one file, and the file name is its name."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from types import ModuleType

from vprobe.errors import unknown


def names(package: str) -> tuple[str, ...]:
    """List the plug-ins of a package, sorted, with `_` shown as `-`; imports nothing but the package itself.

    Args:
        package: Dotted package name, such as "vprobe.directions".
    """
    spec = importlib.util.find_spec(package)
    paths = list(spec.submodule_search_locations or []) if spec else []
    found = [m.name for m in pkgutil.iter_modules(paths) if not m.name.startswith("_")]
    return tuple(sorted(n.replace("_", "-") for n in found))


def load(package: str, name: str, *, kind: str = "plug-in") -> ModuleType:
    """Import one plug-in by its name.

    Args:
        package: Dotted package name, such as "vprobe.directions".
        name: Plug-in name; `-` and `_` are the same.
        kind: Word used in the error.

    Raises:
        InputError: No file of that name exists; the nearest is named.
    """
    wanted = name.strip().lower().replace("_", "-")
    known = names(package)
    if wanted not in known:
        raise unknown(kind, name, known)
    return importlib.import_module(f"{package}.{wanted.replace('-', '_')}")
