"""Planning: how good a direction can be with so many items, what can be detected, and how many items a claim needs.

`plan` tells what to expect of one value at one size of study, `needed` the size a study must have. The closed forms
they rest on are here too, each with a source. Whoever plans says what share of the activations' variance a value has;
nobody knows it beforehand, so `Plan.assumptions` repeats every number that was taken for granted.
"""

from vprobe.power._formulas import (
    covariance_cosine,
    detectable_r,
    effective_n,
    held_out_r,
    mean_difference_cosine,
    n_for_cosine,
    n_for_r,
    null_sd,
    raters_needed,
    share_cosine,
    whole_cosine,
)
from vprobe.power._partial import partial_cosine
from vprobe.power._plan import Plan, needed, plan
from vprobe.power._released import RATERS, RELIABILITY, label_reliability

__all__ = [
    "RATERS",
    "RELIABILITY",
    "Plan",
    "covariance_cosine",
    "detectable_r",
    "effective_n",
    "held_out_r",
    "label_reliability",
    "mean_difference_cosine",
    "n_for_cosine",
    "n_for_r",
    "needed",
    "null_sd",
    "partial_cosine",
    "plan",
    "raters_needed",
    "share_cosine",
    "whole_cosine",
]
