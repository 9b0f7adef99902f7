"""Which samples a column or block is fitted on, and the spectrum of their activations: shared by the estimators."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from vprobe import stats


@dataclass(frozen=True)
class Part:
    """Columns that are fitted on the same samples, all as deviations from their query's mean.

    Args:
        rows: Samples whose labels are known in all columns.
        columns: Column numbers; one row per block, or a single row of columns that do not belong together.
        code: Query number of each of these samples.
        x: Their activations.
        y: Their labels, columns in the order of `columns` read row by row.
    """

    rows: Int[np.ndarray, " sample"]
    columns: Int[np.ndarray, "block column"]
    code: Int[np.ndarray, " sample"]
    x: Float[np.ndarray, "sample d_model"]
    y: Float[np.ndarray, "sample label"]

    @property
    def usable(self) -> np.ndarray:
        """True for labels that vary within queries, in the order of `y`; all False when the activations do not."""
        return (self.y != 0).any(axis=0) & bool((self.x != 0).any())

    def moments(self) -> Float[np.ndarray, "block column d_model"]:
        """Sum the products of labels and activations: n times the covariance directions."""
        return (self.y.T @ self.x).reshape(*self.columns.shape, -1)


@dataclass(frozen=True)
class Spectrum:
    """Principal axes of centred activations that have any variance, and the sum of squares along each."""

    axes: Float[np.ndarray, "rank d_model"]
    squares: Float[np.ndarray, " rank"]

    def times(
        self, rows: Float[np.ndarray, "row d_model"], factors: Float[np.ndarray, " rank"]
    ) -> Float[np.ndarray, "row d_model"]:
        """Multiply each row's part along each axis by a factor; what lies outside the axes is dropped."""
        return ((rows @ self.axes.T) * factors) @ self.axes


def by_column(x: np.ndarray, y: np.ndarray, groups: stats.Groups) -> Iterator[Part]:
    """Divide label columns into parts that lack the same samples."""
    for known, columns in stats.patterns(np.isfinite(y)):
        if known.sum() >= 2:
            yield _part(x, y, groups, np.flatnonzero(known), columns[None, :])


def by_block(x: np.ndarray, y: np.ndarray, groups: stats.Groups, block: int) -> Iterator[Part]:
    """Divide blocks of label columns into parts whose blocks are complete on the same samples."""
    complete = np.asarray(np.isfinite(y).reshape(len(y), -1, block).all(axis=2))
    for known, blocks in stats.patterns(complete):
        if known.sum() >= 2:
            columns = blocks[:, None] * block + np.arange(block)
            yield _part(x, y, groups, np.flatnonzero(known), columns)


def spectrum(cx: Float[np.ndarray, "sample d_model"]) -> Spectrum:
    """Return the principal axes of centred activations; those with nothing but rounding are left out."""
    tall = len(cx) > cx.shape[1]
    _, size, axes = np.linalg.svd(np.linalg.qr(cx, mode="r") if tall else cx, full_matrices=False)
    real = size > size.max(initial=0.0) * max(cx.shape) * np.finfo(np.float64).eps
    return Spectrum(axes[real], size[real] ** 2)


def unit(rows: Float[np.ndarray, "*more d_model"]) -> Float[np.ndarray, "*more d_model"]:
    """Divide rows by their length; rows of length 0 stay 0."""
    norm = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.where(norm > 0, norm, 1.0)


def _part(x: np.ndarray, y: np.ndarray, groups: stats.Groups, rows: np.ndarray, columns: np.ndarray) -> Part:
    code = stats.codes(groups)[rows]
    return Part(rows, columns, code, stats.centre(x[rows], code), stats.centre(y[np.ix_(rows, columns.ravel())], code))
