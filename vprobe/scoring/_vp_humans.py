"""The human raters of Value Portrait as a respondent: their mean rating of every item."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe.types import AnswerTable

RESPONDENT = "human raters"
_SURVEY = "data/prolific/survey/main/survey.json"


def mean_ratings(place: Path, item_ids: Sequence[str]) -> Float[np.ndarray, " item"]:
    """Return the mean human rating of each item, from 1 to 6, over its 41 to 48 raters.

    Args:
        place: Checked folder of the official data.
        item_ids: Items wanted.
    """
    mean = {
        f"{query}-{answer['option_id']}": float(np.mean([rating for rating, _ in answer["data"]]))
        for group in json.loads((place / _SURVEY).read_bytes())
        for query, answers in group.items()
        for answer in answers
    }
    return np.array([mean[name] for name in item_ids], dtype=np.float64)


def answers(place: Path, item_ids: Sequence[str]) -> AnswerTable:
    """Return the mean human ratings as answers, which were asked for once.

    Args:
        place: Checked folder of the official data.
        item_ids: Items wanted.
    """
    n = len(item_ids)
    return AnswerTable(
        respondents=(RESPONDENT,),
        versions=("v1",),
        item_ids=tuple(item_ids),
        respondent=np.zeros(n, np.int64),
        version=np.zeros(n, np.int64),
        item=np.arange(n),
        number=mean_ratings(place, item_ids),
        mass=np.full(n, np.nan),
        texts=("",) * n,
        line=np.zeros(n, np.int64),
    )
