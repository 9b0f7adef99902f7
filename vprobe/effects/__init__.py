"""What steering did: dose-response per item, and what it moved beside its target."""

from __future__ import annotations

from vprobe.effects._ablation import Ablation, ablation, reach_of
from vprobe.effects._audits import (
    Audit,
    Figure,
    against_label,
    compliance,
    keyed_items,
    options,
    reversed_items,
    within_queries,
)
from vprobe.effects._dose import STILL, DoseResponse, dose_response, item_slopes
from vprobe.effects._followed import Followed, followed
from vprobe.effects._interchange import Slope, agreement_of
from vprobe.effects._leakage import Acceptance, acceptance, leakage
from vprobe.effects._matrix import LOST, Matrix, effect_matrix, label_spread, percentiles
from vprobe.effects._nulls import Against, against, outward
from vprobe.effects._solve import least_leakage, turned
from vprobe.effects._specificity import CircleFit, circle_fit, excess, selectivity
from vprobe.effects._told import Purged, Shared, purge, shared_part

__all__ = [
    "LOST",
    "STILL",
    "Ablation",
    "Acceptance",
    "Against",
    "Audit",
    "CircleFit",
    "DoseResponse",
    "Figure",
    "Followed",
    "Matrix",
    "Purged",
    "Shared",
    "Slope",
    "ablation",
    "acceptance",
    "against",
    "against_label",
    "agreement_of",
    "circle_fit",
    "compliance",
    "dose_response",
    "effect_matrix",
    "excess",
    "followed",
    "item_slopes",
    "keyed_items",
    "label_spread",
    "leakage",
    "least_leakage",
    "options",
    "outward",
    "percentiles",
    "purge",
    "reach_of",
    "reversed_items",
    "selectivity",
    "shared_part",
    "turned",
    "within_queries",
]
