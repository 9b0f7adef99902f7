"""Held-out probe scores: every sample is scored by a probe that never saw its query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from jaxtyping import Float, Int, Shaped

from vprobe import stats
from vprobe.directions._fit import block_of, check_finite, check_rows, checked, chunks, module_of, probes
from vprobe.errors import RefusedError
from vprobe.types import Fold


@dataclass(frozen=True)
class Nested:
    """Held-out scores whose site was chosen without the samples scored.

    Args:
        scores: In standard deviations of the samples each probe was fitted on; NaN where no probe could be fitted.
        sites: Index of the site chosen, per outer fold and column; -1 when none could be.
    """

    scores: Float[np.ndarray, "sample column"]
    sites: Int[np.ndarray, "fold column"]


def held_out(
    x: Float[np.ndarray, "sample d_model"],
    y: Float[np.ndarray, "sample column"],
    groups: stats.Groups,
    folds: Sequence[Fold],
    *,
    method: str,
    seed: int,
    block: int | None = None,
    unsafe: bool = False,
) -> Float[np.ndarray, "sample column"]:
    """Score each sample with a probe fitted on the other folds.

    Args:
        x: Activations of one site.
        y: Labels, NaN not known.
        groups: The query of each sample.
        folds: From `splits.by_group`.
        method: Plug-in name.
        seed: Seed for estimators that draw folds.
        block: Columns that belong together, the values of one draw; all of them when None.
        unsafe: True to allow folds that divide queries, which makes noise look like a result.

    Returns:
        Scores less the training samples' mean, in their standard deviations; NaN where no probe could be fitted and
        for samples in no test fold.

    Raises:
        InputError: Unknown method, samples and labels differ in number, or activations are not finite.
        RefusedError: A query lies on both sides of a fold and `unsafe` is not True.
    """
    module = module_of(method)
    x, y = checked(x, y, groups)
    code = stats.codes(groups)
    if not unsafe:
        _check_folds(folds, code)
    x, width = _narrow(x, module), block_of(y, block)
    out = np.full(y.shape, np.nan)
    for fold in folds:
        out[fold.test] = _scored(x, y, code, fold, module, seed, width)
    return out


def nested(
    xs: Shaped[np.ndarray, "site sample d_model"],
    y: Float[np.ndarray, "sample column"],
    groups: stats.Groups,
    folds: Sequence[Fold],
    *,
    method: str,
    seed: int,
    block: int | None = None,
    inner: int = 4,
) -> Nested:
    """Score each sample at the site that does best on inner folds of its training queries, column by column.

    Inner folds hold out what the outer ones say (`Fold.whole`), whole queries where they say nothing.

    Args:
        xs: Activations, sites first.
        y: Labels, NaN not known. Shuffled copies as further columns go through the same choice of site.
        groups: The query of each sample.
        folds: Outer folds, from `splits.by_group`.
        method: Plug-in name.
        seed: Seed of the inner folds.
        block: Columns that belong together, the values of one draw; all of them when None.
        inner: Inner folds.

    Raises:
        InputError: Unknown method, samples and labels differ in number, or activations are not finite.
        RefusedError: A query lies on both sides of a fold, or too few queries for the inner folds.
    """
    module = module_of(method)
    check_rows(xs.shape[1], y, groups)
    check_finite(xs)
    code, y = stats.codes(groups), np.asarray(y, dtype=np.float64)
    _check_folds(folds, code)
    width = block_of(y, block)
    if len(xs) > 1:
        r = np.stack([_inner_r(one, y, code, folds, module, seed, inner, width) for one in xs])
    else:
        r = np.zeros((1, len(folds), y.shape[1]))
    known = np.isfinite(r)
    chosen = np.where(known.any(axis=0), np.where(known, r, -np.inf).argmax(axis=0), -1)
    scores = np.full(y.shape, np.nan)
    for site, one in enumerate(xs):
        x = _narrow(np.asarray(one, dtype=np.float64), module)
        for number, fold in enumerate(folds):
            columns = np.flatnonzero(chosen[number] == site)
            whole = _whole_blocks(columns, width) if module.JOINT else columns
            if len(columns):
                found = _scored(x, y[:, whole], code, fold, module, seed, width)
                scores[np.ix_(fold.test, columns)] = found[:, np.isin(whole, columns)]
    return Nested(scores, chosen)


def _whole_blocks(columns: np.ndarray, width: int) -> np.ndarray:
    """Add the columns that belong with those given: a joint estimator needs them all."""
    return (np.unique(columns // width)[:, None] * width + np.arange(width)).reshape(-1)


def _inner_r(
    one: np.ndarray,
    y: np.ndarray,
    code: np.ndarray,
    folds: Sequence[Fold],
    module: ModuleType,
    seed: int,
    inner: int,
    width: int,
) -> np.ndarray:
    """Return within-query r on the inner folds of one site, per outer fold and column."""
    x = _narrow(np.asarray(one, dtype=np.float64), module)
    out = np.empty((len(folds), y.shape[1]))
    for number, outer in enumerate(folds):
        whole = code[outer.train] if outer.whole is None else outer.whole
        k = inner if outer.whole is None else min(inner, len(np.unique(whole)))
        part = stats.fold_of(whole, k, seed=seed)
        totals = np.zeros((y.shape[1], 4))
        for i in range(k):
            own = None if outer.whole is None else whole[part != i]
            fold = Fold(outer.train[part != i], outer.train[part == i], own)
            scores = _scored(x, y, code, fold, module, seed, width)
            totals += stats.within(scores, y[fold.test], code[fold.test]).totals
        out[number] = stats.correlation_of(totals)
    return out


def _scored(
    x: np.ndarray,
    y: np.ndarray,
    code: np.ndarray,
    fold: Fold,
    module: ModuleType,
    seed: int,
    width: int,
) -> np.ndarray:
    seen, unseen, inside = x[fold.train], x[fold.test], code[fold.train]
    width = width if module.JOINT else 1
    parts = [
        probes(seen, y[fold.train, part], inside, module, seed, width, fold.whole).score(unseen)
        for part in chunks(x, y, width)
    ]
    return np.concatenate(parts, axis=1) if parts else np.empty((len(fold.test), 0))


def _narrow(x: np.ndarray, module: ModuleType) -> np.ndarray:
    """Rotate wide activations into as many dimensions as there are samples; scores stay what they were."""
    if x.shape[1] <= x.shape[0] or not module.ROTATES:
        return x
    return np.ascontiguousarray(np.asarray(np.linalg.qr(x.T, mode="r")).T)


def _check_folds(folds: Sequence[Fold], code: np.ndarray) -> None:
    for fold in folds:
        both = np.intersect1d(code[fold.train], code[fold.test])
        if len(both):
            raise RefusedError(
                f"{len(both)} queries on both sides of a fold",
                where="held-out scores",
                expected="whole queries on one side",
                do="make the folds with splits.by_group",
            )
