"""ValueLex scores from completed sentences: which of six kinds of value the completions name.

What a completion names is decided by a scorer. The rules here use our word lists, which need nothing else; the other
scorers (embeddings, a judge, a classifier) give a row of scores per completion to `scale_scores`.

Source: Biedma et al. (2024), arXiv 2404.12744. Stems, word lists and rules are ours: the published ones are not open.
"""

from __future__ import annotations

import math
from pathlib import Path

from vprobe.benchmarks import valuelex as stems
from vprobe.errors import InputError, nearest
from vprobe.scoring._valuelex_check import (
    Calibration,
    HumanLabels,
    ScorerAgreement,
    agreement,
    calibrate,
    read_labels,
)
from vprobe.scoring._valuelex_scale import SCALES, Halo, halo, planted_scores, scale_scores
from vprobe.scoring._valuelex_scorers import (
    Classifier,
    by_prototypes,
    by_words,
    judge_prompts,
    judge_scores,
    prototype_words,
)
from vprobe.types import AnswerTable, ScaleRow

__all__ = [
    "ITEM_COLUMNS", "KIND", "RULES", "SCALE", "SCALES", "Calibration", "Classifier", "Halo", "HumanLabels",
    "ScorerAgreement", "agreement", "by_prototypes", "by_words", "calibrate", "halo", "judge_prompts", "judge_scores",
    "known", "parse", "planted_scores", "prototype_words", "read_labels", "scale_scores", "score",
    "versions",
]  # fmt: skip

KIND = "generation"
RULES = ("lexicon", "lexicon_all")
"""Both use our word lists: "lexicon" scores a sub-dimension on its own stems, "lexicon_all" on all of them."""
ITEM_COLUMNS = ("item_id",)
SCALE = (0.0, 1.0)
UNIT = "share of the value words in a completion that name it, from 0 to 1, mean over stems"


def known(folder: Path | None = None) -> tuple[str, ...]:
    """Return the ids of all stems.

    Args:
        folder: Not used: the stems ship with vprobe.
    """
    return tuple(one.id for one in stems.stems())


def versions(folder: Path | None = None) -> tuple[str, ...]:
    """List the wordings of the request.

    Args:
        folder: Not used: the stems ship with vprobe.
    """
    return stems.load(limit=1).versions


def parse(text: str, version: str, item_id: str) -> float:
    """Return NaN: a completion is scored as a text, it is no number.

    Args:
        text: The completion.
        version: Wording.
        item_id: Stem.
    """
    return math.nan


def score(answers: AnswerTable, *, rule: str, folder: Path | None = None) -> tuple[ScaleRow, ...]:
    """Score completions by our word lists.

    Args:
        answers: Completions; their numbers are not used.
        rule: One of `RULES`.
        folder: Not used: the stems ship with vprobe.

    Raises:
        InputError: An item that is no stem, or no completion with text.
    """
    ids = known(folder)
    lost = [name for name in answers.item_ids if name not in set(ids)]
    if lost:
        near = nearest(lost[0], ids)
        raise InputError(
            f"{len(lost)} items are no stems, first {lost[0]!r}", where="valuelex", expected="ids such as social-01",
            do=f"did you mean {near!r}?" if near else "",
        )  # fmt: skip
    if not any(text.strip() for text in answers.texts):
        raise InputError(
            "no completion has any text", where="valuelex", expected="sentence completions in words",
            do="give them in the column raw_response; let a model answer in words, not by its options",
        )  # fmt: skip
    return scale_scores(answers, by_words(answers.texts), rule=rule, unit=UNIT, own=rule == "lexicon")
