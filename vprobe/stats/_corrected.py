"""Correlations corrected for noise, with the whole ratio drawn anew and refusal where there is too little signal."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vprobe.errors import InputError
from vprobe.stats._classic import LEAST_RELIABILITY
from vprobe.stats._groups import Groups, centre, codes
from vprobe.stats._inference import Interval, interval


@dataclass(frozen=True)
class Corrected:
    """A correlation over its ceiling, or why there is none.

    Args:
        r: The uncorrected correlation, to be shown first.
        ceiling: sqrt(reliability of one side x reliability of the other).
        estimate: r / ceiling; NaN where a side is unmeasurable. Above 1 the reliabilities are wrong or the luck large.
        low: Lower end of the 95 % interval of the ratio; queries are drawn and all of it is computed anew.
        high: Upper end.
        reliability_x: Reliability of the first side's mean.
        reliability_y: Of the second side's.
        reason: Why there is no estimate; empty when there is.
        n_groups: Queries used.
    """

    r: float
    ceiling: float
    estimate: float
    low: float
    high: float
    reliability_x: float
    reliability_y: float
    reason: str
    n_groups: int


def corrected(
    x: Float[np.ndarray, "sample form_x"],
    y: Float[np.ndarray, "sample form_y"],
    groups: Groups,
    *,
    reliability_x: float = math.nan,
    reliability_y: float = math.nan,
    seed: int,
    resamples: int = 1000,
) -> Corrected:
    """Correct the within-query correlation of two measures for the noise of both.

    A side with several parallel forms (columns), such as versions of a question, has the reliability of their mean
    within queries (ICC(3,k)), computed anew in every draw of the bootstrap; a side with one form needs a reliability
    known from elsewhere, which counts as exact.

    Args:
        x: Forms of one measure; samples with a NaN on either side are left out.
        y: Forms of the other.
        groups: The query of each sample.
        reliability_x: Of a side with one form; 1 is free of noise.
        reliability_y: The same of the other.
        seed: Seed of the bootstrap.
        resamples: Its draws.

    Raises:
        InputError: The sides differ in length.

    Source: Spearman (1904), Am. J. Psychol. 15; Cronbach (1951), Psychometrika 16 (the ICC of a mean of forms).
    """
    if len(x) != len(y) or len(x) != len(groups):
        raise InputError(f"{len(x)} and {len(y)} samples of {len(groups)}", where="correction for noise")
    known = np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)
    sums = _sums(x[known], y[known], np.asarray(codes(groups))[known])
    given = (_given(x.shape[1], reliability_x), _given(y.shape[1], reliability_y))
    forms = (x.shape[1], y.shape[1])
    totals = sums.sum(axis=0) if len(sums) else np.zeros(6)
    r, rel_x, rel_y = (float(one) for one in _parts(totals, forms, given))
    why = ""
    for side, (rel, k) in enumerate(((rel_x, forms[0]), (rel_y, forms[1]))):
        ends = _ends(sums, forms, given, 1 + side, seed, resamples) if k > 1 else Interval(rel, rel)
        if not rel >= LEAST_RELIABILITY:
            known = f"{rel:.2f}, below {LEAST_RELIABILITY}" if math.isfinite(rel) else "not known"
            why = why or f"unmeasurable: reliability {known}"
        elif not ends.low > 0:
            why = why or f"unmeasurable: the interval of the reliability reaches down to {ends.low:.2f}"
    ceiling = math.sqrt(rel_x * rel_y) if rel_x > 0 and rel_y > 0 else math.nan
    if why or not math.isfinite(r):
        why = why or "the correlation does not exist"
        return Corrected(r, ceiling, math.nan, math.nan, math.nan, rel_x, rel_y, why, len(sums))
    found = _ends(sums, forms, given, 3, seed, resamples)
    return Corrected(r, ceiling, r / ceiling, found.low, found.high, rel_x, rel_y, "", len(sums))


def _given(k: int, reliability: float) -> float:
    return math.nan if k > 1 else reliability


def _sums(x: np.ndarray, y: np.ndarray, code: np.ndarray) -> Float[np.ndarray, "group 6"]:
    """Return per group (df, xx, yy, xy of the means of forms; sums of the forms' own xx and yy)."""
    if not len(code):
        return np.zeros((0, 6))
    a, b = centre(x.astype(np.float64), code), centre(y.astype(np.float64), code)
    mean_a, mean_b = a.mean(axis=1), b.mean(axis=1)
    cells = np.stack(
        [np.ones(len(a)), mean_a**2, mean_b**2, mean_a * mean_b, (a**2).sum(axis=1), (b**2).sum(axis=1)], axis=1
    )
    names, code = np.unique(code, return_inverse=True)
    out = np.zeros((len(names), 6))
    np.add.at(out, code.reshape(-1), cells)
    out[:, 0] -= 1.0
    return out[out[:, 0] > 0]


def _parts(
    totals: Float[np.ndarray, "*more 6"], forms: tuple[int, int], given: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return r and the reliability of either side."""
    df, xx, yy, xy, own_x, own_y = np.moveaxis(totals, -1, 0)
    size = np.sqrt(xx * yy)
    r = np.where((size > 0) & (df >= 2), xy / np.where(size > 0, size, 1.0), np.nan)
    rel = []
    for k, whole, own, known in ((forms[0], xx, own_x, given[0]), (forms[1], yy, own_y, given[1])):
        if k == 1:
            rel.append(np.full(np.shape(whole), known))
        else:
            real = whole > 0
            rel.append(np.where(real, k / (k - 1) * (1 - own / np.where(real, k * k * whole, 1.0)), np.nan))
    return r, rel[0], rel[1]


def _ends(
    sums: np.ndarray, forms: tuple[int, int], given: tuple[float, float], which: int, seed: int, resamples: int
) -> Interval:
    """Return the interval of r (0), of a reliability (1, 2) or of r over its ceiling (3)."""

    def statistic(totals: np.ndarray) -> np.ndarray:
        r, rel_x, rel_y = _parts(totals, forms, given)
        if which < 3:
            return np.asarray((r, rel_x, rel_y)[which])
        product = rel_x * rel_y
        return np.where(product > 0, r / np.sqrt(np.where(product > 0, product, 1.0)), np.nan)

    return interval(sums, statistic, seed=seed, resamples=resamples)
