"""Intervals over groups and permutation tests."""

from __future__ import annotations

import gc
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats as scipy_stats

from vprobe.stats._groups import ROUND_OFF


@dataclass(frozen=True)
class Interval:
    """An interval, or the reason why there is none (then both ends are NaN)."""

    low: float
    high: float
    reason: str = ""


def interval(
    parts: Float[np.ndarray, "group part"],
    statistic: Callable[[np.ndarray], np.ndarray],
    *,
    seed: int,
    resamples: int = 1000,
    level: float = 0.95,
) -> Interval:
    """Return a BCa bootstrap interval that draws whole groups.

    Args:
        parts: Sums per group; a statistic sees their total over the groups drawn.
        statistic: From totals of shape (..., part) to numbers of shape (...).
        seed: Seed of the draws.
        resamples: Draws.
        level: Coverage.

    Source: Efron (1987), JASA 82; scipy.stats.bootstrap.
    """
    if len(parts) < 3:
        return Interval(math.nan, math.nan, f"{len(parts)} groups, an interval needs 3")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # scipy warns where it returns NaN, which is reported below
        found = scipy_stats.bootstrap(
            (np.arange(len(parts)),),
            lambda index, axis: statistic(parts[index].sum(axis=-2)),
            n_resamples=resamples,
            batch=max(1, 4_000_000 // parts.size),
            vectorized=True,
            axis=-1,
            confidence_level=level,
            method="BCa",
            rng=np.random.default_rng(seed),
        ).confidence_interval
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return Interval(math.nan, math.nan, "the bootstrap distribution is degenerate")
    return Interval(float(found.low), float(found.high))


def permutation_p(
    observed: Float[np.ndarray, " column"], null: Float[np.ndarray, "draw column"]
) -> Float[np.ndarray, " column"]:
    """Return one-sided p, (1 + draws at least as large) / (1 + draws); draws that do not exist (NaN) are not counted.

    Source: Phipson & Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9, 39.
    """
    exists = np.isfinite(null)
    as_large = (exists & (null >= observed - ROUND_OFF)).sum(axis=0)
    p = (1.0 + as_large) / (1.0 + exists.sum(axis=0))
    return np.where(np.isfinite(observed) & exists.any(axis=0), p, np.nan)


def max_t_p(
    observed: Float[np.ndarray, " column"], null: Float[np.ndarray, "draw column"]
) -> Float[np.ndarray, " column"]:
    """Return p against the largest statistic of each draw, valid for the best of many columns.

    Source: Westfall & Young (1993), Resampling-Based Multiple Testing, ch. 2.
    """
    largest = np.where(np.isfinite(null), null, -np.inf).max(axis=1, initial=-np.inf)
    largest = np.where(np.isfinite(largest), largest, np.nan)
    return permutation_p(observed, np.repeat(largest[:, None], len(observed), axis=1))


def holm(p: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """Return p values corrected for being several, in their order; those that do not exist (NaN) are not counted.

    Source: Holm (1979), Scand. J. Statist. 6, 65-70; statsmodels.
    """
    from statsmodels.stats.multitest import multipletests

    out = p.astype(np.float64)
    known = np.isfinite(out)
    if known.any():
        with _kept_from_collection():
            out[known] = multipletests(out[known], method="holm")[1]
    return out


@contextmanager
def _kept_from_collection() -> Iterator[None]:
    """Leave little for a collection of garbage to look at; statsmodels asks for one a call, .2 to .8 s beside torch."""
    if gc.get_freeze_count():  # whoever froze objects before wants them to stay so
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
