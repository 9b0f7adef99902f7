"""Does a correlation matrix have the order a hypothesis says? Correspondence index and randomisation test."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from vprobe.errors import InputError
from vprobe.stats._groups import ROUND_OFF

EXACT = 8
"""Up to this many variables all orders are tried; beyond it they are drawn."""
_CHUNK = 2000


@dataclass(frozen=True)
class Correspondence:
    """How many of a hypothesis' predictions of order a matrix bears out.

    Args:
        index: Correspondence index, (met - broken) / all: 1 when every prediction is met, about 0 by chance.
        n_predictions: Predictions "this pair is more alike than that pair".
        n_met: Predictions met.
        n_tied: Predictions about two equal numbers.
        p: Share of orders of the variables that meet at least as many. Descriptive only: directions fitted on labels
            inherit the labels' order, whatever the activations; see `claims.correspondence` for a null that knows it.
        n_orders: Orders tried, all of them or drawn at random.
    """

    index: float
    n_predictions: int
    n_met: int
    n_tied: int
    p: float
    n_orders: int


def circular(n: int) -> Int[np.ndarray, "n n"]:
    """Return distances in steps between n variables spread evenly on a circle.

    Args:
        n: Variables.
    """
    gap = np.abs(np.arange(n)[:, None] - np.arange(n))
    return np.minimum(gap, n - gap)


def correspondence_index(
    likeness: Float[np.ndarray, "*draw n n"], distance: Float[np.ndarray, "n n"] | Int[np.ndarray, "n n"]
) -> Float[np.ndarray, "*draw"]:
    """Return the correspondence index of each of many matrices; NaN where a number is missing.

    Args:
        likeness: Symmetric matrices such as correlations or cosines; the diagonal is not used.
        distance: Hypothesis: the smaller, the more alike.
    """
    upper = np.triu_indices(len(distance), 1)
    near, far = _predictions(np.asarray(distance)[upper])
    r = likeness[..., upper[0], upper[1]]
    flat = r.reshape(-1, r.shape[-1])
    out = np.empty(len(flat))
    for start in range(0, len(flat), _CHUNK):
        met, tied = _counts(flat[start : start + _CHUNK], near, far)
        out[start : start + _CHUNK] = (2 * met + tied) / max(len(near), 1) - 1
    out[~np.isfinite(flat).all(axis=1)] = np.nan
    return out.reshape(r.shape[:-1])


def correspondence(
    likeness: Float[np.ndarray, "n n"],
    distance: Float[np.ndarray, "n n"] | Int[np.ndarray, "n n"] | None = None,
    *,
    seed: int,
    orders: int = 20_000,
) -> Correspondence:
    """Test a hypothesised order of a matrix's numbers by dealing its variables out to places in other orders.

    Args:
        likeness: Symmetric matrix such as correlations; the diagonal is not used.
        distance: Hypothesis: the smaller, the more alike. Even places on a circle, in the order given, when None.
        seed: Seed of the orders drawn, where there are more than eight variables.
        orders: Orders drawn then.

    Raises:
        InputError: The two differ in shape, the matrix has gaps, or all distances are the same.

    Source: Hubert & Arabie (1987), Psychol. Bull. 102, 172-178; Tracey (1997), Educ. Psychol. Meas. 57, 164-168.
    """
    n = len(likeness)
    wanted = circular(n) if distance is None else np.asarray(distance)
    upper = np.triu_indices(n, 1)
    near, far = _predictions(wanted[upper]) if wanted.shape == likeness.shape else (np.empty(0), np.empty(0))
    if likeness.shape != (n, n) or not len(near) or not np.isfinite(likeness[upper]).all():
        raise InputError(
            f"matrix of shape {likeness.shape}, {len(near)} predictions", where="correspondence index",
            expected="a square matrix without gaps, and distances of the same shape that differ",
        )  # fmt: skip
    met, tied = _counts(likeness[upper][None], near, far)
    if n <= EXACT:
        tried, drawn = np.array(list(itertools.permutations(range(n)))), 0
    else:
        tried, drawn = np.random.default_rng(seed).permuted(np.tile(np.arange(n), (orders, 1)), axis=1), 1
    as_good = drawn
    for start in range(0, len(tried), _CHUNK):
        order = tried[start : start + _CHUNK]
        as_good += int((_counts(likeness[order[:, upper[0]], order[:, upper[1]]], near, far)[0] >= met[0]).sum())
    total = len(near)
    index = (2 * int(met[0]) + int(tied[0])) / total - 1
    return Correspondence(index, total, int(met[0]), int(tied[0]), as_good / (len(tried) + drawn), len(tried))


def _predictions(distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for every prediction the pair that should be more alike, and the pair that should be less."""
    near, far = np.nonzero(distance[:, None] < distance - 1e-9)
    return near, far


def _counts(r: Float[np.ndarray, "draw pair"], near: np.ndarray, far: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gap = r[:, near] - r[:, far]
    return (gap > ROUND_OFF).sum(axis=1), (np.abs(gap) <= ROUND_OFF).sum(axis=1)
