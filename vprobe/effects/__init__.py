"""What steering did: dose-response per item, and what it moved beside its target."""

from __future__ import annotations

from vprobe.effects._dose import DoseResponse, dose_response, item_slopes
from vprobe.effects._leakage import Acceptance, acceptance, leakage
from vprobe.effects._matrix import Matrix, effect_matrix, label_spread
from vprobe.effects._solve import least_leakage, turned
from vprobe.effects._specificity import CircleFit, circle_fit, excess, selectivity

__all__ = [
    "Acceptance",
    "CircleFit",
    "DoseResponse",
    "Matrix",
    "acceptance",
    "circle_fit",
    "dose_response",
    "effect_matrix",
    "excess",
    "item_slopes",
    "label_spread",
    "leakage",
    "least_leakage",
    "selectivity",
    "turned",
]
