"""What steering costs: drift on neutral text, lost ability, dull or refusing texts; doses of equal cost; the budget.

Knows no model: what a model did without and with a dose comes in, `DamageRow`s go out.
"""

from __future__ import annotations

from vprobe.damage._budget import ANSWERS, BUDGET, LEVEL, Allowed, Budget, broken, within_budget
from vprobe.damage._cost import CHANCE, Done, Dose, cost, mean_kl
from vprobe.damage._equal import EqualDose, equal_damage, read_off, target_of
from vprobe.damage._text import REFUSALS, distinct, refused, refuses, repetition

__all__ = [
    "ANSWERS",
    "BUDGET",
    "CHANCE",
    "LEVEL",
    "REFUSALS",
    "Allowed",
    "Budget",
    "Done",
    "Dose",
    "EqualDose",
    "broken",
    "cost",
    "distinct",
    "equal_damage",
    "mean_kl",
    "read_off",
    "refused",
    "refuses",
    "repetition",
    "target_of",
    "within_budget",
]
