"""Structure in a table of respondents by terms: is there any, how many factors, which terms, which groups of factors.

Two things look like structure and are none. Talkative respondents name more of everything: each respondent's own level
is taken away before anything is counted. And respondents of one model are no independent witnesses: thirty models can
differ on every term by chance, and two terms then go together over hundreds of respondents. So chance tables move each
term between models as a whole: a term keeps its frequency and how much models differ on it, and goes its own way.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from vprobe import stats
from vprobe.lexicon._records import Parallel

LEAST_LOADING = 0.3
"""A term belongs to the factor it loads on most, if it loads at least this much."""
LEAST_TERMS = 3
"""Fewest terms of a factor."""
LEVEL = 0.95
MOST_P = 0.01
"""Largest p at which factors, or groups of factors, are reported."""
_ROUNDS = 2
"""Times a respondent's level and the terms' slopes on it are estimated from each other."""


@dataclass(frozen=True)
class Extraction:
    """Correlated factors of a table.

    Args:
        loadings: Pattern loadings.
        correlations: Of the factors.
        factor: Factor of each term, -1 for none.
    """

    loadings: Float[np.ndarray, "term factor"]
    correlations: Float[np.ndarray, "factor factor"]
    factor: Int[np.ndarray, " term"]


@dataclass(frozen=True)
class Groups:
    """Groups of factors.

    Args:
        group: Group of each factor; all -1 where the separation is no better than chance.
        p: Of the separation; NaN below three factors.
    """

    group: Int[np.ndarray, " factor"]
    p: float


def without_level(used: Bool[np.ndarray, "respondent term"]) -> Float[np.ndarray, "respondent term"]:
    """Take each respondent's own level away: what is left says which terms, not how many.

    Per term a logistic curve over how much a respondent names in all, weighted by the terms' slopes; then residuals
    in units of their standard deviation, and every respondent scaled to the same sum of squares.
    """
    from sklearn.linear_model import LogisticRegression

    table = used.astype(np.float64)
    slopes, left = np.ones(table.shape[1]), np.empty_like(table)
    for _ in range(_ROUNDS):
        level = table @ slopes
        level = ((level - level.mean()) / (level.std() or 1.0))[:, None]
        for term in range(table.shape[1]):
            curve = LogisticRegression(C=100.0, max_iter=1000).fit(level, used[:, term])
            chance = curve.predict_proba(level)[:, 1]
            slopes[term] = max(float(curve.coef_[0, 0]), 0.05)
            left[:, term] = (table[:, term] - chance) / np.sqrt(np.maximum(chance * (1.0 - chance), 1e-9))
    size = np.sqrt((left**2).mean(axis=1, keepdims=True))
    left = left / np.where(size > 0, size, 1.0)
    return left - left.mean(axis=1, keepdims=True)


def move_models(
    table: Float[np.ndarray, "respondent column"], models: Int[np.ndarray, " respondent"], rng: np.random.Generator
) -> Float[np.ndarray, "respondent column"]:
    """Give each model another model's answers, for every column by itself; within a model they are shuffled.

    A model with fewer respondents than it is to fill has some of its answers repeated.
    """
    sizes = np.bincount(models)
    longest, k = int(sizes.max()), table.shape[1]
    rows = np.stack([np.resize(np.flatnonzero(models == one), longest) for one in range(len(sizes))])
    order = np.argsort(models, kind="stable")
    place = np.empty(len(models), dtype=np.int64)
    place[order] = np.arange(len(models)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    donor = rng.random((k, len(sizes))).argsort(axis=1)
    inner = rng.random((k, len(sizes), longest)).argsort(axis=2)
    source = np.take_along_axis(rows[donor], inner, axis=2)
    return table[source[:, models, place].T, np.arange(k)]


def parallel(
    left: Float[np.ndarray, "respondent term"],
    models: Int[np.ndarray, " respondent"],
    *,
    seed: int,
    draws: int,
) -> Parallel:
    """Count the eigenvalues that are larger than in chance tables.

    Args:
        left: From `without_level`.
        models: Model of each respondent.
        seed: Seed of the draws.
        draws: Chance tables.

    Source: Horn (1965), Psychometrika 30; the chance tables are ours.
    """
    rng = np.random.default_rng(seed)
    observed = _eigenvalues(left)
    null = np.stack([_eigenvalues(_centred(move_models(left, models, rng))) for _ in range(draws)])
    chance = np.quantile(null, LEVEL, axis=0)
    above = observed > chance
    n = len(above) if above.all() else int(np.argmin(above))
    return Parallel(observed, chance, n, float(stats.permutation_p(observed[:1], null[:, :1])[0]), draws)


def extract(used: Bool[np.ndarray, "respondent term"], k: int) -> Extraction:
    """Find k correlated factors of the plain table; fewer where a factor would have too few terms.

    Principal axes of the correlations (phi) of the terms, rotated obliquely by quartimin.

    Source: Jennrich & Sampson (1966), Psychometrika 31, for the rotation.
    """
    r = correlations(used.astype(np.float64))
    while True:
        found = _rotated(r, k)
        n = np.bincount(found.factor[found.factor >= 0], minlength=k)
        if k == 1 or n.min() >= LEAST_TERMS:
            return _sorted(found, n)
        k -= 1


def group_factors(
    left: Float[np.ndarray, "respondent term"],
    factor: Int[np.ndarray, " term"],
    models: Int[np.ndarray, " respondent"],
    *,
    seed: int,
    draws: int,
) -> Groups:
    """Group factors whose terms are named by the same respondents, if they are better separated than by chance.

    Average-link clustering of the correlations of the factors' mean scores, at the number of groups with the best
    silhouette; chance moves each factor's scores between models as a whole.
    """
    k = int(factor.max()) + 1
    if k < 3:
        return Groups(np.full(k, -1), math.nan)
    scores = np.stack([left[:, factor == one].mean(axis=1) for one in range(k)], axis=1)
    group, separation = _separate(correlations(scores))
    rng = np.random.default_rng(seed)
    null = [_separate(correlations(_centred(move_models(scores, models, rng))))[1] for _ in range(draws)]
    p = float(stats.permutation_p(np.array([separation]), np.array(null)[:, None])[0])
    return Groups(group if p <= MOST_P else np.full(k, -1), p)


def correlations(table: Float[np.ndarray, "respondent column"]) -> Float[np.ndarray, "column column"]:
    """Return the correlations of the columns; a column that does not vary goes with none."""
    deviation = table - table.mean(axis=0)
    size = np.sqrt((deviation**2).sum(axis=0))
    unit = deviation / np.where(size > 0, size, 1.0)
    out = unit.T @ unit
    np.fill_diagonal(out, 1.0)
    return out


def _centred(table: np.ndarray) -> np.ndarray:
    return table - table.mean(axis=1, keepdims=True)


def _eigenvalues(table: np.ndarray) -> np.ndarray:
    return np.linalg.eigvalsh(correlations(table))[::-1]


def _rotated(r: Float[np.ndarray, "term term"], k: int) -> Extraction:
    from statsmodels.multivariate.factor import Factor
    from statsmodels.multivariate.factor_rotation import rotate_factors

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a communality that reaches 1 is cut off there
        plain = np.asarray(
            Factor(corr=r, n_factor=k, method="pa", smc=False).fit(maxiter=100).loadings, dtype=np.float64
        )
    if k == 1:
        loadings, phi = plain, np.ones((1, 1))
    else:
        loadings, turn = rotate_factors(plain, "quartimin")
        phi = np.asarray(turn).T @ np.asarray(turn)
    loadings = np.asarray(loadings, dtype=np.float64)
    sign = np.where(loadings.sum(axis=0) < 0, -1.0, 1.0)
    loadings, phi = loadings * sign, phi * np.outer(sign, sign)
    best = np.abs(loadings).argmax(axis=1)
    enough = np.abs(loadings).max(axis=1) >= LEAST_LOADING
    return Extraction(loadings, phi, np.where(enough, best, -1).astype(np.int64))


def _sorted(found: Extraction, n: np.ndarray) -> Extraction:
    """Number the factors by how many terms they have."""
    order = np.argsort(-n, kind="stable")
    back = np.argsort(order)
    factor = np.where(found.factor >= 0, back[found.factor], -1)
    return Extraction(found.loadings[:, order], found.correlations[np.ix_(order, order)], factor)


def _separate(r: Float[np.ndarray, "factor factor"]) -> tuple[Int[np.ndarray, " factor"], float]:
    """Return the grouping with the best silhouette, and the silhouette."""
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.metrics import silhouette_score

    distance = np.sqrt(np.clip(2.0 * (1.0 - r), 0.0, None))
    np.fill_diagonal(distance, 0.0)
    best, group = -1.0, np.zeros(len(r), dtype=np.int64)
    for n in range(2, len(r)):
        found = AgglomerativeClustering(n, metric="precomputed", linkage="average").fit_predict(distance)
        score = float(silhouette_score(distance, found, metric="precomputed"))
        if score > best:
            best, group = score, found.astype(np.int64)
    return group, best
