"""Equal-damage units: the coefficient at which steering costs a given KL on neutral text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from vprobe.errors import InputError

WHERE = "--dose"
STEPS = 40
"""Most evaluations."""
STRIDE = 8.0
"""Most that a coefficient grows or shrinks in one step while the target is not yet between two others."""
FLAT = 1.02
"""KL that grows by less than this while the coefficient grows eightfold has levelled off."""


@dataclass(frozen=True)
class EqualDose:
    """A coefficient with what it costs.

    Args:
        coefficient: Activation units.
        kl: What was measured there, nats per token.
        evaluations: How often KL was measured.
    """

    coefficient: float
    kl: float
    evaluations: int


def target_of(dose: str) -> float:
    """Return the nats of a dose such as "kl=1.0"; NaN for an empty one, which leaves strengths in residual norms.

    Raises:
        InputError: Anything else.
    """
    if not dose:
        return math.nan
    name, _, number = dose.replace(" ", "").partition("=")
    try:
        found = float(number)
    except ValueError:
        found = math.nan
    if name.lower() != "kl" or not (math.isfinite(found) and found > 0):
        raise InputError(f"{dose!r}", where=WHERE, expected="kl= and a number of nats above 0, such as kl=1.0")
    return found


def equal_damage(
    kl: Callable[[float], float], target: float, *, start: float, largest: float, tolerance: float = 0.01
) -> EqualDose:
    """Find the coefficient at which KL is as wanted: secants of log KL on log coefficient, kept between two bounds.

    For small changes KL grows with the square of the coefficient, so that a few evaluations do.

    Args:
        kl: Nats per token at a coefficient above 0; one backend call each.
        target: Nats wanted.
        start: First coefficient tried, activation units.
        largest: Beyond this nothing is tried.
        tolerance: Relative difference from the target that is good enough.

    Raises:
        InputError: The vector changes nothing, KL levels off or jumps, or the target lies beyond the largest
            coefficient; the message says how far it came.
    """
    below: list[tuple[float, float]] = []
    above: list[tuple[float, float]] = []
    c, seen = start, 0
    while seen < STEPS:
        found, seen = kl(c), seen + 1
        if abs(found / target - 1) <= tolerance:
            return EqualDose(c, found, seen)
        (below if found < target else above).append((c, found))
        _check(below, above, target, largest)
        c = min(_next(sorted(below), sorted(above), target), largest)
    raise _unreached(f"KL of {found:.3g} nats after {seen} evaluations", target)


def read_off(strengths: Sequence[float], kls: Sequence[float], target: float) -> float:
    """Return the dose at which KL is as wanted, read off between two measured doses on logarithmic scales.

    Args:
        strengths: Doses of one sign; their sign is that of the answer.
        kls: Nats per token at each.
        target: Nats wanted.

    Returns:
        NaN where the measured doses do not lie on both sides of it: nothing is read off beyond them.
    """
    known = sorted((abs(s), kl) for s, kl in zip(strengths, kls, strict=True) if s and kl > 0 and math.isfinite(kl))
    for (low, at_low), (high, at_high) in pairwise(known):
        if at_low <= target <= at_high and at_high > at_low:
            share = math.log(target / at_low) / math.log(at_high / at_low)
            return math.copysign(low * (high / low) ** share, strengths[0])
    return math.nan


def _next(below: list[tuple[float, float]], above: list[tuple[float, float]], target: float) -> float:
    """Return the next coefficient: the secant where it lies between the bounds, else their geometric middle."""
    if not above:
        c, found = below[-1]
        return c * min(STRIDE, max(1.5, math.sqrt(target / found))) if found > 0 else c * STRIDE
    if not below:
        c, found = above[0]
        return c / min(STRIDE, max(1.5, math.sqrt(found / target)))
    (low, at_low), (high, at_high) = below[-1], above[0]
    middle = math.sqrt(low * high)
    if at_low <= 0:
        return middle
    slope = math.log(at_high / at_low) / math.log(high / low)
    c = low * math.exp(math.log(target / at_low) / slope) if slope > 0 else middle
    edge = (high / low) ** 0.02
    return c if low * edge < c < high / edge else middle


def _check(below: list[tuple[float, float]], above: list[tuple[float, float]], target: float, largest: float) -> None:
    """Refuse what more evaluations would not help."""
    if below and above:
        (low, at_low), (high, at_high) = max(below), min(above)
        if low >= high or high / low < 1 + 1e-5:
            raise _unreached(f"KL jumps from {at_low:.3g} to {at_high:.3g} nats at a coefficient of {high:.4g}", target)
        return
    if above:
        if min(above)[0] < 1e-9 * largest:
            raise _unreached(f"KL is {min(above)[1]:.3g} nats even at a coefficient of {min(above)[0]:.3g}", target)
        return
    ranked = sorted(below)
    c, found = ranked[-1]
    if c >= largest:
        what = "the vector changes nothing in the texts" if found <= 0 else f"KL reaches only {found:.3g} nats"
        raise _unreached(f"{what} with a coefficient of {c:.4g}, the largest tried", target)
    earlier = [one for one in ranked if one[0] <= c / STRIDE]
    if earlier and found > 0 and earlier[-1][1] > 0 and found < FLAT * earlier[-1][1]:
        raise _unreached(f"KL levels off at {found:.3g} nats (coefficient {c:.4g})", target)


def _unreached(what: str, target: float) -> InputError:
    return InputError(
        what, where=f"{WHERE} kl={target:g}", expected=f"a dose that costs {target:g} nats per token",
        do="ask for another KL, or steer other positions or another site",
    )  # fmt: skip
