"""Rows of the baseline card and of the search behind a probe's figure."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class BaselineRow:
    """What something much simpler than a probe of the model tells of the same labels, on the same folds.

    Args:
        baseline: "tf-idf", "unigrams", "length", "source", "embedding", "untrained", "layer 0" or "control task".
        value: Canonical value name.
        method: Direction method of the probe it stands beside; empty where it is the same for all.
        statistic: "within-query r", or "r over items" (deviations from the fold's mean).
        estimate: Of the control task the mean over its draws; NaN does not exist, and the note says why.
        low: Lower end of the 95 % interval by query.
        high: Upper end.
        n_scored: Items used.
        n_unscored: Items left out.
        n_groups: Queries used.
        null_mean: Mean over label rows shuffled jointly, everything refitted; NaN where none was drawn.
        null_low: 2.5 % quantile.
        null_high: 97.5 % quantile.
        p: One-sided, of the null; NaN where none was drawn.
        excess: The probe's r less this one on the items both have, of the control task the selectivity; NaN where
            the two cannot be compared.
        excess_low: Lower end of its 95 % interval, both drawn together by query.
        excess_high: Upper end.
        safe: False where folds divide queries, which makes noise look like a result: shown to be seen, not used.
        seed: Of random weights or random labels; -1 where nothing was drawn.
        note: Anything a reader must know.
    """

    baseline: str
    value: str
    method: str
    statistic: str
    estimate: float
    low: float
    high: float
    n_scored: int
    n_unscored: int
    n_groups: int
    null_mean: float = math.nan
    null_low: float = math.nan
    null_high: float = math.nan
    p: float = math.nan
    excess: float = math.nan
    excess_low: float = math.nan
    excess_high: float = math.nan
    safe: bool = True
    seed: int = -1
    note: str = ""


@dataclass(frozen=True)
class SearchRow:
    """One cell of the search behind a nested figure: what it gives by itself, and how often inner folds chose it.

    Args:
        method: Direction method.
        value: Canonical value name.
        site: Where it was read.
        penalty: Multiple of the mean squared length of the training activations; NaN for a method without one.
        r: Held-out within-query r; the largest of a search is the best of many and too high.
        p: Two-sided p of |r| against the largest |r| anywhere in the method's search, over sites, values and penalties,
            per joint shuffle of the label rows (max-T).
        picked: Outer folds in which inner folds chose this cell for the value.
        folds: Outer folds.
        n: Items with a label.
    """

    method: str
    value: str
    site: str
    penalty: float
    r: float
    p: float
    picked: int
    folds: int
    n: int


@dataclass(frozen=True)
class EmbeddingRow:
    """A frozen sentence embedding of one item's text.

    Args:
        item_id: The item.
        vector: Its embedding, unit length.
    """

    item_id: str
    vector: tuple[float, ...]
