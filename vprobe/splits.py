"""Folds that never divide a query: responses to one query share their words, and a probe must not profit from that."""

from __future__ import annotations

import numpy as np

from vprobe import stats
from vprobe.errors import RefusedError
from vprobe.types import Fold


def by_group(groups: stats.Groups, *, k: int = 5, seed: int, inside: bool = False) -> tuple[Fold, ...]:
    """Divide samples into k folds of whole groups, at random and of about equal size.

    Args:
        groups: The query of each sample, or what holds whole queries, such as a rater group.
        k: Folds.
        seed: Seed of the shuffle; the order of the samples does not matter.
        inside: True to have inner folds, on which sites and penalties are chosen, keep these groups whole too.

    Raises:
        RefusedError: Fewer groups than folds.
    """
    return tuple(_kept(fold, groups, inside) for fold in _folds(stats.fold_of(groups, k, seed=seed), k))


def aside(groups: stats.Groups, *, share: float, seed: int, inside: bool = False) -> Fold:
    """Set a share of the groups aside at random, whole, as the test side of one fold: at least one, never all.

    Args:
        groups: What stays whole: the query or the rater group of each sample.
        share: Share of the groups, above 0 and at most one half.
        seed: Seed of the choice; the order of the samples does not matter.
        inside: True to have inner folds keep these groups whole too.

    Raises:
        RefusedError: A share out of range, or fewer than four groups.
    """
    code = stats.codes(groups)
    n = int(code.max(initial=-1)) + 1
    if not 0 < share <= 0.5 or n < 4:
        raise RefusedError(
            f"a share of {share:g} of {n} groups set aside", where="final split",
            expected="a share above 0 and at most 0.5, and at least 4 groups", do="use --final 0.2",
        )  # fmt: skip
    chosen = np.random.default_rng(seed).permutation(n)[: max(1, round(share * n))]
    out = np.isin(code, chosen)
    return _kept(Fold(np.flatnonzero(~out), np.flatnonzero(out)), groups, inside)


def by_row(n: int, *, k: int = 5, seed: int, unsafe: bool = False) -> tuple[Fold, ...]:
    """Divide samples into k folds one by one. Wrong for grouped samples: it makes noise look like a result.

    Args:
        n: Samples.
        k: Folds.
        seed: Seed of the shuffle.
        unsafe: True to do it nevertheless, to show how wrong it is.

    Raises:
        RefusedError: `unsafe` is not True, or fewer samples than folds.
    """
    if not unsafe:
        raise RefusedError(
            "folds that divide queries",
            where="split by row",
            expected="whole queries on one side",
            do="use by_group; unsafe=True is for demonstrating the error only",
        )
    return _folds(stats.fold_of(np.arange(n), k, seed=seed), k)


def _kept(fold: Fold, groups: stats.Groups, inside: bool) -> Fold:
    return Fold(fold.train, fold.test, stats.codes(groups)[fold.train]) if inside else fold


def _folds(fold: np.ndarray, k: int) -> tuple[Fold, ...]:
    return tuple(Fold(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(k))
