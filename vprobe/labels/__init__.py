"""Value labels of Value Portrait made anew from what people said: exact, cleaned of noise, and how reliable each is.

A label is the rank correlation, over some 47 raters, of how much a response is like them with their own score on a
value. Most of what differs between labels is the luck of who was asked; each kind of label here fights that in its way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from vprobe import benchmarks
from vprobe.errors import InputError, unknown
from vprobe.labels import _noise, _raw
from vprobe.labels._diff import Diff, DiffRow, DiffSummary, diff
from vprobe.labels._norms import Norm, pvq_norms
from vprobe.types import Reliability, Scores, frozen_array

__all__ = ["KINDS", "NAME", "Diff", "DiffRow", "DiffSummary", "Labels", "Norm", "diff", "pvq_norms", "regenerate"]

NAME = _raw.NAME
"""The benchmark whose raw ratings are released."""
KINDS = ("published", "regenerated", "group-centred", "ipsatised", "shrunk")
"""published: as shipped. regenerated: the same, from raw ratings. group-centred: less the mean of the item's rater
group. ipsatised: each rater's ratings less their own mean first, so that saying yes to everything makes no label.
shrunk: best linear guess of the true labels from all labels of the family, group-centred first."""
_PLAIN = ("published", "regenerated", "ipsatised")
"""Kinds that are correlations as they come, without group means taken off."""


@dataclass(frozen=True)
class Labels:
    """Labels of one kind, with how far they can be trusted.

    Args:
        kind: One of `KINDS`.
        repaired: The person who rated two groups has the second profile where it belongs.
        item_ids: In the order of the benchmark.
        values: Ten Schwartz values, four higher-order values, five traits.
        groups: Rater group of each item; groups shared no rater but one.
        r: The labels.
        p: Two-sided p of each; NaN for kinds that are no plain correlation.
        reliability: Per value: share of label variance that is not the luck of who was asked, and its root, the
            highest correlation expected of anything with the labels.
    """

    kind: str
    repaired: bool
    item_ids: tuple[str, ...]
    values: tuple[str, ...]
    groups: Int[np.ndarray, " item"]
    r: Float[np.ndarray, "item value"]
    p: Float[np.ndarray, "item value"]
    reliability: tuple[Reliability, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", frozen_array(self.groups, np.int64))
        for name in ("r", "p"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), np.float64))

    def scores(self) -> Scores:
        """Return the labels in the form that probes and profiles take."""
        return Scores(self.r, self.item_ids, self.values, "label", f"correlation with human values ({self.kind})")


def regenerate(
    folder: Path | None = None,
    *,
    kind: str = "regenerated",
    repaired: bool = False,
    fit_items: Sequence[str] | None = None,
) -> Labels:
    """Make labels of one kind for all 520 items and 19 values.

    Args:
        folder: The official data; the user's cache when None.
        kind: One of `KINDS`.
        repaired: Give the person who rated two groups the second profile where it belongs; see `diff`.
        fit_items: Items that group means, covariances and reliabilities are taken from, such as the training items of
            a fold; all when None. A rater group without any of them is centred on its own mean.

    Raises:
        InputError: Unknown kind, an unknown item, or fewer than three items to fit on.
        DataError: The data are missing or not the pinned version.
    """
    if kind not in KINDS:
        raise unknown("kind of label", kind, KINDS)
    benchmark = benchmarks.load(_raw.NAME, folder=folder)
    ids = tuple(item.id for item in benchmark.items)
    used = _used(ids, fit_items)
    ranked = _ranked(folder, ids, repaired=repaired, ipsatised=kind == "ipsatised")
    block = np.zeros(len(ids), dtype=np.int64)
    r, p = np.full((2, len(ids), len(_raw.VALUES)), np.nan)
    for number, one in enumerate(ranked):
        block[one.rows], r[one.rows], p[one.rows] = number, one.labels, one.p
    if kind == "published":
        r = benchmark.loadings(ids, _raw.VALUES)
        p = np.array([[loading.p for loading in item.loadings] for item in benchmark.items], dtype=np.float64)
    plain = kind in _PLAIN
    cluster = np.zeros_like(block) if plain else block
    if not plain:
        r, p = _noise.centred(r, block, used), np.full_like(p, np.nan)
    noise = _noise.covariance(ranked, np.where(used, cluster, -1))
    observed = _moments(_noise.centred(r, cluster, used)[used])
    share = 1.0 - np.diag(noise) / np.diag(observed)
    if kind == "shrunk":
        r, share = _shrunk(r, observed, noise)
    return Labels(kind, repaired, ids, _raw.VALUES, block, r, p, _reliability(share))


def _used(ids: tuple[str, ...], fit_items: Sequence[str] | None) -> np.ndarray:
    wanted = set(ids if fit_items is None else fit_items)
    lost = sorted(wanted - set(ids))
    if lost:
        raise InputError(
            f"{len(lost)} unknown items, first {lost[0]!r}", where="labels", expected="items of the benchmark"
        )
    if len(wanted) < 3:
        raise InputError(f"{len(wanted)} items to fit on", where="labels", expected="at least 3")
    return np.array([name in wanted for name in ids])


def _ranked(folder: Path | None, ids: tuple[str, ...], *, repaired: bool, ipsatised: bool) -> tuple[_noise.Ranked, ...]:
    row = {name: i for i, name in enumerate(ids)}
    out = []
    for one in _raw.groups(folder, repaired=repaired):
        ratings = one.ratings - one.ratings.mean(axis=0) if ipsatised else one.ratings
        out.append(_noise.rank(ratings, one.scores, np.array([row[name] for name in one.item_ids])))
    return tuple(out)


def _moments(x: Float[np.ndarray, "item value"]) -> Float[np.ndarray, "value value"]:
    return x.T @ x / len(x)


def _shrunk(
    r: Float[np.ndarray, "item value"],
    observed: Float[np.ndarray, "value value"],
    noise: Float[np.ndarray, "value value"],
) -> tuple[Float[np.ndarray, "item value"], Float[np.ndarray, " value"]]:
    """Shrink family by family: higher-order values are sums of the ten, so all 19 together have no inverse."""
    out, share = np.empty_like(r), np.empty(r.shape[1])
    for _, scales in _raw.FAMILIES:
        at = [_raw.VALUES.index(value) for value in scales]
        matrix, share[at] = _noise.shrinkage(observed[np.ix_(at, at)], noise[np.ix_(at, at)])
        out[:, at] = r[:, at] @ matrix.T
    return out, share


def _reliability(share: Float[np.ndarray, " value"]) -> tuple[Reliability, ...]:
    return tuple(
        Reliability(value, float(x), float(np.sqrt(x)) if x > 0 else float("nan"), within=False)
        for value, x in zip(_raw.VALUES, share, strict=True)
    )
