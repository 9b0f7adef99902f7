"""Held-out ridge predictions of every penalty and column, and the choice of penalty and site on inner folds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from vprobe import stats
from vprobe.errors import InputError
from vprobe.sweeps._basis import Kernel, basis, check, kernel, known_in, patterns
from vprobe.types import Fold


@dataclass(frozen=True)
class Nested:
    """Held-out results of the penalty and site that inner folds chose: the outer fold had no say in the choice.

    Args:
        r: Held-out within-query correlation with the labels; NaN where none exists.
        predictions: Held-out prediction of each sample; NaN where nothing could be chosen.
        site: Index of the site chosen in each outer fold; -1 none.
        penalty: Index of the penalty chosen in each outer fold; -1 none.
        inner_r: Within-query correlation the choice had on inner folds; too high, because it was the highest.
    """

    r: Float[np.ndarray, " value"]
    predictions: Float[np.ndarray, "sample value"]
    site: Int[np.ndarray, "fold value"]
    penalty: Int[np.ndarray, "fold value"]
    inner_r: Float[np.ndarray, "fold value"]


@dataclass(frozen=True)
class Sweep:
    """Held-out correlation of every cell of a sweep, the nested choice among cells, and how often each was chosen.

    The largest `r` of a sweep is the best of many and too high; tell `nested.r`, or hold `r` against `max_t`.

    Args:
        penalties: Penalties as given.
        r: Held-out within-query correlation with the labels; NaN where none exists.
        n: Samples with a label and a held-out prediction.
        nested: What inner folds chose.
        picked: In how many outer folds a cell was chosen.
    """

    penalties: Float[np.ndarray, " penalty"]
    r: Float[np.ndarray, "penalty value site"]
    n: Int[np.ndarray, " value"]
    nested: Nested
    picked: Int[np.ndarray, "penalty value site"]


def ridge(
    x_site: Float[np.ndarray, "sample d_model"],
    y: Float[np.ndarray, "sample value"],
    groups: stats.Groups,
    folds: Sequence[Fold],
    penalties: Sequence[float] | Float[np.ndarray, " penalty"],
    *,
    scaled: bool = False,
) -> Float[np.ndarray, "penalty sample value"]:
    """Predict every held-out sample by ridge regression, for all penalties and label columns together.

    Predictions are those of scikit-learn to 1e-9 unless a penalty is vanishingly small beside the largest squared
    singular value (1e-8 of it) and there are about as many samples as dimensions: there both lose the same digits.

    Args:
        x_site: Activations of one site.
        y: Labels, NaN not known; columns that lack the same samples are solved together.
        groups: The query of each sample.
        folds: Training and held-out samples.
        penalties: Weights of the squared norm, as `alpha` in scikit-learn.
        scaled: Penalties are multiples of the mean squared length of the centred training activations, so that one
            grid suits sites of different size.

    Returns:
        Predictions in the unit of the labels; NaN for samples that no fold holds out, and where fewer than two
        training samples have a label.

    Raises:
        RefusedError: A fold divides a query, or a sample is held out twice.
        InputError: Misaligned or non-finite input.

    Source: Hoerl & Kennard (1970), Technometrics 12; scikit-learn `Ridge(fit_intercept=True)`.
    """
    alphas, y = np.asarray(penalties, dtype=np.float64), np.asarray(y, dtype=np.float64)
    check(y, groups, folds, alphas)
    return _predict(kernel(x_site, len(y), 0), y, folds, alphas, scaled)


def sweep(
    sites: Iterable[np.ndarray],
    y: Float[np.ndarray, "sample value"],
    groups: stats.Groups,
    folds: Sequence[Fold],
    penalties: Sequence[float] | Float[np.ndarray, " penalty"],
    *,
    seed: int,
    inner: int = 4,
    scaled: bool = False,
    blocks: stats.Groups | None = None,
) -> Sweep:
    """Probe every site with every penalty, and choose both per value without looking at the held-out samples.

    In each outer fold the training samples are divided again into `inner` folds; the penalty and site with the highest
    within-query correlation there predict the outer held-out samples, which thus score the whole procedure.

    Args:
        sites: Activations of each site, all of the same samples; taken one at a time, so an iterator may load them.
        y: Labels, NaN not known.
        groups: The query of each sample.
        folds: Training and held-out samples.
        penalties: Weights of the squared norm, as `alpha` in scikit-learn.
        seed: Seed of the inner folds.
        inner: Inner folds.
        scaled: Penalties are multiples of the mean squared length of the centred training activations.
        blocks: What inner folds keep whole, such as the rater group of each sample, where the folds do not say it
            themselves; queries when None.

    Raises:
        RefusedError: A fold divides a query or block, a sample is held out twice, or there are fewer blocks than inner
            folds. Folds that say what inner folds keep whole may have fewer, but two.
        InputError: Misaligned or non-finite input, or no sites.

    Source: Varma & Simon (2006), BMC Bioinformatics 7, 91 (nested cross-validation).
    """
    alphas, y = np.asarray(penalties, dtype=np.float64), np.asarray(y, dtype=np.float64)
    check(y, groups, folds, alphas)
    whole = groups if blocks is None else blocks
    inside = [_inner_folds(fold, whole, inner, seed) for fold in folds]
    check(y, whole, folds, alphas)
    for part in inside:
        check(y, groups, part, alphas)
    best, cells, code = _Best(len(folds), y.shape), [], stats.codes(groups)
    for number, x in enumerate(sites):
        site = kernel(x, len(y), number)
        outer = _predict(site, y, folds, alphas, scaled)
        cells.append(_r(outer, y, groups))
        for index, (fold, part) in enumerate(zip(folds, inside, strict=True)):
            # Inner folds predict training samples only; the rest is NaN and would make the sums slow.
            found = _r(_predict(site, y, part, alphas, scaled)[:, fold.train], y[fold.train], code[fold.train])
            best.offer(index, number, found, outer[:, fold.test], fold.test)
    if not cells:
        raise InputError("no sites", where="sweep", do="give the activations of at least one site")
    return _record(alphas, np.stack(cells, axis=-1), best, y, groups, folds)


class _Best:
    """The best cell so far per outer fold and value, with what it predicts: no site need be seen twice."""

    def __init__(self, folds: int, shape: tuple[int, ...]) -> None:
        self.r = np.full((folds, shape[1]), np.nan)
        self.site, self.penalty = np.full((2, folds, shape[1]), -1)
        self.predictions = np.full(shape, np.nan)

    def offer(self, fold: int, site: int, r: np.ndarray, predicted: np.ndarray, rows: np.ndarray) -> None:
        rank = np.where(np.isfinite(r), r, -np.inf)
        penalty, columns = rank.argmax(axis=0), np.arange(r.shape[1])
        top = rank[penalty, columns]
        held = np.where(np.isfinite(self.r[fold]), self.r[fold], -np.inf)
        better = np.flatnonzero(top > held)
        self.r[fold, better], self.site[fold, better], self.penalty[fold, better] = top[better], site, penalty[better]
        self.predictions[np.ix_(rows, better)] = predicted[penalty[better], :, better].T


def _record(
    penalties: np.ndarray, r: np.ndarray, best: _Best, y: np.ndarray, groups: stats.Groups, folds: Sequence[Fold]
) -> Sweep:
    picked = np.zeros(r.shape, dtype=np.int64)
    fold, value = np.nonzero(best.site >= 0)
    np.add.at(picked, (best.penalty[fold, value], value, best.site[fold, value]), 1)
    held = np.concatenate([one.test for one in folds])
    nested = Nested(
        r=stats.within_r(best.predictions, y, groups),
        predictions=best.predictions,
        site=best.site,
        penalty=best.penalty,
        inner_r=best.r,
    )
    return Sweep(penalties, r, np.isfinite(y[held]).sum(axis=0), nested, picked)


def _inner_folds(fold: Fold, blocks: stats.Groups, k: int, seed: int) -> tuple[Fold, ...]:
    whole = np.asarray(blocks)[fold.train] if fold.whole is None else fold.whole
    k = k if fold.whole is None else min(k, len(np.unique(whole)))
    part = stats.fold_of(whole, k, seed=seed)
    return tuple(Fold(fold.train[part != i], fold.train[part == i]) for i in range(k))


def _predict(site: Kernel, y: np.ndarray, folds: Sequence[Fold], penalties: np.ndarray, scaled: bool) -> np.ndarray:
    out = np.full((len(penalties), *y.shape), np.nan)
    for pattern in patterns(y):
        for fold in folds:
            train = known_in(pattern, fold.train, len(y))
            if len(train) < 2:
                continue
            one = basis(site, train, fold.test)
            known = y[np.ix_(train, pattern.columns)]
            mean = known.mean(axis=0)
            alphas = penalties * one.scale if scaled else penalties
            moments = one.project @ (known - mean)
            shrunk = moments[:, None, :] / (one.squares[:, None] + alphas)[:, :, None]
            held = one.seen @ shrunk.reshape(len(one.squares), -1)
            held = held.reshape(len(fold.test), len(penalties), -1) + mean
            out[:, fold.test[:, None], pattern.columns] = held.transpose(1, 0, 2)
    return out


def _r(predicted: np.ndarray, y: np.ndarray, groups: stats.Groups) -> np.ndarray:
    """Return the within-query correlation per penalty and value; samples without prediction or label are left out."""
    columns = predicted.transpose(1, 0, 2).reshape(len(y), -1)
    return stats.within_r(columns, np.tile(y, len(predicted)), groups).reshape(len(predicted), -1)
