"""Answers to instruments whose items are numbered, laid out by number."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from vprobe.errors import InputError
from vprobe.types import AnswerTable


def accepted(prefix: str, n_items: int) -> tuple[str, ...]:
    """Return how an answer file may name an item: by its id, such as "svo-01", or by its number alone.

    Args:
        prefix: What ids begin with.
        n_items: Items of the instrument.
    """
    return tuple(text for i in range(1, n_items + 1) for text in (f"{prefix}-{i:02d}", str(i)))


def numbers(item_ids: tuple[str, ...]) -> Int[np.ndarray, " item"]:
    """Return the number of each item, from 1."""
    return np.array([int(one.rpartition("-")[2]) for one in item_ids], dtype=np.int64)


def cube(answers: AnswerTable, n_items: int) -> Float[np.ndarray, "respondent version item"]:
    """Return the answers by item number; NaN where nothing usable was said, also for items not asked.

    Args:
        answers: The answers, items named as `accepted` says.
        n_items: Items of the instrument.

    Raises:
        InputError: One item answered twice, under two names.
    """
    shape = (len(answers.respondents), len(answers.versions), n_items)
    at = (answers.respondent, answers.version, numbers(answers.item_ids)[answers.item] - 1)
    times = np.zeros(shape, np.int64)
    np.add.at(times, at, 1)
    if (times > 1).any():
        who, version, item = (int(i) for i in np.argwhere(times > 1)[0])
        raise InputError(
            f"item {item + 1} is answered twice by {answers.respondents[who]} in {answers.versions[version]}",
            where="answers",
            expected="each item once, named in one way",
            do="name items by number or by id, not by both",
        )
    out = np.full(shape, np.nan)
    out[at] = answers.number
    return out


def over_versions(table: Float[np.ndarray, "respondent version *more"]) -> Float[np.ndarray, "respondent *more"]:
    """Return the mean over the versions that exist; NaN where none does."""
    known = np.isfinite(table)
    n = known.sum(axis=1)
    return np.where(n > 0, np.where(known, table, 0.0).sum(axis=1) / np.maximum(n, 1), np.nan)
