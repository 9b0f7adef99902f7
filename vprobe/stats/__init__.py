"""Correlation, reliability, intervals and permutation tests for grouped samples; knows no model and no value.

Samples come in groups (responses to one query). Everything within groups rests on five sums per group, see `Within`,
so intervals and thousands of null draws need no second pass over the data. Draws are on axis 0 throughout.
"""

from __future__ import annotations

from vprobe.stats._classic import (
    LEAST_RELIABILITY,
    CosineFit,
    Icc,
    cosine_fit,
    disattenuate,
    fisher_mean,
    icc,
    pearson,
    spearman,
    spearman_brown,
)
from vprobe.stats._groups import (
    ROUND_OFF,
    Groups,
    Within,
    centre,
    codes,
    correlation_of,
    fold_of,
    slope_of,
    within,
    within_r,
)
from vprobe.stats._inference import Interval, interval, max_t_p, permutation_p

__all__ = [
    "LEAST_RELIABILITY",
    "ROUND_OFF",
    "CosineFit",
    "Groups",
    "Icc",
    "Interval",
    "Within",
    "centre",
    "codes",
    "correlation_of",
    "cosine_fit",
    "disattenuate",
    "fisher_mean",
    "fold_of",
    "icc",
    "interval",
    "max_t_p",
    "pearson",
    "permutation_p",
    "slope_of",
    "spearman",
    "spearman_brown",
    "within",
    "within_r",
]
