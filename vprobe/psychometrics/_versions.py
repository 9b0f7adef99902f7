"""Do answers stay the same when the question is worded differently, or its options are shown in reverse order?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.errors import InputError
from vprobe.types import AnswerTable

REVERSED = "_reversed"
LEAST_ICC = 0.75
"""Below this the mean over versions is called unreliable (Koo & Li 2016, J. Chiropr. Med. 15: "good" from .75)."""
LARGEST_ORDER_EFFECT = 0.34
"""Points; what 34 published models show on average. More is flagged."""
MOVED = 0.5
"""Points; two answers further apart are different answers. Whole numbers differ by 1 or not at all."""
UNRELIABLE, UNKNOWN, ORDER = "unreliable", "reliability unknown", "order effect"


@dataclass(frozen=True)
class VersionRow:
    """How far one respondent's answers depend on how it was asked.

    Args:
        respondent: Who answered.
        n_versions: Versions with an answer.
        n_items: Items answered in all of them, on which the ICCs rest.
        n_partial: Items answered in some of them only.
        icc_single: ICC(2,1), how far one version alone gives the answers another would; NaN with one version.
        icc_mean: ICC(3,k), how repeatable the mean over all versions is; NaN with one version.
        order_effect: Mean of reversed less forward order, points; NaN without a pair of orders.
        order_sensitivity: Share of answers that change with the order.
        prompt_effect: Mean absolute difference between two wordings in forward order, points; NaN with one wording.
        prompt_sensitivity: Share of items whose answers change with the wording.
        flags: What to beware of: "unreliable", "reliability unknown", "order effect".
    """

    respondent: str
    n_versions: int
    n_items: int
    n_partial: int
    icc_single: float
    icc_mean: float
    order_effect: float
    order_sensitivity: float
    prompt_effect: float
    prompt_sensitivity: float
    flags: tuple[str, ...]


def repeatability(answers: AnswerTable, *, item_ids: Sequence[str] | None = None) -> tuple[VersionRow, ...]:
    """Say for every respondent how repeatable the answers are over wordings and orders of the options.

    Args:
        answers: Any number of versions; "v1" and "v1_reversed" are one wording in both orders.
        item_ids: Items to look at; all when None.

    Raises:
        InputError: An item that was not asked about.

    Source: Shrout & Fleiss (1979), Psychol. Bull. 86; Han et al. (2025), Value Portrait, for the two sensitivities.
    """
    wanted = answers.item_ids if item_ids is None else tuple(item_ids)
    column = {name: i for i, name in enumerate(answers.item_ids)}
    lost = [name for name in wanted if name not in column]
    if lost:
        raise InputError(f"{len(lost)} items were not asked about, first {lost[0]!r}", where="repeatability")
    cube = answers.cube()[:, :, [column[name] for name in wanted]]
    return tuple(_row(name, table, answers.versions) for name, table in zip(answers.respondents, cube, strict=True))


def _row(respondent: str, table: Float[np.ndarray, "version item"], versions: tuple[str, ...]) -> VersionRow:
    asked = np.isfinite(table).any(axis=1)
    used, names = table[asked], [versions[i] for i in np.flatnonzero(asked)]
    known = np.isfinite(used)
    whole = known.all(axis=0) if len(used) else np.zeros(table.shape[1], dtype=bool)
    found = stats.icc(used.T)
    pairs = [(i, names.index(name + REVERSED)) for i, name in enumerate(names) if name + REVERSED in names]
    order = _gaps(used, pairs)
    forward = [i for i, name in enumerate(names) if not name.endswith(REVERSED)]
    wording = np.abs(_gaps(used, list(itertools.combinations(forward, 2))))
    there = wording[:, np.isfinite(wording).any(axis=0)]
    effect = _mean(order)
    return VersionRow(
        respondent=respondent,
        n_versions=len(used),
        n_items=int(whole.sum()),
        n_partial=int(known.any(axis=0).sum() - whole.sum()),
        icc_single=found.icc2,
        icc_mean=found.icc3k,
        order_effect=effect,
        order_sensitivity=_mean(np.where(np.isfinite(order), np.abs(order) > MOVED, np.nan)),
        prompt_effect=_mean(np.array([_mean(column) for column in there.T])),
        prompt_sensitivity=_mean(np.where(np.isfinite(there), there, 0.0).max(axis=0, initial=0.0) > MOVED),
        flags=_flags(found.icc3k, effect),
    )


def _flags(icc: float, order_effect: float) -> tuple[str, ...]:
    out = () if icc >= LEAST_ICC else (UNKNOWN if math.isnan(icc) else UNRELIABLE,)
    return (*out, ORDER) if abs(order_effect) > LARGEST_ORDER_EFFECT else out


def _gaps(table: Float[np.ndarray, "version item"], pairs: list[tuple[int, int]]) -> Float[np.ndarray, "pair item"]:
    """Return second less first of each pair of versions; NaN where either is missing."""
    if not pairs:
        return np.empty((0, table.shape[1]))
    first, second = np.array(pairs).T
    return table[second] - table[first]


def _mean(numbers: np.ndarray) -> float:
    known = numbers[np.isfinite(numbers)]
    return float(known.mean()) if known.size else math.nan
