"""How well directions follow the circle's order, beside what the labels' own order gives to any activations."""

from __future__ import annotations

import math
import warnings

import numpy as np
from jaxtyping import Float
from scipy import stats as scipy_stats

from vprobe import controls, stats
from vprobe.claims._level import Level
from vprobe.claims.reading import Reading
from vprobe.claims.structure import NEVER, unvarying
from vprobe.types import Agreement
from vprobe.values import SCHWARTZ, TEN_PLACES

STATISTIC = "correspondence index"
NULL = "label rows shuffled jointly, directions refitted"
RESAMPLES = 500


def correspondence(read: Reading, level: Level, *, resamples: int = RESAMPLES, orders: int = 20_000) -> Agreement:
    """Return the correspondence index of marginal directions with the ten-place circle, against the null that knows it.

    Directions fitted on labels inherit the order of the labels' correlations: on random activations the index is about
    .6, and dealing values out to places (the published test) calls that significant. So p counts joint shuffles of the
    label rows whose directions, refitted, do as well; the published test's p stands in the note.

    Args:
        read: Activations, labels and queries; all ten Schwartz values.
        level: Permutations and seed.
        resamples: Draws of the bootstrap over queries; 0 is no interval.
        orders: Orders the published test draws.

    Returns:
        One row of level "structure"; all NaN with the reason where a value is missing or never varies.

    Source: Hubert & Arabie (1987), Psychol. Bull. 102, 172-178 (the index); the null is joint row shuffling.
    """
    whole = np.asarray(np.isfinite(read.y).all(axis=1))
    if set(read.values) != set(SCHWARTZ) or int(whole.sum()) < 3:
        return _row(read, level, note="the index needs labels of all ten Schwartz values")
    if flat := unvarying(read):
        return _row(read, level, note=f"{NEVER} {', '.join(flat)}")
    at = [read.values.index(value) for value in TEN_PLACES]
    groups = np.asarray(stats.codes(read.groups))[whole]
    y, x = stats.centre(read.y[whole][:, at], groups), stats.centre(read.x[whole].astype(np.float64), groups)
    distance = stats.circular(len(at))
    cosines = _cosines(y[None], x)[0]
    if not np.isfinite(cosines).all():
        return _row(read, level, note="a value's labels follow nothing in the activations")
    told = stats.correspondence(cosines, distance, seed=level.seed, orders=orders)
    null = np.empty(level.draws)
    step = max(1, 20_000_000 // (len(x) * len(at)))
    for start in range(0, level.draws, step):
        n = min(step, level.draws - start)
        mixed = controls.shuffle_labels(y, groups, draws=n, seed=level.seed + start)
        null[start : start + n] = stats.correspondence_index(_cosines(mixed, x), distance)
    ends = _interval(y, x, groups, distance, resamples, level.seed) if resamples else None
    return _row(read, level, told, null, ends, int(whole.sum()), len(np.unique(groups)))


def _cosines(y: Float[np.ndarray, "draw sample value"], x: np.ndarray) -> Float[np.ndarray, "draw value value"]:
    """Return cosines between the marginal directions (covariances with the labels) of every draw; NaN for no vector."""
    vectors = np.einsum("dsv,sm->dvm", y, x, optimize=True)
    size = np.linalg.norm(vectors, axis=2, keepdims=True)
    vectors = vectors / np.where(size > 0, size, np.nan)
    return np.einsum("dvm,dwm->dvw", vectors, vectors, optimize=True)


def _interval(
    y: np.ndarray, x: np.ndarray, groups: np.ndarray, distance: np.ndarray, resamples: int, seed: int
) -> stats.Interval:
    """Return the BCa interval of the index over queries drawn anew, from products between queries' own moments."""
    names, code = np.unique(groups, return_inverse=True)
    if len(names) < 3:
        return stats.Interval(math.nan, math.nan, f"{len(names)} queries, an interval needs 3")
    moments = np.stack([y[code == g].T @ x[code == g] for g in range(len(names))])
    flat = moments.reshape(len(names) * moments.shape[1], -1)
    products = (flat @ flat.T).reshape(len(names), moments.shape[1], len(names), moments.shape[1])

    def index(drawn: np.ndarray, axis: int) -> np.ndarray:
        weight = np.stack([np.bincount(one, minlength=len(names)) for one in np.atleast_2d(drawn)]).astype(np.float64)
        gram = np.einsum("bg,gvhw,bh->bvw", weight, products, weight, optimize=True)
        scale = np.sqrt(np.einsum("bvv->bv", gram))
        cosines = gram / (scale[:, :, None] * scale[:, None, :])
        found = stats.correspondence_index(cosines, distance)
        return found if np.ndim(drawn) > 1 else np.asarray(found[0])

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # scipy warns where it returns NaN, which is reported below
        made = scipy_stats.bootstrap(
            (np.arange(len(names)),), index, n_resamples=resamples, batch=100, vectorized=True, axis=-1, method="BCa",
            rng=np.random.default_rng(seed),
        ).confidence_interval  # fmt: skip
    if not (math.isfinite(made.low) and math.isfinite(made.high)):
        return stats.Interval(math.nan, math.nan, "the bootstrap distribution is degenerate")
    return stats.Interval(float(made.low), float(made.high))


def _row(
    read: Reading,
    level: Level,
    told: stats.Correspondence | None = None,
    null: np.ndarray | None = None,
    ends: stats.Interval | None = None,
    n: int = 0,
    n_groups: int = 0,
    note: str = "",
) -> Agreement:
    none = math.nan
    estimate = told.index if told else none
    mean, low, high, p = none, none, none, none
    if told is not None and null is not None:
        mean, (low, high) = float(null.mean()), (float(one) for one in np.quantile(null, [0.025, 0.975]))
        p = float(stats.permutation_p(np.array([estimate]), null[:, None])[0])
        note = (
            f"null: {NULL}; {told.n_met} of {told.n_predictions} predictions met; dealing values out to places, which "
            f"does not know that labels have this order, gives p = {told.p:.2g}; marginal directions"
        )
    return Agreement(
        level="structure", comparison="directions~circle", value="all", statistic=STATISTIC, estimate=float(estimate),
        low=ends.low if ends else none, high=ends.high if ends else none, null_mean=mean, null_low=low, null_high=high,
        p=p, ceiling=none, n_scored=n, n_unscored=len(read.y) - n, n_groups=n_groups, site=read.site,
        method="covariance", note="; ".join(part for part in (note, ends.reason if ends else "") if part),
    )  # fmt: skip
