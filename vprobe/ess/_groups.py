"""Group means of people's values, as differences from everybody's mean."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from vprobe.ess._read import AXES, Survey
from vprobe.values import SCHWARTZ

FEWEST = 2
"""Fewest people a group mean with an interval is made of."""


@dataclass(frozen=True)
class GroupRow:
    """How far one group of people lies from all people on one value.

    Args:
        axis: Such as "age".
        level: Such as "under_30".
        value: Canonical value name.
        difference: Group mean less everybody's mean, centred rating points; NaN when there is nobody in the group.
        low: Lower end of the 95 % interval.
        high: Upper end.
        n: People in the group.
    """

    axis: str
    level: str
    value: str
    difference: float
    low: float
    high: float
    n: int


def groups(survey: Survey) -> tuple[GroupRow, ...]:
    """Return the groups of every axis: weighted group mean less the weighted mean of everybody scored.

    Intervals take the weights and the overlap of a group with everybody into account, not the sampling of households
    and districts, so they are somewhat narrow. Countries are pooled as the weights have them.

    Args:
        survey: From `read`.

    Source: linearised variance of a difference of weighted means, Särndal, Swensson & Wretman (1992), chapter 5.
    """
    rows = []
    for place, axis in enumerate(AXES):
        for level, name in enumerate(axis.levels):
            member = survey.level[:, place] == level
            found, half = _difference(survey.values, survey.weight, member)
            rows += [
                GroupRow(axis.name, name, value, float(d), float(d - h), float(d + h), int(member.sum()))
                for value, d, h in zip(SCHWARTZ, found, half, strict=True)
            ]
    return tuple(rows)


def _difference(
    x: Float[np.ndarray, "respondent value"],
    w: Float[np.ndarray, " respondent"],
    member: Bool[np.ndarray, " respondent"],
) -> tuple[Float[np.ndarray, " value"], Float[np.ndarray, " value"]]:
    """Return the differences and half the width of their 95 % intervals; a value nobody has a score on stays NaN."""
    out, half = np.full((2, x.shape[1]), math.nan)
    for column in range(x.shape[1]):
        known = np.isfinite(x[:, column])
        y, weight, inside = x[known, column], w[known], member[known]
        if inside.sum() < FEWEST:
            continue
        everybody, group = np.average(y, weights=weight), np.average(y[inside], weights=weight[inside])
        part = np.where(inside, (y - group) / weight[inside].sum(), 0.0) - (y - everybody) / weight.sum()
        out[column], half[column] = group - everybody, 1.96 * np.sqrt(((weight * part) ** 2).sum())
    return out, half
