"""Several values measured in several ways over the same conditions: the multitrait-multimethod matrix and its tests."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats as scipy_stats

from vprobe import stats
from vprobe.agreement._design import Design
from vprobe.errors import InputError
from vprobe.types import MethodRow, PatternRow, TraitPairRow, ValidityRow
from vprobe.values import SCHWARTZ, circle_distance

NEEDED = 5
"""Units with both sides that a correlation needs."""
ADJACENT, MIDDLE = 40.0, 80.0
"""Values up to `ADJACENT` degrees apart are neighbours, from there to `MIDDLE` in the middle, beyond it opposite."""
SAME = "same"


@dataclass(frozen=True)
class Methods:
    """The multitrait-multimethod matrix and what follows from it.

    Args:
        cells: Every correlation once.
        validity: Campbell and Fiske's criteria 1 to 3, per value and pair of methods.
        pairs: Heterotrait-monotrait ratio of every pair of values.
        patterns: Criterion 4, per pair of blocks.
    """

    cells: tuple[MethodRow, ...]
    validity: tuple[ValidityRow, ...]
    pairs: tuple[TraitPairRow, ...]
    patterns: tuple[PatternRow, ...]


def relation(first: str, second: str) -> str:
    """Return how two values stand to each other: "same", "adjacent", "middle", "opposite"; "other" off the circle.

    Args:
        first: Canonical value name.
        second: Another.
    """
    if first == second:
        return SAME
    if first not in SCHWARTZ or second not in SCHWARTZ:
        return "other"
    gap = circle_distance(first, second)
    return "adjacent" if gap <= ADJACENT else "middle" if gap <= MIDDLE else "opposite"


def methods(
    x: Float[np.ndarray, "unit method value"],
    *,
    names: Sequence[str],
    values: Sequence[str],
    draws: int = 999,
    resamples: int = 500,
    seed: int,
    kinds: Sequence[str] = (),
) -> Methods:
    """Set several ways of measuring several values side by side over the same units.

    Correlations are over units, so what all units share is out. Units must be independent of each other: personas,
    prompts and models are, doses of one vector are not.

    Args:
        x: Scores; NaN is unscored and leaves out its unit for that cell only.
        names: Methods.
        values: Of the last axis.
        draws: Shuffles of the units.
        resamples: Draws of the bootstrap over units.
        seed: Seed of both.
        kinds: Kind of each unit, compared and shuffled within kinds only; one kind when empty.

    Raises:
        InputError: Names and shape differ, fewer than two methods or two values, or fewer than five units.

    Source: Campbell & Fiske (1959), Psychol. Bull. 56, 81-105; Henseler, Ringle & Sarstedt (2015), J. Acad. Mark. Sci.
    43, 115-135 (HTMT).
    """
    n, k, t = x.shape
    if (k, t) != (len(names), len(values)) or len(set(names)) != k or k < 2 or t < 2 or n < NEEDED:
        raise InputError(
            f"{n} units, {k} methods and {t} values for {len(names)} and {len(values)} names",
            where="multitrait-multimethod matrix", expected=f"at least {NEEDED} units, 2 methods and 2 values",
        )  # fmt: skip
    design = Design.of(n, kinds, ())
    flat = design.centred(x.reshape(n, k * t))
    x = flat.reshape(n, k, t)
    r, both = _correlations(flat), _both(flat)
    rel = np.array([[relation(a, b) for b in values] for a in values])
    places = tuple((name, value) for name in names for value in values)
    cells = tuple(
        MethodRow(*one, *other, relation(one[1], other[1]), float(r[i, j]), int(both[i, j]))
        for (i, one), (j, other) in itertools.combinations(enumerate(places), 2)
    )
    blocks = r.reshape(k, t, k, t).transpose(0, 2, 1, 3)
    rng = np.random.default_rng(seed)
    validity = [
        row
        for a, b in itertools.combinations(range(k), 2)
        for row in _validity(x[:, a], x[:, b], blocks, (a, b), rel, names, values, draws, rng, design)
    ]
    return Methods(cells, tuple(validity), _pairs(x, rel, values, resamples, rng), _patterns(blocks, names, draws, rng))


def _correlations(x: Float[np.ndarray, "unit column"]) -> Float[np.ndarray, "column column"]:
    """Return correlations over the units both columns have; NaN below five units or without variation."""
    known = np.isfinite(x).astype(np.float64)
    z = np.where(known > 0, x, 0.0)
    z = np.where(known > 0, z - z.sum(axis=0) / np.maximum(known.sum(axis=0), 1.0), 0.0)  # numbers near 0 keep digits
    n = known.T @ known
    n_safe = np.maximum(n, 1.0)
    one, two = z.T @ known, (z * z).T @ known
    own = two - one**2 / n_safe
    own = np.where(own > 100 * stats.ROUND_OFF * np.maximum(two, np.finfo(float).tiny), own, 0.0)
    out = stats.correlation_of(np.stack([n - 1.0, own, own.T, z.T @ z - one * one.T / n_safe], axis=-1))
    return np.where(n >= NEEDED, out, np.nan)


def _both(x: np.ndarray) -> np.ndarray:
    known = np.isfinite(x).astype(np.int64)
    return known.T @ known


def _validity(
    first: np.ndarray, second: np.ndarray, blocks: np.ndarray, at: tuple[int, int], rel: np.ndarray,
    names: Sequence[str], values: Sequence[str], draws: int, rng: np.random.Generator, design: Design,
) -> list[ValidityRow]:  # fmt: skip
    """Return criteria 1 to 3 of two methods; chance shuffles the units of one of them, values together."""
    a, b = at
    between, t = blocks[a, b], len(values)
    known = np.isfinite(np.concatenate([first, second], axis=1))
    null = np.empty((draws, t))
    for draw, order in enumerate(design.orders(known, draws, rng)):
        null[draw] = np.diag(_correlations(np.concatenate([first, second[order]], axis=1))[:t, t:])
    observed = np.diag(between)
    p, family = stats.permutation_p(observed, null), stats.max_t_p(observed, null)
    n = (np.isfinite(first) & np.isfinite(second)).sum(axis=0)
    out = []
    for v in range(t):
        near = rel[v] == "adjacent"
        apart = ~near & (rel[v] != SAME)
        hetero, inside = (between[v], between[:, v]), (blocks[a, a][v], blocks[b, b][v])
        across, beside = (_won(observed[v], hetero, kind) for kind in (apart, near))
        within, next_to = (_won(observed[v], inside, kind) for kind in (apart, near))
        out.append(
            ValidityRow(
                names[a], names[b], values[v], float(observed[v]), float(p[v]), float(family[v]), *across, *beside,
                *within, *next_to, int(n[v]),
            )
        )  # fmt: skip
    return out


def _won(r: float, sides: Sequence[np.ndarray], kind: np.ndarray) -> tuple[int, int]:
    """Return how many correlations of a kind r exceeds, and how many there are."""
    others = np.concatenate([side[kind] for side in sides])
    others = others[np.isfinite(others)] if math.isfinite(r) else others[:0]
    return int((r > others).sum()), len(others)


def _pairs(
    x: np.ndarray, rel: np.ndarray, values: Sequence[str], resamples: int, rng: np.random.Generator
) -> tuple[TraitPairRow, ...]:
    k, t = x.shape[1:]
    whole = x[np.isfinite(x).all(axis=(1, 2))]
    used = whole if len(whole) >= NEEDED else x
    found = _htmt(used)
    drawn = np.stack([_htmt(used[rng.integers(len(used), size=len(used))]) for _ in range(resamples)])
    out = []
    for a, b in itertools.combinations(range(t), 2):
        known = drawn[:, a, b][np.isfinite(drawn[:, a, b])]
        sure = len(known) >= 0.9 * resamples and math.isfinite(found[a, b]) and resamples > 0
        low, high = (float(one) for one in np.quantile(known, [0.025, 0.975])) if sure else (math.nan, math.nan)
        out.append(TraitPairRow(values[a], values[b], str(rel[a, b]), float(found[a, b]), k, len(used), low, high))
    return tuple(out)


def _htmt(x: np.ndarray) -> Float[np.ndarray, "value value"]:
    """Return the heterotrait-monotrait ratio of every pair of values; correlations between methods only."""
    n, k, t = x.shape
    blocks = _correlations(x.reshape(n, k * t)).reshape(k, t, k, t).transpose(0, 2, 1, 3)
    mean = np.stack([blocks[a, b] for a, b in itertools.permutations(range(k), 2)]).mean(axis=0)
    own = np.diag(mean)
    product = np.outer(own, own)
    real = (own[:, None] > 0) & (own > 0)
    return np.where(real, mean / np.sqrt(np.where(real, product, 1.0)), np.nan)


def _patterns(blocks: np.ndarray, names: Sequence[str], draws: int, rng: np.random.Generator) -> tuple[PatternRow, ...]:
    """Compare the pattern of correlations between different values, block by block, by Mantel's test."""
    k, t = blocks.shape[0], blocks.shape[2]
    upper = np.triu_indices(t, 1)
    labelled = [(names[a], blocks[a, a]) for a in range(k)]
    labelled += [
        (f"{names[a]}~{names[b]}", (blocks[a, b] + blocks[a, b].T) / 2) for a, b in itertools.combinations(range(k), 2)
    ]
    out = []
    for (one, left), (other, right) in itertools.combinations(labelled, 2):
        known = np.isfinite(left[upper]) & np.isfinite(right[upper])
        observed = stats.spearman(left[upper], right[upper])
        if t < 4 or not known.all() or not math.isfinite(observed):
            out.append(PatternRow(one, other, observed if t >= 4 else math.nan, math.nan, int(known.sum())))
            continue
        sides = [_ranked(side, upper) for side in (left, right)]
        null = np.empty((draws, 1))
        for draw in range(draws):
            order = rng.permutation(t)
            null[draw] = sides[0][upper] @ sides[1][np.ix_(order, order)][upper]
        p = float(stats.permutation_p(np.array([sides[0][upper] @ sides[1][upper]]), null)[0])
        out.append(PatternRow(one, other, observed, p, int(known.sum())))
    return tuple(out)


def _ranked(block: np.ndarray, upper: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return a symmetric block with its upper half as standardised ranks, which a shuffle of values only moves."""
    ranks = scipy_stats.rankdata(block[upper])
    ranks = (ranks - ranks.mean()) / np.linalg.norm(ranks - ranks.mean())
    out = np.zeros_like(block)
    out[upper] = ranks
    return out + out.T
