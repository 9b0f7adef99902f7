"""Ablation: how much of what ratings owe to a value is gone when something is taken out of the activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from vprobe.effects._followed import Followed

LEAST = 0.01
"""Rating points per SD of label below which ratings do not follow anything."""


@dataclass(frozen=True)
class Ablation:
    """What arms of ablation leave of the ratings' slopes; arm 0, the unchanged model, is not among the arms here.

    Args:
        base: Slopes of the unchanged model's ratings, points per SD of what is read and SD of label.
        there: True where the lower end of the 95 % interval of `base` is above `LEAST`.
        slope: Slopes under each arm.
        removed: 1 - (slope / base)^2; NaN where ratings do not follow what is read to begin with.
        low: Lower end of its 95 % percentile interval, whole queries drawn.
        high: Upper end.
        others: 1 - sum of squared slopes over the sum before, of all values but one: `others[a, v]` leaves out v.
        others_low: Lower end of its interval.
        others_high: Upper end.
    """

    base: Float[np.ndarray, " value"]
    there: Bool[np.ndarray, " value"]
    slope: Float[np.ndarray, "arm value"]
    removed: Float[np.ndarray, "arm value"]
    low: Float[np.ndarray, "arm value"]
    high: Float[np.ndarray, "arm value"]
    others: Float[np.ndarray, "arm value"]
    others_low: Float[np.ndarray, "arm value"]
    others_high: Float[np.ndarray, "arm value"]


def ablation(found: Followed) -> Ablation:
    """Compare ratings with something taken out of the activations with those without, value by value.

    Args:
        found: Slopes; arm 0 is the unchanged model.
    """
    there = found.low[0] > LEAST
    removed, others = _gone(found.effect[None])
    own, rest = _gone(found.draws)
    low, high = (np.where(there, Followed.quantile(own, at), np.nan) for at in (0.025, 0.975))
    return Ablation(
        found.effect[0], there, found.effect[1:], np.where(there, removed[0], np.nan), low, high, others[0],
        Followed.quantile(rest, 0.025), Followed.quantile(rest, 0.975),
    )  # fmt: skip


def _gone(effect: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return shares of squared slopes that are gone, of each value and of all the others; arm 0 is the baseline."""
    square = effect**2
    rest = square.sum(axis=-1, keepdims=True) - square
    return _less(square), _less(rest)


def _less(square: np.ndarray) -> np.ndarray:
    before = square[:, :1]
    return np.where(before > 0, 1.0 - square[:, 1:] / np.where(before > 0, before, 1.0), np.nan)


def reach_of(draws: Float[np.ndarray, " draw"] | Sequence[float], *, quantile: float = 0.95) -> float:
    """Return a quantile over null vectors; NaN when there are none.

    Args:
        draws: What each of them did; NaN does not exist.
        quantile: Which.
    """
    real = np.asarray(draws, dtype=np.float64)
    real = real[np.isfinite(real)]
    return float(np.quantile(real, quantile)) if len(real) else float("nan")
