"""Control: covariance directions of shuffled labels, which favour what a real direction does but mean nothing."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.directions import _rows

ROLE = "write"
EFFECT = "marginal"
ROTATES = False  # which sample gets which labels follows from the activations as they are
JOINT = True
NULL = True
NEEDS = "labels"


def estimate(
    x: Float[np.ndarray, "sample d_model"],
    y: Float[np.ndarray, "sample column"],
    groups: stats.Groups,
    *,
    seed: int,
    block: int,
) -> Float[np.ndarray, "column d_model"]:
    """Return X~'y~ / n with label rows shuffled within queries, and whole queries among those of the same size.

    Values move together, so the directions keep the correlations between values. The sign is that of the shuffled
    labels: what steering along them does on average is 0.

    Args:
        x: Activations.
        y: Labels, NaN not known. Samples without all labels of a block drop out.
        groups: The query of each sample.
        seed: Seed of the shuffle.
        block: Columns that belong together: the values of one draw.

    Source: Pesarin & Salmaso (2010), Permutation Tests for Complex Data, ch. 1 (rows of several variables together).
    """
    out = np.full((y.shape[1], x.shape[1]), np.nan)
    for part in _rows.by_block(x, y, groups, block):
        order, given = _orders(part.x, part.code, seed)
        found = (part.y[given].T @ part.x[order]).reshape(*part.columns.shape, -1) / len(order)
        usable = part.usable.reshape(part.columns.shape)[:, :, None]
        out[part.columns] = np.where(usable, found, np.nan)
    return out


def _orders(cx: np.ndarray, code: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return samples and, place by place, the samples whose labels they are given.

    Samples are put in order by where they lie along a random line, so that the order of rows changes nothing.
    """
    rng = np.random.default_rng(seed)
    place = cx @ rng.standard_normal(cx.shape[1])
    order = np.lexsort((place, code))
    sizes = np.bincount(np.unique(code, return_inverse=True)[1])
    starts, given = np.cumsum(sizes) - sizes, np.empty(len(order), dtype=np.int64)
    for size in np.unique(sizes):
        table = starts[sizes == size][:, None] + np.arange(size)
        given[table] = rng.permuted(rng.permutation(table), axis=1)
    return order, order[given]
