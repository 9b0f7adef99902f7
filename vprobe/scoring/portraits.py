"""Scores of our own portraits: ten values and four higher-order values, half of the portraits keyed the other way."""

from __future__ import annotations

from pathlib import Path

from vprobe.benchmarks.portraits import key
from vprobe.scoring import _pvq
from vprobe.scoring._numbered import accepted
from vprobe.types import AnswerTable, ScaleRow

KIND = _pvq.KIND
RULES = _pvq.RULES
ITEM_COLUMNS = ("item",)
SCALE = _pvq.SCALE
versions, parse = _pvq.versions, _pvq.parse


def known(folder: Path | None = None) -> tuple[str, ...]:
    """Return how an answer file may name the portraits: "portraits-01" or "1", up to 40.

    Args:
        folder: Not used: scoring needs no wording.
    """
    return accepted(key().name, key().n_items)


def score(answers: AnswerTable, *, rule: str = RULES[0], folder: Path | None = None) -> tuple[ScaleRow, ...]:
    """Score the ten values (family "schwartz") and the four higher-order values ("higher_order"), means of value means.

    Args:
        answers: Ratings from 1 to 6, of any respondents in any versions.
        rule: "centred" takes each respondent's mean over all portraits off; "raw" does not.
        folder: Not used: scoring needs no wording.

    Raises:
        InputError: One portrait answered twice, under two names.
    """
    return _pvq.score(answers, key(), rule=rule, families=("schwartz", "higher_order"))
