"""Agreement: do probe, ratings and human labels order items alike, do they give one profile, do they move together?

No estimate leaves this room without its interval, null, p, ceiling and counts, and none is corrected for noise except
where it says so. What claims rest on is in `measure`, `profile` and `conditions`; the others say the same in other
terms: pairs instead of correlations, absolute differences, cells, methods side by side.
"""

from vprobe.agreement._ceilings import OVER, over_ceiling
from vprobe.agreement._cells import CELLS, TOLD, cells
from vprobe.agreement._conditions import NEEDED as NEEDED_CONDITIONS
from vprobe.agreement._conditions import conditions, halves
from vprobe.agreement._items import NEEDED, PROFILE_STATISTIC, STATISTIC, Null, draws, measure, profile
from vprobe.agreement._methods import Methods, methods, relation
from vprobe.agreement._more import MARGIN, blank, concordance, corrected, forms, smooth

__all__ = [
    "CELLS",
    "MARGIN",
    "NEEDED",
    "NEEDED_CONDITIONS",
    "OVER",
    "PROFILE_STATISTIC",
    "STATISTIC",
    "TOLD",
    "Methods",
    "Null",
    "blank",
    "cells",
    "concordance",
    "conditions",
    "corrected",
    "draws",
    "forms",
    "halves",
    "measure",
    "methods",
    "over_ceiling",
    "profile",
    "relation",
    "smooth",
]
