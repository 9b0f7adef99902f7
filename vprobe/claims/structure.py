"""Claims about structure: a value has labels of its own, the values are as many dimensions, they lie on a circle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from vprobe import controls, directions, stats
from vprobe.claims._level import Level
from vprobe.claims.reading import CHUNK, Reading
from vprobe.types import ClaimRow, Reliability
from vprobe.values import ANGLES, SCHWARTZ

MOST_INFLATION = 10.0
"""Variance inflation beyond which no direction of a value's own is claimed."""
FLAT = 0.02
"""Least eigenvalue of true scores' correlations; below it sampling error cannot be told from zero.

A value with at least `PART` of its variance in such directions is told by the others."""
PART = 0.05
RESAMPLES = 500
NO_LABELS = "no item has labels of all values"
NEVER = "no direction where labels never vary within a query:"
"""Begins the reason where a value has no direction; the values follow."""
LEAST_SWING = 0.1
"""Least difference in cosine, per unit of the circle's own cosine, that counts as lying on the circle."""


def unique(read: Reading, level: Level, *, reliability: Sequence[Reliability]) -> tuple[ClaimRow, ...]:
    """Claim that a value can be told from the others: variance inflation of its true scores surely below 10.

    Label noise hides that two values are one, so it is taken off the labels' covariance first. "Surely" is the upper
    97.5 % limit over queries drawn anew.

    Args:
        read: Labels and queries.
        level: Its seed draws the queries; no permutation is behind this claim.
        reliability: Of the labels, within queries; values whose reliability is not known count as free of noise.
    """
    blank = np.asarray(~np.isfinite(read.y).any(axis=0))
    if blank.any():
        return _without(read, level, reliability, blank)
    sums = _grams(read.y, read.groups)
    rel = np.array([_reliability(value, reliability) for value in read.values])
    found = _inflation(sums.sum(axis=0), rel)
    rng = np.random.default_rng(level.seed)
    drawn = [_inflation(sums[rng.integers(len(sums), size=len(sums))].sum(axis=0), rel) for _ in range(RESAMPLES)]
    upper = np.sort(np.stack(drawn), axis=0)[int(0.975 * RESAMPLES)]
    r = _true_r(sums.sum(axis=0), rel)
    rows = []
    for i, value in enumerate(read.values):
        made = bool(upper[i] < MOST_INFLATION)
        other = int(np.argmax(np.where(np.arange(len(rel)) == i, -1.0, np.abs(r[i]))))
        made = made and _known((value,), reliability)
        reason = (
            f"cannot be told apart from the other values: variance inflation {found[i]:z.1f}, up to {upper[i]:z.1f}; "
            f"nearest is {read.values[other]}, r = {r[i, other]:z.2f} without label noise"
        )
        if not _known((value,), reliability):
            reason = "the reliability of its labels is not known, and noise hides what labels share"
        reason = "" if made else reason
        rows.append(
            ClaimRow("unique", value, made, reason, "variance inflation of true scores", float(found[i]), math.nan,
                     level.alpha, 0, len(read.y), read.method, read.site)
        )  # fmt: skip
    return tuple(rows)


def _without(
    read: Reading, level: Level, reliability: Sequence[Reliability], blank: np.ndarray
) -> tuple[ClaimRow, ...]:
    """Decide the values that have labels among themselves, and refuse the others."""
    kept = tuple(value for value, none in zip(read.values, blank.tolist(), strict=True) if not none)
    rest = replace(read, y=read.y[:, ~blank], values=kept)
    known = {row.value: row for row in unique(rest, level, reliability=reliability)} if len(kept) > 1 else {}
    return tuple(
        known.get(value)
        or ClaimRow("unique", value, False, "no labels to compare", "variance inflation of true scores", math.nan,
                    math.nan, level.alpha, 0, 0, read.method, read.site)
        for value in read.values
    )  # fmt: skip


def _reliability(value: str, known: Sequence[Reliability]) -> float:
    found = next((one.estimate for one in known if one.value == value and one.within), math.nan)
    return float(np.clip(found, 0.01, 1.0)) if math.isfinite(found) else 1.0


def _grams(y: np.ndarray, groups: tuple[str, ...]) -> Float[np.ndarray, "group value value"]:
    """Return per query the sums of products of label deviations; samples without all labels are left out."""
    known = np.isfinite(y).all(axis=1)
    code = stats.codes(groups)[known]
    centred = stats.centre(y[known], code)
    return np.stack([centred[code == g].T @ centred[code == g] for g in np.unique(code)])


def _true(gram: np.ndarray, rel: np.ndarray) -> np.ndarray:
    """Return the covariance of true scores: labels' own less the noise on its diagonal."""
    return gram - np.diag(np.diag(gram) * (1.0 - rel))


def _true_r(gram: np.ndarray, rel: np.ndarray) -> np.ndarray:
    true = _true(gram, rel)
    scale = np.sqrt(np.maximum(np.diag(true), np.finfo(float).tiny))
    return np.clip(true / np.outer(scale, scale), -1.0, 1.0)


def _inflation(gram: np.ndarray, rel: np.ndarray) -> np.ndarray:
    """Return variance inflation of true scores; infinite where the others tell all of a value."""
    w, q = np.linalg.eigh(_true_r(gram, rel))
    flat = w < FLAT
    kept = np.where(flat, q * q / FLAT, q * q / np.maximum(w, FLAT)).sum(axis=1)
    return np.asarray(np.where((q * q * flat).sum(axis=1) >= PART, np.inf, kept))


def dimensions(read: Reading, level: Level) -> ClaimRow:
    """Claim that labels and activations share as many dimensions as there are values.

    Directions are fitted on one half of the queries. In the other half, which had no part in them, canonical
    correlations of their scores with the labels are tested one after the other, each with those before it taken out;
    rows of what is left are shuffled within queries. The count stops at the first that is not beyond its null.

    Args:
        read: Activations, labels and queries.
        level: Level.

    Source: Winkler, Renaud, Smith & Nichols (2020), NeuroImage 220, 117065.
    """
    known, wanted = np.isfinite(read.y).all(axis=1), len(read.values)
    name = "ten dimensions" if wanted == len(SCHWARTZ) else "dimensions"
    if not known.any():
        return ClaimRow(
            name, "all", False, NO_LABELS, "shared dimensions", math.nan, math.nan,
            level.alpha, 0, 0, read.method, read.site,
        )  # fmt: skip
    code = stats.codes(read.groups)
    half = stats.fold_of(read.groups, 2, seed=level.seed)
    seen, rest = known & (half == 0), known & (half == 1)
    found = directions.fit(read.x[seen], read.y[seen], code[seen], method="covariance", seed=level.seed)
    sides = (read.x[rest] @ np.nan_to_num(found).T, read.y[rest])
    u, v = (_whitened(stats.centre(side, code[rest])) for side in sides)
    a, r, b = np.linalg.svd(u.T @ v)
    u, v = u @ a, v @ b.T
    count, p = 0, 1.0 if not min(u.shape[1], v.shape[1]) else 0.0
    while count < min(u.shape[1], v.shape[1]):
        mixed = controls.shuffle_labels(v[:, count:], code[rest], draws=level.draws, seed=level.seed + count)
        null = np.linalg.norm(u[:, count:].T @ mixed, ord=2, axis=(1, 2))
        p = max(p, float(stats.permutation_p(np.array([r[count]]), null[:, None])[0]))
        if p > level.alpha:
            break
        count += 1
    made = count >= wanted
    reason = "" if made else f"labels and activations share {count} dimensions, not {wanted}"
    return ClaimRow(
        name, "all", made, reason, "shared dimensions", float(count), p, level.alpha, level.draws, int(rest.sum()),
        read.method, read.site,
    )  # fmt: skip


def _whitened(x: np.ndarray) -> np.ndarray:
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    return u[:, s > 1e-9 * s.max(initial=0.0)]


def circle(read: Reading, level: Level, *, reliability: Sequence[Reliability]) -> ClaimRow:
    """Claim that unique directions lie on the value circle.

    Marginal directions inherit whatever circle the labels' correlations form, on random activations too, and label
    noise lets a rest of it into partial ones. So directions are fitted with the noise taken off the labels'
    covariance, and cosines are taken between directions from different halves of the queries, which share no noise.
    The claim needs three things: the labels shuffled jointly do not fit the circle as well, values dealt out to the
    circle's places at random do not, and the cosines swing by at least `LEAST_SWING`.

    Args:
        read: Activations, labels and queries; all ten Schwartz values.
        level: Level.
        reliability: Of the labels, within queries.

    Source: Hubert & Arabie (1987), Psychol. Bull. 102, 172, for dealing values out to places.
    """
    whole = np.asarray(np.isfinite(read.y).all(axis=1))
    groups = tuple(group for group, known in zip(read.groups, whole.tolist(), strict=True) if known)
    read = replace(read, x=read.x[whole], y=read.y[whole], groups=groups, folds=())
    rel = np.array([_reliability(value, reliability) for value in read.values])
    wanted = _on_circle(read.values)
    if set(read.values) != set(SCHWARTZ) or not _known(read.values, reliability):
        what = "the circle needs all ten Schwartz values and the reliability of their labels"
        return _circle_row(math.nan, math.nan, what, read, level)
    if not whole.any():
        return _circle_row(math.nan, math.nan, NO_LABELS, read, level)
    if flat := unvarying(read):
        return _circle_row(math.nan, math.nan, f"{NEVER} {', '.join(flat)}", read, level)
    shuffled = controls.shuffle_labels(read.y, read.groups, draws=level.draws, seed=level.seed)
    cosines = _unique_cosines(read, shuffled, rel, level)
    fits, swings = _fit(cosines, wanted)
    rng = np.random.default_rng(level.seed)
    dealt = np.stack([cosines[0][np.ix_(order, order)] for order in (rng.permutation(10) for _ in range(level.draws))])
    p = max(_p(fits[0], fits[1:]), _p(fits[0], _fit(dealt, wanted)[0]))
    made = bool(p <= level.alpha and swings[0] >= LEAST_SWING)
    marginal = _marginal_fits(read, shuffled[:200], level)
    reason = "" if made else (
        f"inherited from correlations between labels: marginal directions fit the circle at r = {marginal[0]:z.2f} "
        f"(shuffled labels: {np.nanmean(marginal[1:]):z.2f}), unique ones at r = {fits[0]:z.2f} "
        f"(p = {p:.2g}) with a swing of {swings[0]:z.2f}"
    )  # fmt: skip
    return _circle_row(float(fits[0]), p, reason, read, level)


def unvarying(read: Reading) -> tuple[str, ...]:
    """Return the values whose labels, of samples that have all, never vary within a query: no direction follows them.

    Args:
        read: Labels and queries.
    """
    whole = np.asarray(np.isfinite(read.y).all(axis=1))
    y = read.y[whole]
    spread = np.abs(stats.centre(y, stats.codes(read.groups)[whole])).max(axis=0, initial=0.0)
    flat = spread <= stats.ROUND_OFF * np.abs(y).max(axis=0, initial=0.0)
    return tuple(value for value, none in zip(read.values, flat.tolist(), strict=True) if none)


def _circle_row(estimate: float, p: float, reason: str, read: Reading, level: Level) -> ClaimRow:
    what = "r of cosines with the circle, unique directions"
    return ClaimRow(
        "circle", "all", not reason, reason, what, float(estimate), p, level.alpha, level.draws, len(read.y), "partial",
        read.site,
    )  # fmt: skip


def _known(values: Sequence[str], reliability: Sequence[Reliability]) -> bool:
    known = {one.value for one in reliability if one.within and math.isfinite(one.estimate)}
    return set(values) <= known


def _p(observed: float, null: np.ndarray) -> float:
    return float(stats.permutation_p(np.array([observed]), null[:, None])[0])


def _unique_cosines(
    read: Reading, shuffled: np.ndarray, rel: np.ndarray, level: Level
) -> Float[np.ndarray, "draw value value"]:
    """Return cosines between unique directions of one half of the queries and those of the other, real labels first."""
    half = stats.fold_of(read.groups, 2, seed=level.seed)
    code, out = stats.codes(read.groups), []
    gram = _true(_grams(read.y, read.groups).sum(axis=0), rel)
    inverse = np.linalg.pinv(gram, hermitian=True)
    for start in range(0, len(shuffled), CHUNK):
        draws = (
            np.concatenate([read.y[None], shuffled[start : start + CHUNK]])
            if not start
            else shuffled[start : start + CHUNK]
        )
        sides = []
        for part in (half == 0, half == 1):
            y = stats.centre(draws[:, part].transpose(1, 0, 2).reshape(int(part.sum()), -1), code[part])
            moments = (y.T @ read.x[part]).reshape(len(draws), len(rel), -1)
            vectors = np.einsum("vw,dwm->dvm", inverse, moments)
            sides.append(vectors / np.linalg.norm(vectors, axis=2, keepdims=True))
        cosines = np.einsum("dvm,dwm->dvw", *sides)
        out.append((cosines + cosines.transpose(0, 2, 1)) / 2)
    return np.concatenate(out)


def _on_circle(values: Sequence[str]) -> np.ndarray:
    angle = np.deg2rad([ANGLES[SCHWARTZ.index(value)] for value in values if value in SCHWARTZ])
    return np.cos(angle[:, None] - angle)


def _fit(cosines: Float[np.ndarray, "draw value value"], wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return per draw the correlation with the circle's cosines, and the regression on them (the swing)."""
    upper = np.triu_indices(len(wanted), 1)
    found, target = cosines[:, upper[0], upper[1]], wanted[upper] - wanted[upper].mean()
    found = found - found.mean(axis=1, keepdims=True)
    along = found @ target
    return along / (np.linalg.norm(found, axis=1) * np.linalg.norm(target)), along / (target @ target)


def _marginal_fits(read: Reading, shuffled: np.ndarray, level: Level) -> np.ndarray:
    """Return how well marginal directions fit the circle: of the labels first, then of each shuffled copy."""
    columns = controls.stack(read.y, shuffled)
    vectors = directions.fit(read.x, columns, read.groups, method="covariance", seed=level.seed)
    vectors = vectors.reshape(-1, len(read.values), vectors.shape[1])
    return _fit(np.einsum("dvm,dwm->dvw", vectors, vectors), _on_circle(read.values))[0]
