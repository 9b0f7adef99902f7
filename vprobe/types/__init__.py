"""The nouns: frozen records that check themselves. Only these, arrays and plain values cross a room's door.

Axis names in shapes: sample item site layer position d_model value option draw token.
"""

from __future__ import annotations

from vprobe.types._answers import AnswerTable, InduceRow, Kind, ScaleRow
from vprobe.types._arrays import frozen_array
from vprobe.types._audits import AuditRow, ChangeRow, NullRow, PromptRow
from vprobe.types._card import BaselineRow, EmbeddingRow, SearchRow
from vprobe.types._causal import AblationRow, InterchangeRow, PositionRow
from vprobe.types._damage import DamageRow
from vprobe.types._effects import EffectRow, ResponseRow, SolvedRow, SpecificityRow
from vprobe.types._eval import EvalRow
from vprobe.types._inside import HOOKS, POINTS, Activations, Direction, ModelInfo, ModelSize, Site, plain_address
from vprobe.types._items import Benchmark, Item, Loading, Option, Reliability, Template
from vprobe.types._methods import MethodRow, PatternRow, TraitPairRow, ValidityRow
from vprobe.types._placement import ONE_DEVICE, Placement
from vprobe.types._results import Agreement, Climb, Count, Fold, RunInfo, Scores
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
from vprobe.types._said import SaidRow
from vprobe.types._seen import Seen
from vprobe.types._spoken import Piece, SideBySide
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
from vprobe.types._transfer import TransferRow
from vprobe.types._vector_card import CardFact, CardPart, CardTable, VectorCard

__all__ = [
    "CONFLICTS",
    "HOOKS",
    "MEASURES",
    "ONE_DEVICE",
    "POINTS",
    "POSITIONS",
    "STEER_POSITIONS",
    "AblationRow",
    "Activations",
    "Agreement",
    "AnswerTable",
    "Answers",
    "AuditRow",
    "BaselineRow",
    "Benchmark",
    "CardFact",
    "CardPart",
    "CardTable",
    "ChangeRow",
    "ClaimRow",
    "Climb",
    "ConditionRow",
    "Count",
    "DamageRow",
    "Direction",
    "DoseRow",
    "EffectRow",
    "EmbeddingRow",
    "EvalRow",
    "Fold",
    "Gate",
    "Generation",
    "GenerationRow",
    "InduceRow",
    "InterchangeRow",
    "Item",
    "Kind",
    "Loading",
    "MapPoint",
    "Mark",
    "Message",
    "MethodRow",
    "ModelInfo",
    "ModelSize",
    "NullRow",
    "Operation",
    "Option",
    "PatternRow",
    "Piece",
    "Placement",
    "PositionRow",
    "Probe",
    "ProfileRow",
    "Prompt",
    "PromptRow",
    "Reliability",
    "Response",
    "ResponseRow",
    "RunInfo",
    "SaidRow",
    "ScaleRow",
    "ScoreRow",
    "Scores",
    "SearchRow",
    "Seen",
    "SideBySide",
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
    "TransferRow",
    "TruthRow",
    "ValidityRow",
    "VectorCard",
    "from_token",
    "frozen_array",
    "per_row",
    "plain_address",
]
