"""How near choices come to a type a model was given, as a distance that is written down, and what chance would reach.

Zhang et al. (2023) ask for the distance between what an agent does and a target value and leave both open. Here both
are arguments, and none of the three figures is theirs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats as scipy_stats

from vprobe import stats
from vprobe.benchmarks._svo_payoffs import PRIMARY, payoffs
from vprobe.errors import InputError
from vprobe.scoring._svo_measure import MIDDLE, ideal_angle

LEAST_VERSIONS = 3
"""Fewest versions an interval is made of."""
Distance = Callable[[np.ndarray, float], np.ndarray]
"""From angles and an ideal angle, degrees, to distances of at least 0."""


@dataclass(frozen=True)
class Rationality:
    """How near choices come to a target type.

    Args:
        target: The type.
        ideal: Its ideal angle, degrees.
        n: Answers with an angle.
        n_unscored: Answers without one.
        distance: Mean distance from the ideal; degrees unless another distance was asked for.
        normalised: 1 - distance / the largest any choices can have; 1 is best. It flatters types in the middle.
        chance_corrected: 1 - distance / that of choices made at random; 1 is best, 0 is chance, below 0 is worse.
        random: Mean distance over all 531,441 ways to answer the six items.
        largest: Largest distance over all of them.
    """

    target: str
    ideal: float
    n: int
    n_unscored: int
    distance: float
    normalised: float
    chance_corrected: float
    random: float
    largest: float


@dataclass(frozen=True)
class Nearer:
    """How much nearer a type choices come than others, wording by wording.

    Args:
        by: Mean of how many degrees nearer; below 0 is farther. NaN where no version was answered in both.
        low: Lower end of the 95 % t interval over versions; NaN below three, or where none differs from another.
        high: Upper end.
        n: Versions answered in both.
    """

    by: float
    low: float
    high: float
    n: int


def degrees_apart(angles: np.ndarray, ideal: float) -> np.ndarray:
    """Return how many degrees angles lie from an ideal."""
    return np.abs(angles - ideal)


def rationality(
    angles: Float[np.ndarray, " answer"], target: str, *, distance: Distance = degrees_apart
) -> Rationality:
    """Measure how near choices come to a target type.

    Args:
        angles: Angle of each respondent, version or repetition, degrees; NaN is unscored.
        target: The type that was given, or the one to compare with.
        distance: How distance is measured.

    Raises:
        InputError: Unknown type, or a distance that is negative or not a number.
    """
    ideal = ideal_angle(target)
    every = np.asarray(distance(random_angles(), ideal), dtype=np.float64)
    if not (every >= 0).all() or every.max() <= 0:
        raise InputError(
            "a distance below 0, or none above it", where="SVO distance", expected="distances of 0 or more"
        )
    known = angles[np.isfinite(angles)]
    found = float(np.mean(distance(known, ideal))) if len(known) else math.nan
    random, largest = float(every.mean()), float(every.max())
    return Rationality(
        target=target,
        ideal=ideal,
        n=len(known),
        n_unscored=len(angles) - len(known),
        distance=found,
        normalised=1.0 - found / largest,
        chance_corrected=1.0 - found / random,
        random=random,
        largest=largest,
    )


def nearer(angles: Float[np.ndarray, " version"], others: Float[np.ndarray, " version"], target: str) -> Nearer:
    """Measure how many degrees nearer a type choices come than others do, paired by version.

    Args:
        angles: Angle in each version, degrees; NaN is unscored.
        others: Angle in the same versions where nothing was given.
        target: The type.

    Raises:
        InputError: Unknown type.
    """
    ideal = ideal_angle(target)
    gain = degrees_apart(others, ideal) - degrees_apart(angles, ideal)
    gain = gain[np.isfinite(gain)]
    n, by = len(gain), float(gain.mean()) if len(gain) else math.nan
    if n < LEAST_VERSIONS or np.ptp(gain) <= stats.ROUND_OFF * 180.0:
        return Nearer(by, math.nan, math.nan, n)
    low, high = scipy_stats.t.interval(0.95, n - 1, loc=by, scale=scipy_stats.sem(gain))
    return Nearer(by, float(low), float(high), n)


@functools.cache
def random_angles() -> Float[np.ndarray, " pattern"]:
    """Return the angle of each of the 9^6 = 531,441 ways to answer the six primary items, degrees."""
    sums = []
    for points in (payoffs().own, payoffs().other):
        total = np.zeros(1)
        for item in range(PRIMARY):
            total = np.add.outer(total, points[item]).ravel()
        sums.append(total / PRIMARY - MIDDLE)
    out = np.rad2deg(np.arctan2(sums[1], sums[0]))
    out.flags.writeable = False
    return out
