"""Scores on our own everyday items: how far a model rates the replies keyed to a value above all replies."""

from __future__ import annotations

from pathlib import Path

from vprobe import benchmarks
from vprobe import values as words
from vprobe.scoring import _likeness, _tagged
from vprobe.types import AnswerTable, ScaleRow

NAME = "everyday"
KIND = _tagged.KIND
RULES = ("keyed",)
ITEM_COLUMNS = ("item_id",)
SCALE = _likeness.SCALE
parse = _likeness.parse


def known(folder: Path | None = None) -> tuple[str, ...]:
    """List the items, in file order.

    Args:
        folder: Not used: the items are part of the package.
    """
    return tuple(item.id for item in benchmarks.load(NAME, folder=folder).items)


def versions(folder: Path | None = None) -> tuple[str, ...]:
    """List the wordings, each in both orders.

    Args:
        folder: Not used: the items are part of the package.
    """
    return benchmarks.load(NAME, limit=1).versions


def score(answers: AnswerTable, *, rule: str = RULES[0], folder: Path | None = None) -> tuple[ScaleRow, ...]:
    """Score answers on the ten values: mean rating of a value's replies less the mean rating of all replies.

    Args:
        answers: From `scoring.read` or `scoring.as_answers`.
        rule: "keyed", the only one.
        folder: Not used: the items are part of the package.

    Raises:
        InputError: An item or a version that is not in the benchmark.
    """
    benchmark = benchmarks.load(NAME, folder=folder)
    return _tagged.score(
        answers, benchmark, [_tagged.family(benchmark, "schwartz", words.SCHWARTZ, above=0.0)], rule=rule
    )
