"""How alike models' profiles are, and how much of each is its own once what models have in common is removed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.compare._table import Profiles

FEWEST_OTHERS = 2
"""Other families that a generic profile is made of, at least."""
FEWEST_VALUES = 4
"""Values that two profiles must share with a third that both are freed of."""
FLAT = 1e-9
"""What is left of a profile below this share of it is rounding."""


@dataclass(frozen=True)
class OwnRow:
    """How much of a model's profile is its own.

    Args:
        model: The model.
        family: Its family.
        r_generic: Correlation of its profile with the generic one: the mean over all other families.
        own: Share of its profile's variance that the generic profile does not explain, from 0 to 1. Noise is part of
            it: two runs of one model would not have 0 either.
        n_values: Values with a score.
        n_families: Families the generic profile is made of.
        reason: Why it is NaN; empty when it is not.
    """

    model: str
    family: str
    r_generic: float
    own: float
    n_values: int
    n_families: int
    reason: str = ""


@dataclass(frozen=True)
class PairRow:
    """How alike the profiles of two models are.

    Args:
        first: A model.
        second: Another.
        same_family: Whether they are of one family.
        r: Correlation of their profiles.
        r_own: The same with the generic profile of all other families held constant; NaN below two other families.
    """

    first: str
    second: str
    same_family: bool
    r: float
    r_own: float


@dataclass(frozen=True)
class LikenessRow:
    """How alike models are over many pairs.

    Args:
        pairs: "all", "same family" or "different families".
        n: Pairs.
        median_r: Median correlation of profiles.
        median_r_own: The same with the generic profile held constant.
    """

    pairs: str
    n: int
    median_r: float
    median_r_own: float


def own(table: Profiles) -> tuple[OwnRow, ...]:
    """Return for each model how much of its profile the profile of all other families does not explain.

    Values on a circle are not independent points: correlations of profiles of ten values are large by chance, so no
    p stands beside them.

    Args:
        table: The scores.
    """
    means = _family_means(table)
    out = []
    for one, x in zip(table.models, table.x, strict=True):
        generic = _generic(means, (one.family,))
        r, reason = math.nan, f"{generic.n} other families; {FEWEST_OTHERS} are needed"
        known = int(np.isfinite(x).sum())
        if generic.n >= FEWEST_OTHERS:
            r = stats.pearson(x, generic.x)
            reason = "" if math.isfinite(r) else f"{known} values with a score, or all the same"
        out.append(
            OwnRow(
                one.model, one.family, r, 1.0 - max(r, 0.0) ** 2 if math.isfinite(r) else r, known, generic.n, reason
            )
        )
    return tuple(out)


def pairs(table: Profiles) -> tuple[PairRow, ...]:
    """Return the correlation of every two models' profiles, before and after the generic profile is held constant.

    The generic profile of a pair is the mean over the families neither of them is from, so that it holds nothing of
    their own. Holding it constant (a partial correlation) removes it at whatever strength a model has it. With few
    other families the generic profile is itself uncertain, and some of what models share stays.

    Args:
        table: The scores.
    """
    means, models = _family_means(table), table.models
    at = [(i, j) for i in range(len(models)) for j in range(i + 1, len(models))]
    freed = [_freed(table.x[[i, j]], _generic(means, (models[i].family, models[j].family))) for i, j in at]
    r = _columns([table.x[[i, j]] for i, j in at])
    return tuple(
        PairRow(models[i].model, models[j].model, models[i].family == models[j].family, float(plain), float(own))
        for (i, j), plain, own in zip(at, r, _columns(freed), strict=True)
    )


def likeness(found: Sequence[PairRow]) -> tuple[LikenessRow, ...]:
    """Return medians over all pairs, pairs of one family and pairs of two.

    Args:
        found: From `pairs`.
    """
    parts = (
        ("all", list(found)),
        ("same family", [row for row in found if row.same_family]),
        ("different families", [row for row in found if not row.same_family]),
    )
    return tuple(
        LikenessRow(name, len(part), _median([row.r for row in part]), _median([row.r_own for row in part]))
        for name, part in parts
    )


@dataclass(frozen=True)
class _Means:
    families: tuple[str, ...]
    x: Float[np.ndarray, "family value"]


def _family_means(table: Profiles) -> _Means:
    names = tuple(dict.fromkeys(table.families))
    family = np.asarray(table.families)
    return _Means(names, np.stack([_mean_known(table.x[family == name]) for name in names]))


@dataclass(frozen=True)
class _Generic:
    x: Float[np.ndarray, " value"]
    n: int


def _generic(means: _Means, without: Sequence[str]) -> _Generic:
    """Return the mean profile over other families, and how many they are."""
    others = [i for i, name in enumerate(means.families) if name not in without]
    return _Generic(_mean_known(means.x[others]), len(others))


def _mean_known(x: Float[np.ndarray, "row value"]) -> Float[np.ndarray, " value"]:
    known = np.isfinite(x)
    n = known.sum(axis=0)
    return np.where(n > 0, np.where(known, x, 0.0).sum(axis=0) / np.maximum(n, 1), np.nan)


def _freed(two: Float[np.ndarray, "2 value"], generic: _Generic) -> Float[np.ndarray, "2 value"]:
    """Return what a generic profile leaves of two profiles, over the values all three have; NaN where it cannot be."""
    known = np.isfinite(two).all(axis=0) & np.isfinite(generic.x)
    out = np.full(two.shape, np.nan)
    if generic.n < FEWEST_OTHERS or known.sum() < FEWEST_VALUES:
        return out
    design = np.column_stack([np.ones(int(known.sum())), generic.x[known]])
    left = two[:, known].T - design @ np.linalg.lstsq(design, two[:, known].T, rcond=None)[0]
    flat = np.abs(left).max(axis=0) <= FLAT * np.abs(two[:, known]).max(axis=1)
    out[:, known] = np.where(flat, 0.0, left).T
    return out


def _columns(two: Sequence[np.ndarray]) -> Float[np.ndarray, " pair"]:
    """Return the correlation of each pair of profiles, all pairs at once."""
    both = np.stack(two)
    return stats.within_r(both[:, 0].T, both[:, 1].T, np.zeros(both.shape[2], dtype=np.int64))


def _median(numbers: Sequence[float]) -> float:
    known = [x for x in numbers if math.isfinite(x)]
    return float(np.median(known)) if known else math.nan
