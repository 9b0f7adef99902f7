"""Scores on Value Portrait: how far a model rates the responses tagged with a value above all tagged responses.

Source: Han et al. (2025), Value Portrait, ACL 2025, doi 10.18653/v1/2025.acl-long.838, and its released code.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool

from vprobe import benchmarks
from vprobe import values as words
from vprobe.scoring import _likeness, _tagged, _vp_humans
from vprobe.types import AnswerTable, Benchmark, ScaleRow, Scores

NAME = "value-portrait"
KIND = _tagged.KIND
RULES = ("released", "paper", "released-less-human", "paper-less-human")
ITEM_COLUMNS = ("portrait_id", "option_id")
SCALE = _likeness.SCALE
parse = _likeness.parse
FAMILIES = (("pvq", words.SCHWARTZ), ("bfi", words.BIG_FIVE), ("higher_pvq", words.HIGHER_ORDER))
"""Upstream's names of the three sets of scales that have a baseline of their own."""
TAG = 0.3
"""A tag needs a correlation with human scores above this."""
TAG_P = 0.05
EXCLUDED = (("3902-4", "achievement"), ("1901-1", "universalism"), ("2901-4", "extraversion"))
"""Left out by name in the released code: the tags of the ten values and of the five traits with p of .05 or more."""
FIRST = "v1"
KEPT_TAGS = ("claude-3-5-haiku-20241022",)
"""Models whose released v1 error rows hold the item's tags, so that nothing was lost."""
LESS_HUMAN = "-less-human"


def known(folder: Path | None = None) -> tuple[str, ...]:
    """List the 520 items.

    Args:
        folder: The official data; the user's cache when None.

    Raises:
        DataError: The data are missing or not the pinned version.
    """
    return tuple(item.id for item in benchmarks.load(NAME, folder=folder).items)


def versions(folder: Path | None = None) -> tuple[str, ...]:
    """List the wordings, each in both orders.

    Args:
        folder: The official data; the user's cache when None.

    Raises:
        DataError: The data are missing or not the pinned version.
    """
    return benchmarks.load(NAME, folder=folder, limit=1).versions


def score(answers: AnswerTable, *, rule: str = RULES[0], folder: Path | None = None) -> tuple[ScaleRow, ...]:
    """Score answers on ten values, five traits and four higher-order values, one family after the other.

    Both rules tag an item with a scale where their human correlation is above .3. "paper" asks for p below .05 too.
    "released" does as the released code: it asks for no p, leaves out the three tags of `EXCLUDED`, and an item whose
    v1 answer could not be had or read loses its tags for that respondent (they count as unscored), though other
    versions were answered.

    Args:
        answers: From `scoring.read` or `scoring.as_answers`.
        rule: "released" or "paper", or one of them with "-less-human", see `less_human`.
        folder: The official data; the user's cache when None.

    Raises:
        InputError: An item or a version that is not in Value Portrait.
        DataError: The data are missing or not the pinned version.
    """
    if rule.endswith(LESS_HUMAN):
        return less_human(answers, rule=rule.removesuffix(LESS_HUMAN), folder=folder)
    benchmark = benchmarks.load(NAME, folder=folder)
    lost = _lost_tags(answers, benchmark) if rule == "released" else None
    return _tagged.score(answers, benchmark, _families(benchmark, rule), rule=rule, lost=lost)


def less_human(answers: AnswerTable, *, rule: str = RULES[0], folder: Path | None = None) -> tuple[ScaleRow, ...]:
    """Score how far answers lie from those of the human raters: every item less its mean human rating, same formula.

    Zero is no neutral point of the plain scores: humans have a profile too. Here zero means rating as they did.

    Args:
        answers: From `scoring.read` or `scoring.as_answers`.
        rule: As for `score`; the rows are marked with it and "-less-human".
        folder: The official data; the user's cache when None.

    Raises:
        InputError: An item or a version that is not in Value Portrait.
        DataError: The data are missing or not the pinned version.
    """
    benchmark = benchmarks.load(NAME, folder=folder)
    ratings = _vp_humans.mean_ratings(benchmarks.folder(NAME, folder), known(folder))
    lost = _lost_tags(answers, benchmark) if rule == "released" else None
    return _tagged.score(
        answers, benchmark, _families(benchmark, rule), rule=rule + LESS_HUMAN, lost=lost, less=ratings
    )


def human_norms(folder: Path | None = None, *, rule: str = RULES[0]) -> tuple[ScaleRow, ...]:
    """Score the human raters as if they were one model, whose answer to an item is their mean rating.

    Args:
        folder: The official data; the user's cache when None.
        rule: As for `score`.

    Raises:
        DataError: The data are missing or not the pinned version.
    """
    names = known(folder)
    return score(_vp_humans.answers(benchmarks.folder(NAME, folder), names), rule=rule, folder=folder)


def keys(folder: Path | None = None, *, rule: str = RULES[0]) -> Scores:
    """Say which items are tagged with which scale: 1 where one is, 0 where it is not.

    Args:
        folder: The official data; the user's cache when None.
        rule: As for `score`; tags that some models' v1 errors cost are still here.

    Raises:
        DataError: The data are missing or not the pinned version.
    """
    benchmark = benchmarks.load(NAME, folder=folder)
    families = _families(benchmark, rule)
    return Scores(
        x=np.hstack([one.member for one in families]).astype(np.float64),
        sample_ids=tuple(item.id for item in benchmark.items),
        values=tuple(scale for one in families for scale in one.scales),
        kind="label",
        unit="1 where the item is tagged",
    )


def _families(benchmark: Benchmark, rule: str) -> tuple[_tagged.Family, ...]:
    paper = rule == "paper"
    return tuple(
        _tagged.family(
            benchmark, name, scales, above=TAG, p_below=TAG_P if paper else None, without=() if paper else EXCLUDED
        )
        for name, scales in FAMILIES
    )


def _lost_tags(answers: AnswerTable, benchmark: Benchmark) -> Bool[np.ndarray, "respondent item"]:
    """Return where a v1 row has no number: upstream copied an item's tags from that row, which then had none."""
    out = np.zeros((len(answers.respondents), len(benchmark.items)), dtype=bool)
    row = {item.id: i for i, item in enumerate(benchmark.items)}
    first = np.array([version == FIRST for version in answers.versions])
    for at in np.flatnonzero(first[answers.version] & ~np.isfinite(answers.number)):
        respondent, item = answers.respondents[answers.respondent[at]], answers.item_ids[answers.item[at]]
        if item in row and respondent not in KEPT_TAGS:
            out[answers.respondent[at], row[item]] = True
    return out
