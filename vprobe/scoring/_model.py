"""A model's own answers, as collected by `vprobe rate`, in the form a scoring rule takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from vprobe.scoring._order import corrected
from vprobe.types import AnswerTable, Response

Parse = Callable[[str, str, str], float]


def as_answers(
    responses: Sequence[Response],
    *,
    respondent: str,
    parse: Parse | None = None,
    correct_order: bool = False,
    likeliest: bool = False,
) -> AnswerTable:
    """Return a model's answers as a table.

    Args:
        responses: Its answers.
        respondent: Name it goes by.
        parse: Take what it said in words, read by an instrument's rule, `plug_in(name).parse`; the mean of its option
            probabilities when None.
        likeliest: Take the most probable option instead of the mean: a choice among options is no point on a scale,
            and the mean of a model that does not care would look like a choice of the middle.
        correct_order: Divide the preference for places in the list of options out of those, see `_order.corrected`.
    """
    versions = tuple(dict.fromkeys(one.template for one in responses))
    items = tuple(dict.fromkeys(one.item_id for one in responses))
    at_version, at_item = ({name: i for i, name in enumerate(names)} for names in (versions, items))
    if parse is not None:
        numbers = [_spoken(one, parse) for one in responses]
    elif likeliest:
        numbers = [_likeliest(one) for one in responses]
    else:
        numbers = list(corrected(responses)) if correct_order else [one.expected for one in responses]
    return AnswerTable(
        respondents=(respondent,),
        versions=versions,
        item_ids=items,
        respondent=np.zeros(len(responses), np.int64),
        version=np.array([at_version[one.template] for one in responses], np.int64),
        item=np.array([at_item[one.item_id] for one in responses], np.int64),
        number=np.array(numbers, np.float64),
        mass=np.array([one.option_mass for one in responses], np.float64),
        texts=tuple(one.text or "" for one in responses),
        line=np.zeros(len(responses), np.int64),
    )


def _spoken(one: Response, parse: Parse) -> float:
    return parse(one.text, one.template, one.item_id) if one.text and one.text.strip() else math.nan


def _likeliest(one: Response) -> float:
    return math.nan if one.logprobs is None else float(one.ratings[int(np.argmax(one.logprobs))])
