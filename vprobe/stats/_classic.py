"""Correlations and reliability, thin over scipy."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy import stats as scipy_stats

from vprobe.errors import RefusedError
from vprobe.stats._groups import within_r

LEAST_RELIABILITY = 0.2
"""Below this a correlation is not corrected for label noise: the correction would be mostly noise itself."""


def pearson(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Return Pearson's r over the pairs that are known; NaN below 3 pairs or when a side is constant."""
    return float(within_r(x[:, None], y[:, None], np.zeros(len(x), dtype=np.int64))[0]) if len(x) else math.nan


def spearman(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Return Spearman's rho (mean ranks for ties) over the pairs that are known; NaN as for `pearson`."""
    known = np.isfinite(x) & np.isfinite(y)
    return pearson(scipy_stats.rankdata(x[known]), scipy_stats.rankdata(y[known]))


def fisher_mean(r: Float[np.ndarray, " n"]) -> float:
    """Return the mean of correlations on Fisher's z scale; NaN are left out."""
    known = r[np.isfinite(r)]
    edge = 1.0 - 1e-15
    return float(np.tanh(np.arctanh(np.clip(known, -edge, edge)).mean())) if len(known) else math.nan


def spearman_brown(r: float, k: float = 2.0) -> float:
    """Return the reliability of a measure k times as long, from the reliability `r` of one part.

    Source: Spearman (1910) and Brown (1910), Brit. J. Psychol. 3.
    """
    lower = 1.0 + (k - 1.0) * r
    return k * r / lower if lower > 0 else math.nan


def disattenuate(r: float, reliability_x: float, reliability_y: float = 1.0) -> float:
    """Return a correlation corrected for the noise of both measures.

    Raises:
        RefusedError: A reliability is not known or below `LEAST_RELIABILITY`.

    Source: Spearman (1904), Am. J. Psychol. 15.
    """
    for reliability in (reliability_x, reliability_y):
        if not reliability >= LEAST_RELIABILITY:
            raise RefusedError(
                f"reliability {reliability:.2f}",
                where="correction for noise",
                expected=f"at least {LEAST_RELIABILITY}",
                do="report the uncorrected correlation and call the value unmeasurable",
            )
    return r / math.sqrt(reliability_x * reliability_y)
