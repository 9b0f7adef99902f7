"""Lay out a dose-response: which vector at which dose, baseline first, nulls at the outermost doses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vprobe.types import Direction, Gate, Operation, Steering

NULL_ARMS = ("shuffled", "random", "isotropic", "orthogonal", "other", "acquiescence")
"""Kinds of vectors a steered one is held against: of labels permuted through the whole fit, drawn with the covariance
of activations, drawn without any, drawn and cleared of all values' vectors, other values' vectors, and what goes with
high ratings whatever is rated."""


@dataclass(frozen=True)
class Null:
    """A vector the steered one is held against.

    Args:
        arm: One of `NULL_ARMS`.
        vector: Unit length, at the target's site.
        of: Its name, where it has one: the value whose vector it is.
    """

    arm: str
    vector: Direction
    of: str = ""


@dataclass(frozen=True)
class Dose:
    """One vector at one dose.

    Args:
        arm: "baseline", "steered", or one of `NULL_ARMS`.
        draw: Index among the draws of one arm.
        strength: Coefficient over the median residual norm at the site; 0 for the baseline.
        steering: What the backend is handed; empty for the baseline.
        of: Name of a null vector that has one.
    """

    arm: str
    draw: int
    strength: float
    steering: tuple[Steering, ...]
    of: str = ""


def doses(
    target: Direction,
    *,
    nulls: Sequence[Null],
    strengths: Sequence[float],
    unit: float,
    positions: str,
    operation: Operation,
    gate: Gate | None = None,
    each: Literal["token", "prompt"] = "token",
) -> tuple[Dose, ...]:
    """Plan a sweep: the baseline, the target at every strength, each null vector at the lowest and the highest.

    Args:
        target: The direction of interest.
        nulls: What it is held against; vectors of one arm are numbered in this order.
        strengths: Doses in units of `unit`.
        unit: Median residual norm at the site, activation units.
        positions: Tokens steered, see `types.STEER_POSITIONS`.
        operation: What is done with the vector; what else it needs is the target's, so that a null vector is
            dosed as the target is.
        gate: When it acts.
        each: What it is worked out from, see `types.Steering`.
    """
    wanted = sorted({float(s) for s in strengths} - {0.0})
    outer = tuple(dict.fromkeys((wanted[0], wanted[-1]))) if wanted else ()
    planned = [Dose("baseline", 0, 0.0, ())]
    seen: Counter[str] = Counter()
    for one in (Null("steered", target), *nulls):
        for strength in wanted if one.arm == "steered" else outer:
            size = operation.coefficient(strength, unit)
            change = Steering(operation, one.vector, size, positions, gate=gate, each=each)
            planned.append(Dose(one.arm, seen[one.arm], strength, (change,), one.of))
        seen[one.arm] += 1
    return tuple(planned)
