"""Steering operations, one file each, and the plan of a dose-response."""

from __future__ import annotations

from vprobe import registry
from vprobe.steering._doses import Dose, doses
from vprobe.types import Operation

__all__ = ["Dose", "doses", "load", "names"]


def names() -> tuple[str, ...]:
    """List the operations."""
    return registry.names("vprobe.steering")


def load(name: str) -> Operation:
    """Return one operation, ready to be put into a `Steering` record.

    Args:
        name: One of `names()`.

    Raises:
        InputError: Unknown operation; the nearest is named.
    """
    module = registry.load("vprobe.steering", name, kind="steering operation")
    return Operation(name.replace("_", "-"), module.apply)
