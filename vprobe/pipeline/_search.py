"""The search behind a probe's figure: every site and penalty, what inner folds choose, and what chance finds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vprobe import directions, stats, sweeps
from vprobe.directions.ridge import GRID
from vprobe.types import Fold, SearchRow, Site, SitePick

RIDGE = "ridge"
"""The method whose penalty is chosen together with the site."""
Each = Callable[[int, np.ndarray], None]


@dataclass(frozen=True)
class Found:
    """What a search gives.

    Args:
        nested: Held-out scores of every column, real and shuffled, at the sites inner folds chose.
        penalties: Index of the penalty chosen with the site; -1 for methods without one.
        grid: Penalties tried, multiples of the mean squared length of training activations; (NaN,) for methods without.
        r: Held-out within-query r of every cell; no numbers when nobody asked for the cells.
    """

    nested: directions.Nested
    penalties: np.ndarray
    grid: tuple[float, ...]
    r: Float[np.ndarray, "penalty column site"]


def search(
    xs: Sequence[np.ndarray],
    columns: Float[np.ndarray, "sample column"],
    groups: stats.Groups,
    folds: Sequence[Fold],
    *,
    method: str,
    seed: int,
    block: int,
    each: Each | None = None,
) -> Found:
    """Score every sample with the site, and for ridge the penalty, that inner folds choose column by column.

    Args:
        xs: Activations of each site.
        columns: Real labels, then shuffled copies.
        groups: The query of each sample.
        folds: Outer folds.
        method: Direction method.
        seed: Seed of the inner folds.
        block: Values of one draw.
        each: Called with every site's index and the held-out scores of all columns there.
    """
    if method == RIDGE:
        found = sweeps.search(xs, columns, groups, folds, GRID, seed=seed, each=each)
        return Found(directions.Nested(found.scores, found.site), found.penalty, GRID, found.r)
    nested = directions.nested(np.stack(xs), columns, groups, folds, method=method, seed=seed, block=block)
    cells = []
    for number, x in enumerate(xs if each is not None else ()):
        scores = directions.held_out(x, columns, groups, folds, method=method, seed=seed, block=block)
        cells.append(stats.within_r(scores, columns, groups))
        if each is not None:
            each(number, scores)
    r = np.stack(cells, axis=-1)[None] if cells else np.empty((1, columns.shape[1], 0))
    return Found(nested, np.full(nested.sites.shape, -1), (math.nan,), r)


def picks(found: Found, sites: Sequence[Site], values: Sequence[str], method: str) -> list[SitePick]:
    """Return what was chosen in every outer fold for every value, for the real labels.

    Args:
        found: Of `search`.
        sites: Of the activations searched.
        values: Of the labels.
        method: Direction method.
    """
    out = []
    for column, value in enumerate(values):
        for fold in range(len(found.nested.sites)):
            site, penalty = int(found.nested.sites[fold, column]), int(found.penalties[fold, column])
            name = str(sites[site]) if site >= 0 else ""
            out.append(SitePick(method, value, fold, name, found.grid[penalty] if penalty >= 0 else math.nan))
    return out


def cells(
    found: Found, sites: Sequence[Site], values: Sequence[str], y: Float[np.ndarray, "sample value"], method: str
) -> list[SearchRow]:
    """Return the grid with the p of each cell against the largest |r| that shuffled labels give anywhere in it.

    Args:
        found: Of `search`, with its cells.
        sites: Of the activations searched.
        values: Of the labels.
        y: Real labels.
        method: Direction method.

    Source: Westfall & Young (1993), Resampling-Based Multiple Testing, ch. 2 (max-T).
    """
    k, shape = len(values), found.r.shape
    null = np.abs(found.r.reshape(shape[0], -1, k, shape[2]).transpose(1, 0, 2, 3).reshape(-1, shape[0] * k * shape[2]))
    real = found.r[:, :k]
    p = stats.max_t_p(null[0], null[1:]).reshape(real.shape)
    chosen, n = found.nested.sites[:, :k], np.isfinite(y).sum(axis=0)
    out = []
    for column, value in enumerate(values):
        for place, site in enumerate(sites):
            for step, penalty in enumerate(found.grid):
                at = (chosen[:, column] == place) & np.isin(found.penalties[:, column], (step, -1))
                r, chance = float(real[step, column, place]), float(p[step, column, place])
                row = SearchRow(
                    method, value, str(site), penalty, r, chance, int(at.sum()), len(chosen), int(n[column])
                )
                out.append(row)
    return out
