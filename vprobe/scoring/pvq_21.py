"""PVQ-21 scores: ten values and four higher-order values from twenty-one portraits."""

from __future__ import annotations

from pathlib import Path

from vprobe.benchmarks._pvq_keys import PVQ_21
from vprobe.scoring import _pvq
from vprobe.scoring._numbered import accepted
from vprobe.types import AnswerTable, ScaleRow

KIND = _pvq.KIND
RULES = _pvq.RULES
ITEM_COLUMNS = ("item",)
SCALE = _pvq.SCALE
versions, parse = _pvq.versions, _pvq.parse


def known(folder: Path | None = None) -> tuple[str, ...]:
    """Return how an answer file may name the portraits: "pvq-21-01" or "1", up to 21.

    Args:
        folder: Not used: scoring needs no wording.
    """
    return accepted(PVQ_21.name, PVQ_21.n_items)


def score(answers: AnswerTable, *, rule: str = RULES[0], folder: Path | None = None) -> tuple[ScaleRow, ...]:
    """Score the ten values (family "pvq") and the four higher-order values ("higher_pvq"), means of value means.

    Args:
        answers: Ratings from 1 to 6, of any respondents in any versions.
        rule: "centred" takes each respondent's mean over all portraits off; "raw" does not.
        folder: Not used: scoring needs no wording.

    Raises:
        InputError: One portrait answered twice, under two names.
    """
    return _pvq.score(answers, PVQ_21, rule=rule, families=("pvq", "higher_pvq"))
