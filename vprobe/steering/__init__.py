"""Steering operations, one file each, gates, directions made for steering, and the plan of a dose-response.

An operation's file has `MEASURE` (what a coefficient counts: activation units, a share of the whole change, or
degrees), `POINTS` (where it may act; empty is anywhere) and

    arrays(given) -> what it needs beside vector and coefficient, each (n, width) or (1, 1)
    apply(x, vector, coefficient, *arrays) -> the new activations

for numpy arrays and torch tensors alike, for one vector or one per row.
"""

from __future__ import annotations

from vprobe import registry
from vprobe.steering._doses import NULL_ARMS, Dose, Null, doses
from vprobe.steering._gates import GATES, gate
from vprobe.steering._given import Erasing, Given
from vprobe.steering._vectors import apart, calibrate, heads, neurons
from vprobe.types import Operation

__all__ = [
    "GATES",
    "NULL_ARMS",
    "Dose",
    "Erasing",
    "Given",
    "Null",
    "apart",
    "calibrate",
    "doses",
    "gate",
    "heads",
    "load",
    "names",
    "neurons",
]


def names() -> tuple[str, ...]:
    """List the operations."""
    return registry.names("vprobe.steering")


def load(name: str, given: Given | None = None) -> Operation:
    """Return one operation, ready to be put into a `Steering` record.

    Args:
        name: One of `names()`.
        given: What it is made of, where it needs more than a direction and a coefficient.

    Raises:
        InputError: Unknown operation (the nearest is named), or something it needs is not given.
    """
    module = registry.load("vprobe.steering", name, kind="steering operation")
    given = given or Given()
    return Operation(
        name=name.strip().lower().replace("_", "-"),
        apply=module.apply,
        arrays=module.arrays(given),
        measure=module.MEASURE,
        settings=given.settings(),
        points=module.POINTS,
    )
