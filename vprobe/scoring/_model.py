"""A model's own answers, as collected by `vprobe rate`, in the form a scoring rule takes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vprobe.types import AnswerTable, Response


def as_answers(responses: Sequence[Response], *, respondent: str, greedy: bool = False) -> AnswerTable:
    """Return a model's answers as a table.

    Args:
        responses: Its answers.
        respondent: Name it goes by.
        greedy: Take what it said in words instead of the mean of its option probabilities.
    """
    versions = tuple(dict.fromkeys(one.template for one in responses))
    items = tuple(dict.fromkeys(one.item_id for one in responses))
    at_version, at_item = ({name: i for i, name in enumerate(names)} for names in (versions, items))
    spoken = [math.nan if one.rating is None else one.rating for one in responses]
    return AnswerTable(
        respondents=(respondent,),
        versions=versions,
        item_ids=items,
        respondent=np.zeros(len(responses), np.int64),
        version=np.array([at_version[one.template] for one in responses], np.int64),
        item=np.array([at_item[one.item_id] for one in responses], np.int64),
        number=np.array(spoken if greedy else [one.expected for one in responses], np.float64),
        mass=np.array([one.option_mass for one in responses], np.float64),
        texts=tuple(one.text or "" for one in responses),
        line=np.zeros(len(responses), np.int64),
    )
