"""What a file of answers holds beside scores: answers nobody could read, and numbers their own words speak against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vprobe.types import AnswerTable


@dataclass(frozen=True)
class Unread:
    """An answer that could not be read as a number.

    Args:
        line: Line of the file.
        respondent: Who gave it.
        version: Wording.
        item_id: Item.
        text: What was said; empty when nothing was.
        reason: Why it is unscored.
    """

    line: int
    respondent: str
    version: str
    item_id: str
    text: str
    reason: str


@dataclass(frozen=True)
class Contradiction:
    """An answer whose words and number differ; the words are scored.

    Args:
        line: Line of the file.
        respondent: Who gave it.
        version: Wording.
        item_id: Item.
        text: What was said.
        said: The number the words say, scored.
        given: The number of the file, not used.
    """

    line: int
    respondent: str
    version: str
    item_id: str
    text: str
    said: float
    given: float


def unread(answers: AnswerTable, *, texts: bool = False) -> tuple[Unread, ...]:
    """List the answers that are unscored, with the reason, in the order of the file.

    Args:
        answers: From `read_answers`.
        texts: Answers are scored as texts, not as numbers: only those that say nothing are listed.
    """
    out = []
    silent = np.array([not text.strip() for text in answers.texts], dtype=bool)
    for row in np.flatnonzero(silent if texts else ~np.isfinite(answers.number)):
        text = answers.texts[row]
        reason = "asking failed" if answers.error and answers.error[row] else "no answer of the scale in the text"
        out.append(
            Unread(
                int(answers.line[row]),
                answers.respondents[answers.respondent[row]],
                answers.versions[answers.version[row]],
                answers.item_ids[answers.item[row]],
                text,
                reason if text or (answers.error and answers.error[row]) else "empty answer",
            )
        )
    return tuple(out)


def contradictions(answers: AnswerTable) -> tuple[Contradiction, ...]:
    """List the answers whose words say another number than the file gives, in the order of the file.

    Args:
        answers: From `read_answers`.
    """
    return tuple(
        Contradiction(
            int(answers.line[row]),
            answers.respondents[answers.respondent[row]],
            answers.versions[answers.version[row]],
            answers.item_ids[answers.item[row]],
            answers.texts[row],
            float(answers.number[row]),
            float(answers.overruled[row]),
        )
        for row in np.flatnonzero(np.isfinite(answers.overruled))
    )
