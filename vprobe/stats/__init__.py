"""Correlation, reliability, intervals and permutation tests for grouped samples; knows no model and no value.

Samples come in groups (responses to one query). Everything within groups rests on five sums per group, see `Within`,
so intervals and thousands of null draws need no second pass over the data. Draws are on axis 0 throughout.
"""

from __future__ import annotations

from vprobe.stats._absolute import Concordance, Equivalence, Limits, ccc_of, concordance, equivalence, limits, moments
from vprobe.stats._classic import (
    LEAST_RELIABILITY,
    disattenuate,
    fisher_mean,
    pearson,
    spearman,
    spearman_brown,
)
from vprobe.stats._congruence import Congruence, congruence, tucker, turned
from vprobe.stats._corrected import Corrected, corrected
from vprobe.stats._groups import (
    ROUND_OFF,
    Groups,
    Within,
    centre,
    codes,
    correlation_of,
    fold_of,
    patterns,
    slope_of,
    within,
    within_r,
)
from vprobe.stats._icc import Icc, IccIntervals, icc, icc_intervals, icc_moments, icc_of
from vprobe.stats._inference import Interval, holm, interval, max_t_p, permutation_p
from vprobe.stats._order import Correspondence, circular, correspondence, correspondence_index
from vprobe.stats._pairs import Pairs, gamma_of, pairs_within
from vprobe.stats._smooth import Identified, ProfileTest, identify, profile_test, without_generic

__all__ = [
    "LEAST_RELIABILITY",
    "ROUND_OFF",
    "Concordance",
    "Congruence",
    "Corrected",
    "Correspondence",
    "Equivalence",
    "Groups",
    "Icc",
    "IccIntervals",
    "Identified",
    "Interval",
    "Limits",
    "Pairs",
    "ProfileTest",
    "Within",
    "ccc_of",
    "centre",
    "circular",
    "codes",
    "concordance",
    "congruence",
    "corrected",
    "correlation_of",
    "correspondence",
    "correspondence_index",
    "disattenuate",
    "equivalence",
    "fisher_mean",
    "fold_of",
    "gamma_of",
    "holm",
    "icc",
    "icc_intervals",
    "icc_moments",
    "icc_of",
    "identify",
    "interval",
    "limits",
    "max_t_p",
    "moments",
    "pairs_within",
    "patterns",
    "pearson",
    "permutation_p",
    "profile_test",
    "slope_of",
    "spearman",
    "spearman_brown",
    "tucker",
    "turned",
    "within",
    "within_r",
    "without_generic",
]
