"""What an interchange says: does the coordinate alone do what the whole activation does, and ablation undo?"""

from __future__ import annotations

import math
from dataclasses import dataclass

NEAR = 0.5
"""Share of the interchange's slope that the whole activation must make, and that ablation must take away."""


@dataclass(frozen=True)
class Slope:
    """A slope with the ends of its 95 % interval."""

    estimate: float
    low: float
    high: float


def agreement_of(exchanged: Slope, whole: Slope, ablated: Slope, reach: float) -> tuple[bool, str]:
    """Return whether taking over a coordinate, putting in the whole activation and ablation say the same, and what.

    A direction can act without being what the model uses: what it is written along may wake a pathway that lies still
    in all that the model ever sees. Then the coordinate does more than the whole activation it was taken from.

    Args:
        exchanged: Slope when the coordinate is taken over.
        whole: Slope when the whole activation is put in.
        ablated: Fall of the natural slope when the direction is taken out.
        reach: What null vectors' coordinates reach.

    Source: Makelov, Lange & Nanda (2023), arXiv 2311.17030 (interpretability illusion of subspace patching).
    """
    size = f"{exchanged.estimate:+z.2f}"
    if not math.isfinite(exchanged.low):
        return False, "no interval: too few queries"
    beyond = exchanged.low > 0 and (math.isnan(reach) or exchanged.low > reach)
    if not beyond:
        more = ", the whole activation does: what matters lies elsewhere" if whole.low > 0 else ""
        said = f"the coordinate moves ratings by {size}, null vectors' by up to {reach:z.2f}"
        return False, f"nothing beyond null vectors: {said}{more}"
    if not _carries(whole, exchanged):
        return False, f"dormant pathway: the coordinate moves ratings by {size}, the whole activation {_told(whole)}"
    if not _carries(ablated, exchanged):
        return False, f"dormant pathway: the coordinate moves ratings by {size}, taking it out {_told(ablated)}"
    return True, "coordinate, whole activation and ablation agree"


def _carries(one: Slope, beside: Slope) -> bool:
    """Tell whether a slope is above 0 and at least a share of the one beside it."""
    return one.low > 0 and one.estimate >= NEAR * beside.estimate


def _told(one: Slope) -> str:
    return f"by {one.estimate:+z.2f} ({one.low:+z.2f} to {one.high:+z.2f})"
