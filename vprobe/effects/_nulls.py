"""An effect beside those of vectors that mean nothing: how far they reach, and whether it goes beyond."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vprobe import stats


@dataclass(frozen=True)
class Against:
    """A null arm, and an effect held against it.

    Args:
        mean: Mean of the draws.
        sd: Standard deviation of the draws; NaN for one.
        reach: Quantile of their absolute size that the effect must exceed.
        largest: Largest absolute size.
        p: (1 + draws of at least the effect's size) / (1 + draws).
        beyond: Whether the effect, in its own direction, exceeds `reach`.
    """

    mean: float
    sd: float
    reach: float
    largest: float
    p: float
    beyond: bool


def outward(changes: Sequence[float] | np.ndarray, strengths: Sequence[float] | np.ndarray) -> float:
    """Return the mean change in the direction of the dose: what pushes back at a dose below 0 counts as a gain.

    Args:
        changes: One per dose.
        strengths: The doses; 0 has no direction and is left out.
    """
    signs = np.sign(np.asarray(strengths, dtype=np.float64))
    parts = (np.asarray(changes, dtype=np.float64) * signs)[signs != 0]
    return float(parts.mean()) if len(parts) else math.nan


def against(draws: Float[np.ndarray, " draw"], effect: float, *, reach: float = 0.95) -> Against:
    """Hold an effect against the draws of a null arm, whichever way they went.

    Args:
        draws: Effects of the null vectors, in the direction of the dose; NaN does not exist.
        effect: What is to exceed them.
        reach: Share of the draws to exceed.

    Source: Phipson & Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9, 39.
    """
    real = draws[np.isfinite(draws)]
    if not len(real):
        return Against(math.nan, math.nan, math.nan, math.nan, math.nan, False)
    size = np.abs(real)
    edge = float(np.quantile(size, reach))
    return Against(
        mean=float(real.mean()),
        sd=float(real.std(ddof=1)) if len(real) > 1 else math.nan,
        reach=edge,
        largest=float(size.max()),
        p=float(stats.permutation_p(np.array([abs(effect)]), size[:, None])[0]),
        beyond=bool(effect > edge),
    )
