"""How ratings follow what is read of a value when a model is told different things, and what is left of it.

Over conditions (such as personas) the projection of the token an answer starts from moves. Where it is the value, the
ratings of items that express the value move with it. The predictor is the projection times the item's label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from vprobe import stats
from vprobe.errors import InputError


@dataclass(frozen=True)
class Followed:
    """Slopes of ratings on what is read times label, all values in one regression.

    Args:
        effect: Rating points per unit of what is read and SD of label.
        draws: The same in each bootstrap draw of whole queries.
        r: Correlation of each arm's ratings with each predictor by itself.
        share: Share of the first arm's variance that a value's predictor tells beside the others'.
        n_items: Items used.
        n_unscored: Items without all labels or all ratings.
    """

    effect: Float[np.ndarray, "arm value"]
    draws: Float[np.ndarray, "draw arm value"]
    r: Float[np.ndarray, "arm value"]
    share: Float[np.ndarray, " value"]
    n_items: int
    n_unscored: int

    @property
    def low(self) -> Float[np.ndarray, "arm value"]:
        """Lower ends of 95 % percentile intervals."""
        return self.quantile(self.draws, 0.025)

    @property
    def high(self) -> Float[np.ndarray, "arm value"]:
        """Upper ends."""
        return self.quantile(self.draws, 0.975)

    @staticmethod
    def quantile(draws: np.ndarray, at: float) -> np.ndarray:
        """Return a quantile over draws; NaN where a draw does not exist."""
        with np.errstate(all="ignore"):
            return np.quantile(draws, at, axis=0)


def followed(
    ratings: Float[np.ndarray, "arm condition item"],
    read: Float[np.ndarray, "condition item value"],
    labels: Float[np.ndarray, "item value"],
    groups: stats.Groups,
    *,
    seed: int,
    spread: Float[np.ndarray, " value"],
    resamples: int = 1000,
) -> Followed:
    """Regress ratings on what is read times label, within conditions and queries.

    What all items of a query share in a condition drops out, and with it a shift of all ratings alike.

    Args:
        ratings: Ratings, or changes of them, of each arm. Where every item was rated under every condition, less each
            item's mean over conditions.
        read: What is read of each value, in its unit; likewise less the mean over conditions, or a difference. A value
            that is NaN throughout, because its reading never changes, has no slope and stays out of the regression.
        labels: How far each item expresses each value.
        groups: The query of each item.
        seed: Seed of the bootstrap.
        spread: SD of each label to count in.
        resamples: Draws of whole queries.

    Raises:
        InputError: Rows that do not line up.
    """
    if ratings.shape[1:] != read.shape[:2] or read.shape[1:] != labels.shape or len(groups) != len(labels):
        raise InputError(
            f"ratings {ratings.shape}, readings {read.shape}, labels {labels.shape}, {len(groups)} groups",
            where="ratings over conditions", expected="the same conditions, items and values in all of them",
        )  # fmt: skip
    real = np.asarray(np.isfinite(read).any(axis=(0, 1)) & np.isfinite(labels).any(axis=0))
    known = (
        np.isfinite(labels[:, real]).all(axis=1),
        np.isfinite(ratings).all(axis=(0, 1)),
        np.isfinite(read[..., real]).all(axis=(0, 2)),
    )
    used = np.logical_and.reduce(known)
    if not real.all() or not used.any():
        return _without(ratings, read, labels, groups, real, used, seed=seed, spread=spread, resamples=resamples)
    grams, products, squares = _sums(ratings[:, :, used], read[:, used], labels[used] / spread, _codes(groups, used))
    gram, product = grams.sum(axis=0), products.sum(axis=0)
    effect, own = product @ np.linalg.pinv(gram, hermitian=True), np.diagonal(np.linalg.pinv(gram, hermitian=True))
    draws = np.full((resamples, *effect.shape), np.nan)
    n = len(grams)
    if n >= 3:
        weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)
        inverse = np.linalg.pinv(np.tensordot(weights, grams, axes=1), hermitian=True)
        draws = np.tensordot(weights, products, axes=1) @ inverse
    size = np.sqrt(squares[:, None] * np.diagonal(gram))
    with np.errstate(all="ignore"):
        r = np.where(size > 0, product / np.where(size > 0, size, 1.0), np.nan)
        share = effect[0] ** 2 / np.where(own > 0, own, np.nan) / (squares[0] or np.nan)
    return Followed(effect, draws, r, share, int(used.sum()), int((~used).sum()))


def _without(
    ratings: np.ndarray,
    read: np.ndarray,
    labels: np.ndarray,
    groups: stats.Groups,
    real: np.ndarray,
    used: np.ndarray,
    *,
    seed: int,
    spread: np.ndarray,
    resamples: int,
) -> Followed:
    """Return what is known of values that are read at all, and NaN of those whose reading does not exist."""
    arms, values = len(ratings), len(real)
    effect, r, share = np.full((arms, values), np.nan), np.full((arms, values), np.nan), np.full(values, np.nan)
    draws = np.full((resamples, arms, values), np.nan)
    if used.any() and real.any():
        found = followed(
            ratings, read[..., real], labels[:, real], groups, seed=seed, spread=spread[real], resamples=resamples
        )
        effect[:, real], draws[:, :, real], r[:, real], share[real] = found.effect, found.draws, found.r, found.share
    n = int(used.sum()) if real.any() else 0
    return Followed(effect, draws, r, share, n, len(used) - n)


def _codes(groups: stats.Groups, used: Bool[np.ndarray, " item"]) -> np.ndarray:
    return stats.codes(tuple(np.asarray(groups)[used].tolist())) if used.any() else np.zeros(0, dtype=np.int64)


def _sums(
    ratings: np.ndarray, read: np.ndarray, labels: np.ndarray, code: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return per query the products of predictors with each other and with ratings, and the ratings' squares."""
    conditions, values = len(read), read.shape[2]
    n = int(code.max(initial=-1)) + 1
    cell = (np.arange(conditions)[:, None] * n + code).reshape(-1)
    x = stats.centre((read * stats.centre(labels, code)).reshape(-1, values), cell)
    y = stats.centre(ratings.reshape(len(ratings), -1).T, cell)
    query = np.tile(code, conditions)
    grams, products = np.zeros((n, values, values)), np.zeros((n, len(ratings), values))
    for one in range(n):
        rows = query == one
        grams[one], products[one] = x[rows].T @ x[rows], y[rows].T @ x[rows]
    return grams, products, (y**2).sum(axis=0)
