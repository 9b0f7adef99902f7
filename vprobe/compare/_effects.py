"""Size and stage: how each value's score changes with them, inside families."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.compare._facts import STAGES
from vprobe.compare._families import Estimate, difference, slope
from vprobe.compare._table import Profiles

SIZE = "size"
PER_DOUBLING = "per doubling of size"


@dataclass(frozen=True)
class EffectRow:
    """How one value's score changes with size, or from one stage to another.

    Args:
        value: Canonical value name.
        contrast: "size", or such as "reasoning less instruct".
        unit: What 1.0 means.
        estimate: Change of the score in the average family; NaN where it cannot be estimated.
        low: Lower end of the 95 % interval over families.
        high: Upper end.
        p: Two-sided.
        p_holm: The same, corrected for the number of values.
        n_models: Models it rests on.
        n_families: Families they are from.
        n_matched: Families in which only models of one size were compared; of stages only.
        reason: Why something is NaN; empty when nothing is.
    """

    value: str
    contrast: str
    unit: str
    estimate: float
    low: float
    high: float
    p: float
    p_holm: float
    n_models: int
    n_families: int
    n_matched: int = 0
    reason: str = ""


def size_slope(table: Profiles, y: Float[np.ndarray, " model"]) -> Estimate:
    """Return the change of a number per doubling of size in the average family, among models of one stage.

    Args:
        table: The models.
        y: One number per model; NaN is left out.
    """
    return slope(y, table.log2_size, table.families, table.stages)


def stage_difference(table: Profiles, y: Float[np.ndarray, " model"], higher: str, lower: str) -> Estimate:
    """Return how much higher a number is at one stage than at another in the average family.

    Args:
        table: The models.
        y: One number per model; NaN is left out.
        higher: Stage counted positive.
        lower: Stage it is compared with.
    """
    return difference(y, table.log2_size, table.families, table.stages, higher=higher, lower=lower)


def effects(table: Profiles) -> tuple[EffectRow, ...]:
    """Return one row per value for size, and one for every two stages that are both there.

    Args:
        table: The scores.
    """
    out = list(_rows(table, SIZE, f"{table.unit}, {PER_DOUBLING}", partial(size_slope, table)))
    for higher, lower in _stage_pairs(table):
        fit = partial(stage_difference, table, higher=higher, lower=lower)
        out += _rows(table, f"{higher} less {lower}", table.unit, fit)
    return tuple(out)


Fit = Callable[[np.ndarray], Estimate]


def _stage_pairs(table: Profiles) -> tuple[tuple[str, str], ...]:
    """List every two known stages among the models, the later one first."""
    there = set(table.stages) - {""}
    order = [*(one for one in STAGES if one in there), *sorted(there - set(STAGES))]
    return tuple((later, earlier) for i, later in enumerate(order) for earlier in order[:i])


def _rows(table: Profiles, contrast: str, unit: str, fit: Fit) -> tuple[EffectRow, ...]:
    found = [fit(table.column(value)) for value in table.values]
    several = stats.holm(np.array([one.p for one in found])).tolist()
    return tuple(
        EffectRow(
            value, contrast, unit, one.estimate, one.low, one.high, one.p, p, one.n_models, one.n_families,
            one.n_matched, one.reason,
        )
        for value, one, p in zip(table.values, found, several, strict=True)
    )  # fmt: skip
