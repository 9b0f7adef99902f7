"""Values across models: how scores change with size and stage, which published findings hold, what models share.

    from vprobe import compare
    found = compare.models(compare.choose(rows, family="pvq"), compare.read_facts(Path("models.csv")))

Scores of one sort only: never ratings beside self-reports, one rule beside another, or two read-outs in one table.
Models of a family are no independent evidence, so every interval counts families.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vprobe.compare._effects import SIZE, EffectRow, effects
from vprobe.compare._facts import STAGES, ModelFacts, guess, read_facts
from vprobe.compare._findings import FindingRow, findings
from vprobe.compare._likeness import LikenessRow, OwnRow, PairRow, likeness, own, pairs
from vprobe.compare._table import Profiles, choose, profiles, read_scores
from vprobe.compare._targets import TargetRow, against
from vprobe.types import ScaleRow

__all__ = [
    "SIZE",
    "STAGES",
    "Comparison",
    "EffectRow",
    "FindingRow",
    "LikenessRow",
    "ModelFacts",
    "OwnRow",
    "PairRow",
    "Profiles",
    "TargetRow",
    "against",
    "choose",
    "guess",
    "models",
    "profiles",
    "read_facts",
    "read_scores",
]


@dataclass(frozen=True)
class Comparison:
    """All there is to say about several models' scores on one set of scales.

    Args:
        table: The scores side by side, and what is known of the models.
        effects: Each value's change with size and stage.
        findings: Published findings, tested.
        own: How much of each model's profile is its own.
        pairs: How alike every two models are.
        likeness: The same, over many pairs.
    """

    table: Profiles
    effects: tuple[EffectRow, ...]
    findings: tuple[FindingRow, ...]
    own: tuple[OwnRow, ...]
    pairs: tuple[PairRow, ...]
    likeness: tuple[LikenessRow, ...]


def models(rows: Sequence[ScaleRow], facts: Sequence[ModelFacts] = ()) -> Comparison:
    """Compare models by their scores.

    Args:
        rows: Scores of at least two models, of one instrument, family of scales, kind, rule, read-out and unit; see
            `choose`. They come from the table "scales" of run folders or from `scoring.score`.
        facts: What is known of the models, see `read_facts`; read off their names where empty, and marked as guessed.

    Raises:
        InputError: Scores of several sorts, fewer than two models, a scale scored twice, or a model without facts.
    """
    table = profiles(rows, facts)
    found = pairs(table)
    return Comparison(table, effects(table), findings(table), own(table), found, likeness(found))
