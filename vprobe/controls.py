"""What chance looks like: labels or ratings shuffled by the design, and directions that mean nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from vprobe import stats
from vprobe.errors import RefusedError


def shuffle_labels(
    y: Float[np.ndarray, "sample value"], groups: stats.Groups, *, draws: int, seed: int
) -> Float[np.ndarray, "draw sample value"]:
    """Shuffle label rows: within each query, and whole queries among queries of the same size.

    Values move together, so every draw keeps the correlations between values and the labels' grouping; only their tie
    to the texts is broken. Shuffling each value apart would break both and is the wrong null for anything that
    compares values.

    Args:
        y: Labels.
        groups: The query of each sample.
        draws: How many shuffled copies.
        seed: Seed of the shuffles.
    """
    return y[_orders(groups, draws, seed, exchange=True)]


def flip_labels(
    y: Float[np.ndarray, "sample value"], groups: stats.Groups, *, draws: int, seed: int
) -> Float[np.ndarray, "draw sample value"]:
    """Turn the signs of whole queries' labels, all values alike, around each query's mean.

    Shuffling makes every label fit every text. Where texts that mention a value have labels far from zero and others do
    not, that makes chance look smaller than it is, though the mention tells no sign. Turned signs leave each label's
    size with its text and take only the sign away.

    Args:
        y: Labels.
        groups: The query of each sample.
        draws: How many copies.
        seed: Seed of the signs.

    Source: Cameron, Gelbach & Miller (2008), Rev. Econ. Stat. 90, 414-427 (wild cluster bootstrap, Rademacher weights).
    """
    code = stats.codes(groups)
    off = stats.centre(y, groups)
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), size=(draws, int(code.max()) + 1))
    return (y - off) + signs[:, code, None] * off


def shuffle_ratings(
    r: Float[np.ndarray, " sample"], groups: stats.Groups, *, draws: int, seed: int
) -> Float[np.ndarray, "draw sample"]:
    """Shuffle ratings within each query, so that each query keeps its mean.

    Args:
        r: Ratings.
        groups: The query of each sample.
        draws: How many shuffled copies.
        seed: Seed of the shuffles.
    """
    return r[_orders(groups, draws, seed, exchange=False)]


def stack(y: Float[np.ndarray, "sample value"], draws: Float[np.ndarray, "draw sample value"]) -> np.ndarray:
    """Lay real labels and shuffled ones side by side as columns, the real ones first, for one pass through a fit.

    Args:
        y: Real labels.
        draws: Shuffled copies.

    Returns:
        Array of shape (sample, (1 + draw) * value).
    """
    return np.concatenate([y[None], draws]).transpose(1, 0, 2).reshape(len(y), -1)


def unstack(columns: Float[np.ndarray, "sample column"], n_values: int) -> Float[np.ndarray, "draw sample value"]:
    """Undo `stack`: draw 0 belongs to the real labels.

    Args:
        columns: Scores of the columns that `stack` made.
        n_values: Values per draw.
    """
    return np.ascontiguousarray(columns.reshape(len(columns), -1, n_values).transpose(1, 0, 2))


def random_directions(d_model: int, *, draws: int, seed: int) -> Float[np.ndarray, "draw d_model"]:
    """Draw unit vectors that favour no direction. Too lenient alone: activations do favour some.

    Args:
        d_model: Width of the activations.
        draws: How many.
        seed: Seed of the draws.
    """
    return _unit(np.random.default_rng(seed).standard_normal((draws, d_model)))


def matched_directions(
    x: Float[np.ndarray, "sample d_model"], groups: stats.Groups, *, draws: int, seed: int
) -> Float[np.ndarray, "draw d_model"]:
    """Draw unit vectors that vary as activations do within queries: S^(1/2) z, with S their covariance, z normal.

    Args:
        x: Activations.
        groups: The query of each sample.
        draws: How many.
        seed: Seed of the draws.
    """
    # Normal weights on centred samples have covariance X'X = n S; no d_model x d_model root is needed.
    weights = np.random.default_rng(seed).standard_normal((draws, len(x)))
    return _unit(weights @ stats.centre(np.asarray(x, dtype=np.float64), groups))


def cleared(
    vectors: Float[np.ndarray, "draw d_model"], of: Float[np.ndarray, "value d_model"]
) -> Float[np.ndarray, "draw d_model"]:
    """Return unit vectors with everything along some others taken out; NaN where nothing is left.

    Args:
        vectors: What is cleared.
        of: What it is cleared of; rows that do not exist (NaN) are left out.
    """
    known = np.asarray(of, dtype=np.float64)[np.isfinite(of).all(axis=1)]
    _, size, axes = np.linalg.svd(known, full_matrices=False)
    basis = axes[size > stats.ROUND_OFF**0.5 * size.max(initial=0.0)]
    rest = vectors - (vectors @ basis.T) @ basis
    left = np.linalg.norm(rest, axis=1, keepdims=True) > stats.ROUND_OFF**0.5 * np.linalg.norm(
        vectors, axis=1, keepdims=True
    )
    return _unit(np.where(left, rest, 0.0))


def agreement_direction(
    x: Float[np.ndarray, "item d_model"], ratings: Float[np.ndarray, " item"]
) -> Float[np.ndarray, " d_model"]:
    """Return the unit covariance of activations with ratings, whatever the labels: agreeing in general, acquiescence.

    Args:
        x: Activations where the answer begins, one row per item.
        ratings: The model's ratings; items without one drop out.

    Returns:
        A direction towards higher ratings; NaN when all ratings are alike.
    """
    known = np.isfinite(ratings)
    cx = x[known] - x[known].mean(axis=0) if known.any() else x[known]
    r = ratings[known] - ratings[known].mean() if known.any() else ratings[known]
    return _unit((r @ cx)[None])[0]


def text_features(texts: Sequence[str]) -> Float[np.ndarray, "sample feature"]:
    """Count words and word pairs, weighted by how rare they are: what a probe can do without any model.

    A probe of a model is worth telling only where it beats the same probe on these. The vocabulary is taken from all
    texts, labels are not seen.

    Args:
        texts: One per sample.

    Raises:
        RefusedError: No word stands in two texts, so nothing can be learned from words.

    Source: scikit-learn `TfidfVectorizer`, unigrams and bigrams, sublinear counts.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        found = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True).fit_transform(texts)
    except ValueError as error:
        raise RefusedError(f"no common words: {error}", where="text baseline") from None
    return np.asarray(found.todense(), dtype=np.float64)


def word_counts(texts: Sequence[str]) -> Float[np.ndarray, "sample feature"]:
    """Count single words, as they stand: the plainest description of a text.

    Args:
        texts: One per sample.

    Raises:
        RefusedError: There are no words.

    Source: scikit-learn `CountVectorizer`.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    try:
        found: Any = CountVectorizer().fit_transform(texts)
    except ValueError as error:
        raise RefusedError(f"no words: {error}", where="text baseline") from None
    return np.asarray(found.todense(), dtype=np.float64)


def kinds(names: Sequence[str]) -> Float[np.ndarray, "sample kind"]:
    """Return which of its kinds each sample is of, such as its source: one column per kind, 1 where it is of it.

    Args:
        names: Kind of each sample.
    """
    code = stats.codes(tuple(names))
    return np.eye(int(code.max(initial=-1)) + 1)[code]


def control_task(
    texts: Sequence[str],
    y: Float[np.ndarray, "sample value"],
    groups: stats.Groups,
    *,
    reliability: Float[np.ndarray, " value"],
    draws: int,
    seed: int,
) -> Float[np.ndarray, "draw sample value"]:
    """Make labels that mean nothing and can be learned: every word is given a label row at random, wherever it stands.

    A text's control label is the mean over its words, so texts of one make-up have one label, in training and held-out
    queries alike. A probe that does as well on it reads which words there are and not what they say of a value. Label
    rows are drawn whole, which keeps the correlations between values; noise is added within queries until control
    labels are as unreliable as the real ones, and what is not known of a real label is not known of its control.

    Args:
        texts: One per sample.
        y: Real labels.
        groups: The query of each sample.
        reliability: Share of each value's label variance within queries that is not noise; NaN adds no noise.
        draws: How many.
        seed: Seed of the draws.

    Raises:
        RefusedError: There are no words.

    Source: Hewitt & Liang (2019), EMNLP, sec. 2 (control tasks; their types are words too).
    """
    counts = word_counts(texts)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    known = np.isfinite(y)
    rows = np.where(known, y, np.where(known, y, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    kept = np.where(np.isfinite(reliability), np.clip(reliability, 0.0, 1.0), 1.0)
    rng, out = np.random.default_rng(seed), np.empty((draws, *y.shape))
    for draw in range(draws):
        told = share @ rows[rng.integers(len(rows), size=counts.shape[1])]
        size = stats.centre(told, groups).std(axis=0)
        noise = rng.standard_normal(y.shape)
        noise *= size / stats.centre(noise, groups).std(axis=0)
        out[draw] = np.where(known, np.sqrt(kept) * told + np.sqrt(1.0 - kept) * noise, np.nan)
    return out


def _unit(vectors: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(norm > 0, vectors / np.where(norm > 0, norm, 1.0), np.nan)


def _orders(groups: stats.Groups, draws: int, seed: int, *, exchange: bool) -> Int[np.ndarray, "draw sample"]:
    """Return row indices per draw; with `exchange` whole groups of one size change places too."""
    rng = np.random.default_rng(seed)
    code = stats.codes(groups)
    sizes = np.bincount(code)
    rows = np.split(np.argsort(code, kind="stable"), np.cumsum(sizes)[:-1])
    out = np.empty((draws, len(code)), dtype=np.int64)
    for size in np.unique(sizes):
        table = np.stack([rows[i] for i in np.flatnonzero(sizes == size)])
        blocks = np.broadcast_to(table, (draws, *table.shape))
        if exchange:
            moved = rng.random((draws, len(table))).argsort(axis=1)
            blocks = np.take_along_axis(blocks, moved[:, :, None], axis=1)
        inner = rng.random(blocks.shape).argsort(axis=2)
        out[:, table] = np.take_along_axis(blocks, inner, axis=2)
    return out
