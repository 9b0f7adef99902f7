"""PVQ-RR scores: nineteen refined values, the ten they make up, and four higher-order values."""

from __future__ import annotations

from pathlib import Path

from vprobe.benchmarks._pvq_keys import PVQ_RR
from vprobe.scoring import _pvq
from vprobe.scoring._numbered import accepted
from vprobe.types import AnswerTable, ScaleRow

KIND = _pvq.KIND
RULES = _pvq.RULES
ITEM_COLUMNS = ("item",)
SCALE = _pvq.SCALE
versions, parse = _pvq.versions, _pvq.parse


def known(folder: Path | None = None) -> tuple[str, ...]:
    """Return how an answer file may name the portraits: "pvq-rr-01" or "1", up to 57.

    Args:
        folder: Not used: scoring needs no wording.
    """
    return accepted(PVQ_RR.name, PVQ_RR.n_items)


def score(answers: AnswerTable, *, rule: str = RULES[0], folder: Path | None = None) -> tuple[ScaleRow, ...]:
    """Score ten values (family "pvq"), the nineteen refined ("pvq_refined") and four higher-order ones ("higher_pvq").

    Humility counts as tradition among the ten; face is in none of them, and neither is in a higher-order value.

    Args:
        answers: Ratings from 1 to 6, of any respondents in any versions.
        rule: "centred" takes each respondent's mean over all portraits off; "raw" does not.
        folder: Not used: scoring needs no wording.

    Raises:
        InputError: One portrait answered twice, under two names.
    """
    return _pvq.score(answers, PVQ_RR, rule=rule, families=("pvq", "higher_pvq", "pvq_refined"))
