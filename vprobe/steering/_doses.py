"""Lay out a dose-response: which vector at which dose, baseline first, nulls at the outermost doses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vprobe.types import Direction, Gate, Operation, Steering


@dataclass(frozen=True)
class Dose:
    """One vector at one dose.

    Args:
        arm: "baseline", "steered", "shuffled" (labels permuted through the whole fit) or "random".
        draw: Index among the draws of one arm.
        strength: Coefficient over the median residual norm at the site; 0 for the baseline.
        steering: What the backend is handed; empty for the baseline.
    """

    arm: str
    draw: int
    strength: float
    steering: tuple[Steering, ...]


def doses(
    target: Direction,
    *,
    shuffled: Sequence[Direction],
    random: Sequence[Direction],
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
        shuffled: The same fit on permuted labels.
        random: Random directions with the activations' covariance.
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
    vectors = [("steered", 0, target, tuple(wanted))]
    vectors += [("shuffled", draw, one, outer) for draw, one in enumerate(shuffled)]
    vectors += [("random", draw, one, outer) for draw, one in enumerate(random)]
    planned = [Dose("baseline", 0, 0.0, ())]
    for arm, draw, vector, strengths_of in vectors:
        for strength in strengths_of:
            change = Steering(operation, vector, operation.coefficient(strength, unit), positions, gate=gate, each=each)
            planned.append(Dose(arm, draw, strength, (change,)))
    return tuple(planned)
