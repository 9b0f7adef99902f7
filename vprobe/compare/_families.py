"""Estimates over models of few families: one number per family, then Student's t over families.

Models of one family share data, design and people, so a lab with ten models is one piece of evidence, not ten. With
ten families or fewer the usual clustered standard errors are too small, the more so where one family has most of the
models. A t test over the families' own numbers keeps its level with as few as three families, whatever their sizes and
however different their variances; it is rather too careful where these differ much. Every family counts once.

Source: Ibragimov & Mueller (2010), J. Bus. Econ. Stat. 28, 453-468; on the alternatives Cameron & Miller (2015),
J. Human Resources 50, 317-372, section VI.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats as scipy_stats

FEWEST = 3
"""Families below which there is no estimate: with two, t has one degree of freedom and must exceed 12.7."""
DOUBLING = 1.0
"""A family's own slope needs sizes of one stage this far apart, in doublings; over less, noise would be all of it."""
SAME_SIZE = 1.25
"""Models whose sizes differ by no more than this factor count as equally large."""


@dataclass(frozen=True)
class Estimate:
    """A number with the interval that families allow; NaN with a reason where there is none.

    Args:
        estimate: The mean over families, in the unit of what was compared.
        low: Lower end of the 95 % interval.
        high: Upper end.
        p: Two-sided.
        n_models: Models it rests on.
        n_families: Families they are from.
        reason: Why something is NaN; empty when nothing is.
        n_matched: Families in which only models of one size were compared.
    """

    estimate: float
    low: float
    high: float
    p: float
    n_models: int
    n_families: int
    reason: str = ""
    n_matched: int = 0


@dataclass(frozen=True)
class Own:
    """A family's own number.

    Args:
        number: Its mean, slope or difference.
        n_models: Models it is made of.
        matched: True where only models of one size were compared.
    """

    number: float
    n_models: int
    matched: bool = False


def mean(y: Float[np.ndarray, " model"], families: Sequence[str]) -> Estimate:
    """Return the mean over families of each family's mean.

    Args:
        y: One number per model; NaN is left out.
        families: Family of each model.
    """
    own = []
    for mine in _members(families):
        known = mine & np.isfinite(y)
        if known.any():
            own.append(Own(float(y[known].mean()), int(known.sum())))
    return over(own, "a score")


def slope(
    y: Float[np.ndarray, " model"],
    x: Float[np.ndarray, " model"],
    families: Sequence[str],
    stages: Sequence[str],
) -> Estimate:
    """Return the mean over families of each family's own slope of y on x, among its models of one stage.

    Args:
        y: Outcome; NaN is left out.
        x: Size in doublings; NaN is left out.
        families: Family of each model.
        stages: Stage of each model; a family's stages may differ in level, they share the slope.
    """
    own, stage = [], np.asarray(stages)
    for mine in _members(families):
        known = mine & np.isfinite(y) & np.isfinite(x)
        cells = [known & (stage == one) for one in np.unique(stage[known])]
        cells = [cell for cell in cells if np.ptp(x[cell]) > 0]
        if max((np.ptp(x[cell]) for cell in cells), default=0.0) < DOUBLING:
            continue
        dx = np.concatenate([x[cell] - x[cell].mean() for cell in cells])
        own.append(Own(float(dx @ np.concatenate([y[cell] for cell in cells]) / (dx @ dx)), len(dx)))
    return over(own, "models of one stage whose sizes differ by a factor of 2 or more")


def difference(
    y: Float[np.ndarray, " model"],
    size: Float[np.ndarray, " model"],
    families: Sequence[str],
    stages: Sequence[str],
    *,
    higher: str,
    lower: str,
) -> Estimate:
    """Return the mean over families of how much higher y is at one stage than at another.

    Where a family has models of both stages that are equally large, only these are compared, size by size. Elsewhere,
    as with models of undisclosed size, the means of all its models are.

    Args:
        y: Outcome; NaN is left out.
        size: Size in doublings; NaN is unknown.
        families: Family of each model.
        stages: Stage of each model.
        higher: The stage whose mean counts positive.
        lower: The stage it is compared with.
    """
    own, stage = [], np.asarray(stages)
    for mine in _members(families):
        known = mine & np.isfinite(y)
        up, down = np.flatnonzero(known & (stage == higher)), np.flatnonzero(known & (stage == lower))
        if len(up) and len(down):
            own.append(_own_difference(y, size, up, down))
    return over(own, f"both {higher} and {lower} models")


def over(own: Sequence[Own], needs: str) -> Estimate:
    """Return the mean over families with Student's t interval and p.

    Args:
        own: One number per family.
        needs: What a family must have to be among them, for the reason given where they are too few.
    """
    n, n_models = len(own), sum(one.n_models for one in own)
    if n < FEWEST:
        reason = f"{n} {'family has' if n == 1 else 'families have'} {needs}; {FEWEST} are needed"
        return Estimate(math.nan, math.nan, math.nan, math.nan, n_models, n, reason)
    numbers = np.array([one.number for one in own], dtype=np.float64)
    centre, matched = float(numbers.mean()), sum(one.matched for one in own)
    if np.ptp(numbers) <= 1e-12 * np.abs(numbers).max():
        same = "the families are all the same, so that no error can be estimated"
        return Estimate(centre, math.nan, math.nan, math.nan, n_models, n, same, matched)
    test = scipy_stats.ttest_1samp(numbers, 0.0)
    ends = test.confidence_interval(0.95)
    return Estimate(centre, float(ends.low), float(ends.high), float(test.pvalue), n_models, n, "", matched)  # pyright: ignore[reportAttributeAccessIssue]


def negative(found: Estimate) -> Estimate:
    """Return an estimate with its sign turned round."""
    return replace(found, estimate=-found.estimate, low=-found.high, high=-found.low)


def _own_difference(y: np.ndarray, size: np.ndarray, up: np.ndarray, down: np.ndarray) -> Own:
    gap = np.abs(size[up][:, None] - size[down][None, :])
    near = np.isfinite(gap) & (gap <= math.log2(SAME_SIZE))
    if not near.any():
        return Own(float(y[up].mean() - y[down].mean()), len(up) + len(down))
    rows = np.flatnonzero(near.any(axis=1))
    gaps = [float(y[up[i]] - y[down[near[i]]].mean()) for i in rows]
    return Own(float(np.mean(gaps)), len(rows) + int(near.any(axis=0).sum()), True)


def _members(families: Sequence[str]) -> list[Bool[np.ndarray, " model"]]:
    names = np.asarray(families)
    return [names == one for one in dict.fromkeys(families)]
