"""Can answers to an instrument be relied on? Over wordings and orders of the options, and over the items of a scale."""

from __future__ import annotations

from vprobe.psychometrics._consistency import ConsistencyRow, alpha, consistency, omega
from vprobe.psychometrics._versions import LARGEST_ORDER_EFFECT, LEAST_ICC, VersionRow, repeatability

__all__ = [
    "LARGEST_ORDER_EFFECT",
    "LEAST_ICC",
    "ConsistencyRow",
    "VersionRow",
    "alpha",
    "consistency",
    "omega",
    "repeatability",
]
