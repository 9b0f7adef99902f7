"""The nouns: frozen records that check themselves. Only these, arrays and plain values cross a room's door.

Axis names in shapes: sample item site layer position d_model value option draw token.
"""

from __future__ import annotations

from vprobe.types._answers import AnswerTable, InduceRow, Kind, ScaleRow
from vprobe.types._arrays import frozen_array
from vprobe.types._card import BaselineRow, EmbeddingRow, SearchRow
from vprobe.types._damage import DamageRow
from vprobe.types._effects import EffectRow, ResponseRow, SolvedRow, SpecificityRow
from vprobe.types._inside import HOOKS, POINTS, Activations, Direction, ModelInfo, ModelSize, Site, plain_address
from vprobe.types._items import Benchmark, Item, Loading, Option, Reliability, Template
from vprobe.types._methods import MethodRow, PatternRow, TraitPairRow, ValidityRow
from vprobe.types._results import Agreement, Count, Fold, RunInfo, Scores
from vprobe.types._rows import (
    ClaimRow,
    ConditionRow,
    DoseRow,
    GenerationRow,
    MapPoint,
    ProfileRow,
    ScoreRow,
    SiteNorm,
    SitePick,
    TruthRow,
)
from vprobe.types._seen import Seen
from vprobe.types._steering import (
    CONFLICTS,
    MEASURES,
    STEER_POSITIONS,
    Gate,
    Operation,
    Probe,
    Steered,
    Steering,
    from_token,
    per_row,
)
from vprobe.types._texts import POSITIONS, Answers, Generation, Mark, Message, Prompt, Response, Span, Tokens

__all__ = [
    "CONFLICTS",
    "HOOKS",
    "MEASURES",
    "POINTS",
    "POSITIONS",
    "STEER_POSITIONS",
    "Activations",
    "Agreement",
    "AnswerTable",
    "Answers",
    "BaselineRow",
    "Benchmark",
    "ClaimRow",
    "ConditionRow",
    "Count",
    "DamageRow",
    "Direction",
    "DoseRow",
    "EffectRow",
    "EmbeddingRow",
    "Fold",
    "Gate",
    "Generation",
    "GenerationRow",
    "InduceRow",
    "Item",
    "Kind",
    "Loading",
    "MapPoint",
    "Mark",
    "Message",
    "MethodRow",
    "ModelInfo",
    "ModelSize",
    "Operation",
    "Option",
    "PatternRow",
    "Probe",
    "ProfileRow",
    "Prompt",
    "Reliability",
    "Response",
    "ResponseRow",
    "RunInfo",
    "ScaleRow",
    "ScoreRow",
    "Scores",
    "SearchRow",
    "Seen",
    "Site",
    "SiteNorm",
    "SitePick",
    "SolvedRow",
    "Span",
    "SpecificityRow",
    "Steered",
    "Steering",
    "Template",
    "Tokens",
    "TraitPairRow",
    "TruthRow",
    "ValidityRow",
    "from_token",
    "frozen_array",
    "per_row",
    "plain_address",
]
