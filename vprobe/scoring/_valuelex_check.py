"""Whether scorers agree with each other, and with people who scored the same completions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.benchmarks import valuelex as stems
from vprobe.errors import InputError, nearest, unknown
from vprobe.scoring._read import _table
from vprobe.values import VALUELEX_SUB

if TYPE_CHECKING:
    import pandas as pd

NOTHING = "none"
"""Label of a completion that says nothing of the six."""


@dataclass(frozen=True)
class ScorerAgreement:
    """How far two scorers agree on one sub-dimension, over completions.

    Args:
        first: A scorer.
        second: Another.
        scale: Sub-dimension.
        spearman: Rank correlation; NaN where a side does not vary.
        icc: ICC(3,1) of the standardised scores, since scorers have units of their own.
        n: Completions both scored.
        n_unscored: Completions at least one of them did not score.
    """

    first: str
    second: str
    scale: str
    spearman: float
    icc: float
    n: int
    n_unscored: int


@dataclass(frozen=True)
class HumanLabels:
    """Completions as people scored them.

    Args:
        item_ids: Stem of each.
        completions: The texts.
        scores: One column per sub-dimension; for labels 1 for the one named and 0 for the others, NaN for "none".
    """

    item_ids: tuple[str, ...]
    completions: tuple[str, ...]
    scores: Float[np.ndarray, "completion 6"]


@dataclass(frozen=True)
class Calibration:
    """How far a scorer agrees with people.

    Args:
        scorer: The scorer.
        n: Completions scored by both.
        n_unscored: Completions people scored and the scorer did not.
        accuracy: Share of completions whose highest sub-dimension is the people's; NaN where n is 0.
        kappa: The same beyond chance (Cohen's kappa); NaN where either always says the same.
        spearman: Rank correlation with people's scores, in the order of `values.VALUELEX_SUB`.
    """

    scorer: str
    n: int
    n_unscored: int
    accuracy: float
    kappa: float
    spearman: tuple[float, ...]


def agreement(
    first: Float[np.ndarray, "completion 6"], second: Float[np.ndarray, "other 6"], *, names: Sequence[str]
) -> tuple[ScorerAgreement, ...]:
    """Compare two scorers on the same completions, sub-dimension by sub-dimension.

    Args:
        first: Scores by one, NaN where unscored.
        second: Scores by the other.
        names: Names of the two.

    Raises:
        InputError: Scores of different completions, or not two names.
    """
    if first.shape != second.shape or len(names) != 2:
        raise InputError(
            f"scores of {len(first)} and {len(second)} completions, {len(names)} names",
            where="agreement of scorers", expected="the same completions scored twice",
        )  # fmt: skip
    out = []
    for column, sub in enumerate(VALUELEX_SUB):
        pair = np.stack([first[:, column], second[:, column]], axis=1)
        pair = pair[np.isfinite(pair).all(axis=1)]
        rho = stats.spearman(pair[:, 0], pair[:, 1])
        out.append(ScorerAgreement(names[0], names[1], sub, rho, _icc(pair), len(pair), len(first) - len(pair)))
    return tuple(out)


def _icc(pair: Float[np.ndarray, "completion 2"]) -> float:
    if len(pair) < 3 or not (np.ptp(pair, axis=0) > 0).all():
        return math.nan
    return stats.icc((pair - pair.mean(axis=0)) / pair.std(axis=0)).icc3


def read_labels(path: Path) -> HumanLabels:
    """Read completions that people scored, to hold scorers against.

    Args:
        path: CSV with the columns `item_id` and `completion`, and either `label` (a sub-dimension or "none") or one
            column of numbers per sub-dimension. A completion several people scored has several rows.

    Raises:
        InputError: Not a readable CSV, a missing column, an unknown stem or label, an empty completion or a cell that
            is no number; the row is named.
    """
    found = _table(path)
    labelled = "label" in found
    needed = ["item_id", "completion", *(["label"] if labelled else VALUELEX_SUB)]
    missing = [name for name in needed if name not in found]
    if missing:
        near = nearest(missing[0], found.columns)
        raise InputError(
            f"no column {', '.join(missing)}",
            where=str(path),
            expected="item_id, completion, and label or all of " + ", ".join(VALUELEX_SUB),
            do=f"its columns are {', '.join(found.columns)}" + (f"; is it {near!r}?" if near else ""),
        )
    items = tuple(str(one).strip() for one in found["item_id"])
    completions = tuple(str(one).strip() for one in found["completion"])
    _require_known(path, items, completions)
    scores = _of_labels(path, found) if labelled else _of_numbers(path, found)
    return HumanLabels(items, completions, scores)


def calibrate(labels: HumanLabels, scores: Float[np.ndarray, "completion 6"], *, scorer: str) -> Calibration:
    """Hold a scorer against people.

    Args:
        labels: From `read_labels`.
        scores: The scorer's, for the same completions in the same order, such as `by_words(labels.completions)`.
        scorer: Its name.

    Raises:
        InputError: Scores of another number of completions.
    """
    if len(scores) != len(labels.scores):
        raise InputError(
            f"{len(scores)} scores", where=f"scorer {scorer}", expected=f"one for each of {len(labels.scores)} labels"
        )
    said = np.isfinite(labels.scores).all(axis=1)
    both = said & np.isfinite(scores).all(axis=1)
    people, machine = labels.scores[both], scores[both]
    high, guess = people.argmax(axis=1), machine.argmax(axis=1)
    return Calibration(
        scorer=scorer,
        n=int(both.sum()),
        n_unscored=int((said & ~both).sum()),
        accuracy=float((high == guess).mean()) if both.any() else math.nan,
        kappa=_kappa(high, guess),
        spearman=tuple(stats.spearman(people[:, i], machine[:, i]) for i in range(len(VALUELEX_SUB))),
    )


def _kappa(first: np.ndarray, second: np.ndarray) -> float:
    from sklearn.metrics import cohen_kappa_score

    if len(np.unique(first)) < 2 or len(np.unique(second)) < 2:
        return math.nan
    return float(cohen_kappa_score(first, second))


def _require_known(path: Path, items: Sequence[str], completions: Sequence[str]) -> None:
    known = {one.id for one in stems.stems()}
    for row, (item, text) in enumerate(zip(items, completions, strict=True), start=2):
        if item not in known:
            raise InputError(
                f"item {item!r} in row {row}", where=str(path), expected="the id of one of the valuelex stems",
                do=f"did you mean {nearest(item, known)!r}?" if nearest(item, known) else "",
            )  # fmt: skip
        if not text:
            raise InputError(f"row {row} has no completion", where=str(path), expected="the text that was scored")


def _of_labels(path: Path, found: pd.DataFrame) -> Float[np.ndarray, "completion 6"]:
    names = [str(one).strip().lower().replace("-", "_").replace(" ", "_") for one in found["label"]]
    for row, name in enumerate(names, start=2):
        if name not in (*VALUELEX_SUB, NOTHING):
            raise unknown("label", name, (*VALUELEX_SUB, NOTHING), where=f"{path}, row {row}")
    return np.array([[math.nan if one == NOTHING else float(one == sub) for sub in VALUELEX_SUB] for one in names])


def _of_numbers(path: Path, found: pd.DataFrame) -> Float[np.ndarray, "completion 6"]:
    import pandas as pd

    columns = []
    for sub in VALUELEX_SUB:
        numbers = np.asarray(pd.to_numeric(found[sub], errors="coerce"), dtype=np.float64)
        wrong = np.flatnonzero(~np.isfinite(numbers))
        if len(wrong):
            raise InputError(
                f"{sub} is {found[sub].iloc[wrong[0]]!r} in row {wrong[0] + 2}", where=str(path), expected="a number"
            )
        columns.append(numbers)
    return np.stack(columns, axis=1)
