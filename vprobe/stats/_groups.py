"""Sums over the deviations from group means: all that within-group correlations, slopes and folds need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from vprobe.errors import RefusedError

Groups = Sequence[str] | Sequence[int] | np.ndarray
"""One group name per sample."""


ROUND_OFF = 1e-12
"""Deviations smaller than this share of a column's largest number are rounding, not signal."""


@dataclass(frozen=True)
class Within:
    """Sums over the deviations from group means: all that a within-group correlation or slope needs.

    Args:
        df: Degrees of freedom, known pairs less one.
        n: Known pairs, counted in groups that have at least two.
        xx: Sum of squared deviations of x.
        yy: Sum of squared deviations of y.
        xy: Sum of products of deviations.
    """

    df: Float[np.ndarray, "group column"]
    n: Float[np.ndarray, "group column"]
    xx: Float[np.ndarray, "group column"]
    yy: Float[np.ndarray, "group column"]
    xy: Float[np.ndarray, "group column"]

    def column(self, index: int) -> Float[np.ndarray, "used 4"]:
        """Return (df, xx, yy, xy) of one column for the groups that carry information."""
        used = self.df[:, index] > 0
        return np.stack([part[used, index] for part in (self.df, self.xx, self.yy, self.xy)], axis=1)

    @property
    def totals(self) -> Float[np.ndarray, "column 4"]:
        """(df, xx, yy, xy) summed over groups."""
        return np.stack([part.sum(axis=0) for part in (self.df, self.xx, self.yy, self.xy)], axis=1)


def correlation_of(totals: Float[np.ndarray, "*more 4"]) -> Float[np.ndarray, "*more"]:
    """Return the within-group correlation from sums (df, xx, yy, xy); NaN where a side does not vary."""
    df, xx, yy, xy = np.moveaxis(totals, -1, 0)
    product = np.sqrt(xx * yy)
    real = (product > 0) & (df >= 2)
    return np.where(real, np.clip(xy / np.where(real, product, 1.0), -1.0, 1.0), np.nan)


def slope_of(totals: Float[np.ndarray, "*more 4"]) -> Float[np.ndarray, "*more"]:
    """Return units of y per within-group SD of x from sums (df, xx, yy, xy); NaN where x is constant."""
    df, xx, _, xy = np.moveaxis(totals, -1, 0)
    product = np.sqrt(xx * df)
    real = (product > 0) & (df >= 2)
    return np.where(real, xy / np.where(real, product, 1.0), np.nan)


def codes(groups: Groups) -> Int[np.ndarray, " sample"]:
    """Number the groups from 0 in the order of their sorted names, so that row order changes nothing."""
    if isinstance(groups, tuple):
        return _remembered(groups)
    return np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1).astype(np.int64)


@lru_cache(maxsize=64)
def _remembered(groups: tuple[str, ...] | tuple[int, ...]) -> Int[np.ndarray, " sample"]:
    """Number the groups of a tuple once: sorting names takes longer than most sums over them."""
    found = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1).astype(np.int64)
    found.flags.writeable = False
    return found


def patterns(
    known: Bool[np.ndarray, "sample column"],
) -> list[tuple[Bool[np.ndarray, " sample"], Int[np.ndarray, " some"]]]:
    """Return each distinct column with the indices of the columns that are like it, in order of first appearance."""
    same: dict[bytes, list[int]] = {}
    for column, bits in enumerate(np.ascontiguousarray(np.packbits(known, axis=0).T)):
        same.setdefault(bits.tobytes(), []).append(column)
    return [(known[:, columns[0]], np.array(columns)) for columns in same.values()]


def centre(x: Float[np.ndarray, "sample column"], groups: Groups) -> Float[np.ndarray, "sample column"]:
    """Take each group's mean away, column by column; NaN stays NaN and does not enter the means."""
    code = codes(groups)
    member = sparse.csr_array((np.ones(len(code)), (code, np.arange(len(code)))))
    x = np.asarray(x, dtype=np.float64)
    known = np.isfinite(x)
    if known.all():
        mean = (member @ x) / np.bincount(code)[:, None]
        scale = np.abs(x).max(axis=0, initial=0.0)
    else:
        filled = np.where(known, x, 0.0)
        mean = (member @ filled) / np.maximum(member @ known.astype(np.float64), 1.0)
        scale = np.abs(filled).max(axis=0, initial=0.0)
    out = x - mean[code]
    out[np.abs(out) <= ROUND_OFF * scale] = 0.0
    return out


def within(x: Float[np.ndarray, "sample #column"], y: Float[np.ndarray, "sample #column"], groups: Groups) -> Within:
    """Return the within-group sums of x with y for many columns at once; pairs with a NaN are left out.

    Args:
        x: Predictor or key.
        y: Outcome; either side may have one column, which is then used with every column of the other.
        groups: Group of each sample.
    """
    x, y = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
    known = np.isfinite(x) & np.isfinite(y)
    complete = bool(known.all())
    cx = centre(x if complete else np.where(known, x, np.nan), groups)
    cy = centre(y if complete else np.where(known, y, np.nan), groups)
    if not complete:
        cx, cy = np.where(known, cx, 0.0), np.where(known, cy, 0.0)
    code = codes(groups)
    member = sparse.csr_array((np.ones(len(code)), (code, np.arange(len(code)))))
    n = member @ known.astype(np.float64)
    n = np.where(n >= 2, n, 0.0)
    return Within(np.maximum(n - 1.0, 0.0), n, member @ (cx * cx), member @ (cy * cy), member @ (cx * cy))


def within_r(
    x: Float[np.ndarray, "sample #column"], y: Float[np.ndarray, "sample #column"], groups: Groups
) -> Float[np.ndarray, " out"]:
    """Return the correlation of deviations from group means, per column."""
    return correlation_of(within(x, y, groups).totals)


def fold_of(groups: Groups, k: int, *, seed: int) -> Int[np.ndarray, " sample"]:
    """Deal whole groups out to k folds of about equal size, at random; return each sample's fold.

    Raises:
        RefusedError: Fewer than two folds, or fewer groups than folds.
    """
    code = codes(groups)
    sizes = np.bincount(code)
    if k < 2 or len(sizes) < k:
        raise RefusedError(
            f"{len(sizes)} groups for {k} folds",
            where="grouped folds",
            expected="at least 2 folds and as many groups as folds",
            do="use more queries or fewer folds; responses to one query are never divided",
        )
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]  # large groups first, each to the emptiest fold
    fold, load = np.empty(len(sizes), dtype=np.int64), np.zeros(k)
    for group in order:
        fold[group] = int(load.argmin())
        load[fold[group]] += sizes[group]
    return fold[code]
