"""The effect matrix: how far steering each value moves ratings along each value's labels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.errors import InputError

KINDS = ("marginal", "unique")
LOST = 0.05
"""Share of bootstrap draws that may lack a number before an interval of it is no longer given."""


@dataclass(frozen=True)
class Matrix:
    """Effects of steering targets (rows) on measured values (columns), rating points per SD of label within queries.

    Args:
        effect: NaN where a label does not vary. Labels of which one is made up of others share their effect ("unique"
            is then the least-norm solution), for nothing tells them apart.
        low: Lower end of the 95 % percentile interval, whole queries drawn; NaN for so few queries that more than
            `LOST` of the draws lack the number.
        high: Upper end.
        draws: The matrix in each bootstrap draw, for statistics of the whole; NaN, of the kind "unique", in a draw of
            so few different queries that it tells fewer labels apart than all items do.
        kind: "marginal": each label alone; "unique": all labels in one regression.
        spread: SD of each label that effects are counted in.
        n_items: Items used.
        n_unscored: Items without all labels or all ratings.
    """

    effect: Float[np.ndarray, "target measured"]
    low: Float[np.ndarray, "target measured"]
    high: Float[np.ndarray, "target measured"]
    draws: Float[np.ndarray, "draw target measured"]
    kind: str
    spread: Float[np.ndarray, " measured"]
    n_items: int
    n_unscored: int


def label_spread(labels: Float[np.ndarray, "item measured"], groups: stats.Groups) -> Float[np.ndarray, " measured"]:
    """Return the SD of each label within queries, over items that have all labels; NaN where a label does not vary.

    Args:
        labels: How far each item expresses each measured value.
        groups: The query of each item.
    """
    used = np.isfinite(labels).all(axis=1)
    if not used.any():
        return np.full(labels.shape[1], np.nan)
    code = stats.codes(tuple(np.asarray(groups)[used].tolist()))
    square = (stats.centre(labels[used], code) ** 2).sum(axis=0)
    spread = np.sqrt(square / max(int(used.sum()) - len(np.unique(code)), 1))
    return np.where(spread > 0, spread, np.nan)


def effect_matrix(
    moved: Float[np.ndarray, "target item"],
    labels: Float[np.ndarray, "item measured"],
    groups: stats.Groups,
    *,
    kind: str,
    seed: int,
    resamples: int = 1000,
    spread: Float[np.ndarray, " measured"] | None = None,
) -> Matrix:
    """Regress the change of ratings under each target on the labels, within queries.

    Effects of different items compare only when they count in one SD: with 31 queries of five responses the SD of a
    label is 10 % off, and so is every effect counted in it.

    Args:
        moved: Change of each item's rating under each target, per unit of dose or at one dose.
        labels: How far each item expresses each measured value.
        groups: The query of each item.
        kind: "marginal" or "unique".
        seed: Seed of the bootstrap.
        resamples: Draws of whole queries.
        spread: SD of each label to count in, such as that of a whole benchmark; of these items when None.

    Raises:
        InputError: Unknown kind, or rows that do not line up.
    """
    if kind not in KINDS or moved.shape[1] != len(labels) or len(groups) != len(labels):
        raise InputError(
            f"kind {kind}, changes {moved.shape}, labels {labels.shape}, {len(groups)} groups",
            where="effect matrix",
            expected="one of " + ", ".join(KINDS) + ", and one column of changes and one group per item",
        )
    used = np.isfinite(labels).all(axis=1) & np.isfinite(moved).all(axis=0)
    code = stats.codes(tuple(np.asarray(groups)[used].tolist())) if used.any() else np.zeros(0, dtype=np.int64)
    x, y = stats.centre(labels[used], code), stats.centre(moved.T[used], code)
    own = label_spread(labels[used], tuple(code.tolist()))
    spread = own if spread is None else np.where(np.isfinite(own), spread, np.nan)
    x = x / spread
    grams, products = _sums(x, y, code)
    effect = _solved(grams.sum(axis=0)[None], products.sum(axis=0)[None], kind)[0]
    rng = np.random.default_rng(seed)
    n = len(grams)
    draws = np.full((resamples, *effect.shape), np.nan)
    if n >= 3:
        weights = rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)
        drawn = np.tensordot(weights, grams, axes=1)
        draws = _solved(drawn, np.tensordot(weights, products, axes=1), kind)
        if kind == "unique":
            draws[_rank(drawn) < _rank(grams.sum(axis=0)[None])] = np.nan
    low, high = percentiles(draws)
    return Matrix(effect, low, high, draws, kind, spread, int(used.sum()), int((~used).sum()))


def percentiles(draws: Float[np.ndarray, "draw *shape"]) -> Float[np.ndarray, "2 *shape"]:
    """Return both ends of the 95 % percentile interval; NaN where more than `LOST` of the draws lack the number.

    Args:
        draws: A statistic in each bootstrap draw; NaN where a draw does not have it.
    """
    lost = 1 - np.isfinite(draws).mean(axis=0)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a column without any number, which is NaN
        return np.where(lost > LOST, np.nan, np.nanquantile(draws, (0.025, 0.975), axis=0))


def _rank(grams: Float[np.ndarray, "draw measured measured"]) -> Float[np.ndarray, " draw"]:
    """Return how many labels, or sums of them, each draw tells apart; 0 where one of them does not vary at all."""
    real = np.isfinite(grams).all(axis=(1, 2))
    out = np.zeros(len(grams))
    size = np.linalg.eigvalsh(grams[real])
    out[real] = (size > 1e-9 * size[:, -1:]).sum(axis=1)
    return out


def _sums(x: np.ndarray, y: np.ndarray, code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return per query the sums of products of labels with labels and with changes."""
    n = int(code.max(initial=-1)) + 1
    grams, products = np.zeros((n, x.shape[1], x.shape[1])), np.zeros((n, x.shape[1], y.shape[1]))
    np.add.at(grams, code, x[:, :, None] * x[:, None, :])
    np.add.at(products, code, x[:, :, None] * y[:, None, :])
    return grams, products


def _solved(grams: np.ndarray, products: np.ndarray, kind: str) -> np.ndarray:
    """Return effects (draw, target, measured) from sums over queries."""
    if kind == "marginal":
        own = np.diagonal(grams, axis1=1, axis2=2)[:, :, None]
        return (products / np.where(own > 0, own, np.nan)).transpose(0, 2, 1)
    real = np.isfinite(grams).all(axis=(1, 2))
    out = np.full((len(grams), products.shape[2], products.shape[1]), np.nan)
    out[real] = (np.linalg.pinv(grams[real], hermitian=True) @ products[real]).transpose(0, 2, 1)
    return out
