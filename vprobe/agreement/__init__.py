"""Agreement: do probe, ratings and human labels order items alike, do they give one profile, do they move together?

No estimate leaves this room without its interval, null, p, ceiling and counts, and none is corrected for noise.
"""

from vprobe.agreement._conditions import NEEDED as NEEDED_CONDITIONS
from vprobe.agreement._conditions import conditions
from vprobe.agreement._items import NEEDED, PROFILE_STATISTIC, STATISTIC, Null, draws, measure, profile

__all__ = [
    "NEEDED",
    "NEEDED_CONDITIONS",
    "PROFILE_STATISTIC",
    "STATISTIC",
    "Null",
    "conditions",
    "draws",
    "measure",
    "profile",
]
