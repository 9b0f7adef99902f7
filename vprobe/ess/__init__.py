"""What people say of themselves in the European Social Survey, and whether a model's personas differ as people do.

The survey file is the user's: it is free on registration with the ESS and may not be passed on.

Source: European Social Survey, Human Values Scale (PVQ-21), variables and codes of rounds 1 to 11.
"""

from __future__ import annotations

from vprobe.ess._compare import AxisMatch, Comparison, Effect, PairMatch, TrendMatch, compare, effects
from vprobe.ess._groups import GroupRow, groups
from vprobe.ess._read import AXES, Survey, read

__all__ = [
    "AXES",
    "AxisMatch",
    "Comparison",
    "Effect",
    "GroupRow",
    "PairMatch",
    "Survey",
    "TrendMatch",
    "compare",
    "effects",
    "groups",
    "read",
]
