"""Are two profiles over values on a circle alike, when neighbours are alike in any profile?

Ten values that vary smoothly around a circle are far fewer than ten independent points, so the textbook test of a
correlation finds likeness between unrelated profiles two to five times too often.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vprobe.errors import InputError
from vprobe.stats._classic import pearson
from vprobe.stats._groups import ROUND_OFF
from vprobe.stats._inference import permutation_p

TURNED = "second profile turned to a random place on the circle, its smoothness kept"
PHASES = "phases of the second profile drawn at random on even places, its smoothness kept"
PEOPLE = "second profile drawn from how values go together among people"


@dataclass(frozen=True)
class ProfileTest:
    """Likeness of two profiles against the sternest of several nulls that keep profiles smooth.

    Args:
        r: Pearson's correlation over the values; NaN where a value is missing or a profile is flat.
        p: Two-sided p of the null with the largest p.
        null_mean: Mean correlation under that null.
        null_low: Its 2.5 % quantile.
        null_high: Its 97.5 % quantile.
        null: What that null draws.
        n: Values.
    """

    r: float
    p: float
    null_mean: float
    null_low: float
    null_high: float
    null: str
    n: int


def profile_test(
    x: Float[np.ndarray, " value"],
    y: Float[np.ndarray, " value"],
    angles: Float[np.ndarray, " value"],
    *,
    covariance: Float[np.ndarray, "value value"] | None = None,
    draws: int = 999,
    seed: int,
) -> ProfileTest:
    """Test whether two profiles are alike beyond what any two smooth profiles are.

    The second profile is turned to a random place on the circle with the size of its wave and of its rest kept, at its
    own angles; its phases are drawn at random on even places, with the size of every harmonic kept; and, where a
    covariance is given, it is drawn from that. Each null is right for another kind of unrelated profiles, so the
    largest p counts.

    Args:
        x: A profile in circle order; all values must be known.
        y: Another, in the same order.
        angles: Degrees of the values.
        covariance: How values go together in a population, such as people.
        draws: Draws of each null.
        seed: Seed of the draws.

    Raises:
        InputError: Profiles and angles differ in length, or fewer than five values.

    Source: Theiler et al. (1992), Physica D 58, 77-94, for surrogates with random phases.
    """
    if not len(x) == len(y) == len(angles) or len(x) < 5:
        raise InputError(
            f"{len(x)} and {len(y)} values at {len(angles)} angles", where="profile test",
            expected="the same values in both, at least 5",
        )  # fmt: skip
    known = int((np.isfinite(x) & np.isfinite(y)).sum())
    none = ProfileTest(math.nan, math.nan, math.nan, math.nan, math.nan, "", known)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return none
    r = pearson(x, y)
    if not math.isfinite(r):
        return none
    rng = np.random.default_rng(seed)
    away = y - y.mean()
    drawn = [(TURNED, _turned(away, np.deg2rad(angles), draws, rng)), (PHASES, _phases(away, draws, rng))]
    if covariance is not None:
        drawn.append((PEOPLE, _from(covariance, draws, rng)))
    told = []
    for name, profiles in drawn:
        null = _with(profiles, x)
        told.append((float(permutation_p(np.array([abs(r)]), np.abs(null)[:, None])[0]), name, null))
    p, name, null = max(told, key=lambda one: one[0])
    low, high = np.quantile(null, [0.025, 0.975])
    return ProfileTest(r, p, float(null.mean()), float(low), float(high), name, len(x))


def _with(profiles: np.ndarray, x: np.ndarray) -> Float[np.ndarray, " draw"]:
    """Return the correlation of each drawn profile with one; 0 for a flat one, which agrees with nothing."""
    profiles, x = profiles - profiles.mean(axis=1, keepdims=True), x - x.mean()
    size = np.sqrt((profiles**2).sum(axis=1) * (x @ x))
    real = size > ROUND_OFF
    return np.where(real, profiles @ x / np.where(real, size, 1.0), 0.0)


def _from(covariance: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Draw normal profiles; a covariance of centred values is singular, and rounding may push it below zero."""
    w, q = np.linalg.eigh(covariance)
    return rng.standard_normal((draws, len(w))) @ (q * np.sqrt(np.maximum(w, 0.0))).T


def _turned(y: np.ndarray, turn: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Draw profiles with the wave of one at a random place and its rest in a random direction, sizes kept."""
    n = len(y)
    wave = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    whole, _ = np.linalg.qr(np.column_stack([np.ones(n), wave, np.eye(n)[:, : n - 3]]))
    out = np.zeros((draws, n))
    for plane in (whole[:, 1:3], whole[:, 3:]):
        way = rng.standard_normal((draws, plane.shape[1]))
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        out += np.linalg.norm(plane.T @ y) * way @ plane.T
    return out


def _phases(y: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Draw profiles with the same size of every harmonic and random phases."""
    harmonics = np.fft.rfft(y)
    turn = np.exp(2j * np.pi * rng.random((draws, len(harmonics))))
    turn[:, 0] = 1.0
    if len(y) % 2 == 0:
        turn[:, -1] = rng.choice((-1.0, 1.0), draws)
    return np.fft.irfft(harmonics * turn, n=len(y), axis=1)


def without_generic(profiles: Float[np.ndarray, "unit value"]) -> Float[np.ndarray, "unit value"]:
    """Take from each unit's profile what all units share and what the unit adds to all values alike.

    Different models' profiles look alike because all look like a generic assistant; what is left here is a unit's own.

    Args:
        profiles: One row per model, persona or other unit; NaN stays NaN.

    Returns:
        Deviations from both means: rows and columns have mean 0, and so the last one follows from the others.
    """
    known = np.isfinite(profiles)
    out = np.where(known, profiles, 0.0)
    for _ in range(1 if known.all() else 100):
        for axis in (0, 1):
            n = known.sum(axis=axis, keepdims=True)
            out = np.where(known, out - out.sum(axis=axis, keepdims=True) / np.maximum(n, 1), 0.0)
    out[np.abs(out) <= 100 * ROUND_OFF * np.abs(np.where(known, profiles, 0.0)).max(initial=0.0)] = 0.0
    return np.where(known, out, np.nan)


@dataclass(frozen=True)
class Identified:
    """How often a unit is recognised by its own: one measure's profile against everybody's profile on the other.

    Args:
        accuracy: Share of units nearer to their own than to any other.
        chance: 1 / units.
        p: Share of pairings at random that do as well.
        n: Units with both profiles.
    """

    accuracy: float
    chance: float
    p: float
    n: int


def identify(
    x: Float[np.ndarray, "unit value"], y: Float[np.ndarray, "unit value"], *, draws: int = 999, seed: int
) -> Identified:
    """Tell whether each unit's profile on one measure picks out its own profile on the other, generic profile removed.

    Args:
        x: Profiles on one measure; units with a NaN on either side are left out.
        y: Profiles on the other.
        draws: Random pairings.
        seed: Seed of the pairings.
    """
    known = np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)
    n = int(known.sum())
    if n < 3 or x.shape[1] < 3:
        return Identified(math.nan, math.nan, math.nan, n)
    sides = []
    for side in (x[known], y[known]):
        own = without_generic(side.astype(np.float64))
        size = np.linalg.norm(own, axis=1, keepdims=True)
        sides.append(np.where(size > 0, own / np.where(size > 0, size, 1.0), 0.0))
    r = sides[0] @ sides[1].T
    best = r >= r.max(axis=1, keepdims=True) - ROUND_OFF
    share = np.where(best, 1.0 / best.sum(axis=1, keepdims=True), 0.0)  # ties are shared out
    rng = np.random.default_rng(seed)
    rows = np.arange(n)
    hits = float(share[rows, rows].mean())
    null = np.array([share[rows, rng.permutation(n)].mean() for _ in range(draws)])
    return Identified(hits, 1 / n, float(permutation_p(np.array([hits]), null[:, None])[0]), n)
