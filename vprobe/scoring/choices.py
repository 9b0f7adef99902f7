"""Choices: the share of questions answered rightly, in all and by kind; chance is one in four.

A question counts with the share of its versions answered rightly. An answer that names no option is unscored and
counted as such, never as wrong.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from vprobe.benchmarks import choices
from vprobe.scoring._numbered import accepted, cube, over_versions
from vprobe.types import AnswerTable, ScaleRow

KIND = "choice"
RULES = ("right",)
ITEM_COLUMNS = ("item",)
SCALE = (1.0, float(len(choices.LETTERS)))
_WORDED = tuple(name for name in choices.versions() if not choices.lettered(name))
_ALONE = re.compile(r"\W*([A-Da-d])(?=\s*[:.)\]]|\W*$)")
_TOLD = re.compile(r"(?i:answer|option|choice|letter)\W+(?i:is\W+)?([A-D])\b")
UNIT = "share of questions answered rightly; chance is 0.25"


def known(folder: Path | None = None) -> tuple[str, ...]:
    """Return how an answer file may name the questions: "choices-01" or "1", up to 160.

    Args:
        folder: Not used: the questions are part of the package.
    """
    return accepted(choices.DATA.name, len(choices.questions()))


def versions(folder: Path | None = None) -> tuple[str, ...]:
    """List the wordings, each with its options in both orders.

    Args:
        folder: Not used: the wordings are ours.
    """
    return choices.versions()


def parse(text: str, version: str, item_id: str) -> float:
    """Return the number of the option an answer names, as the file numbers them; NaN where it names none or several.

    Args:
        text: A letter, or the option's own words with anything around them; both count only where they agree.
        version: The wording; letters stand for other options where the order is reversed.
        item_id: The question.
    """
    if not text.strip():
        return math.nan
    one = choices.questions()[int(item_id.rpartition("-")[2]) - 1]
    named = {float(i) for i, words in enumerate(one.options, start=1) if _names(text, words)}
    letter = None if version in _WORDED else _ALONE.match(text) or _TOLD.search(text)
    if letter:
        place = choices.LETTERS.index(letter[1].upper()) + 1
        number = float(len(choices.LETTERS) + 1 - place if version.endswith("_reversed") else place)
        return number if named <= {number} else math.nan
    return named.pop() if len(named) == 1 else math.nan


def _names(text: str, words: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(words.lower())}(?!\w)", text.lower()) is not None


def score(answers: AnswerTable, *, rule: str = RULES[0], folder: Path | None = None) -> tuple[ScaleRow, ...]:
    """Score answers: "accuracy" over all questions, and one row per kind of question.

    Args:
        answers: Numbers of the options chosen, of any respondents in any versions.
        rule: "right" only.
        folder: Not used.

    Raises:
        InputError: One question answered twice, under two names.
    """
    found = choices.questions()
    table = cube(answers, len(found))
    right = np.array([one.right for one in found], dtype=np.float64)
    share = over_versions(np.where(np.isfinite(table), table == right, np.nan))
    kinds = np.array([one.kind for one in found])
    mass = answers.masses()
    rows = [("accuracy", np.ones(len(found), bool)), *((kind, kinds == kind) for kind in choices.KINDS)]
    return tuple(
        _row(name, scale, share[i, of], float(mass[i]), rule)
        for i, name in enumerate(answers.respondents)
        for scale, of in rows
    )


def _row(respondent: str, scale: str, share: np.ndarray, mass: float, rule: str) -> ScaleRow:
    from statsmodels.stats.proportion import proportion_confint

    scored = share[np.isfinite(share)]
    n = len(scored)
    ends = proportion_confint(float(scored.sum()), n, method="wilson") if n else (math.nan, math.nan)
    low, high = (float(np.asarray(end)) for end in ends)
    return ScaleRow(
        respondent=respondent, instrument="choices", family="choices", scale=scale, kind=KIND, rule=rule,
        estimate=float(scored.mean()) if n else math.nan, raw=math.nan, spread=float(scored.std()) if n else math.nan,
        n=n, n_unscored=len(share) - n, unit=UNIT, low=low, high=high, option_mass=mass,
    )  # fmt: skip
