"""Claims about reading: a value is decodable, and beyond what words and length of the text tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from vprobe import agreement, controls, directions, splits, stats
from vprobe.claims._level import Level
from vprobe.types import ClaimRow, Fold

BETWEEN = 0.5
"""Share of label variance between queries beyond which a refusal names a query leak."""
CHUNK = 250
"""Null draws fitted at once."""
ENOUGH = 20
"""Draws that must reach every value before drawing may stop early: p is then known to about a fifth of itself."""
NULLS = (controls.shuffle_labels, controls.flip_labels)
"""A reading claim must beat both."""


@dataclass(frozen=True)
class Reading:
    """What reading claims rest on.

    Args:
        x: Activations of one site.
        y: Labels, NaN not known.
        groups: The query of each sample.
        folds: Folds of whole queries.
        values: Of the label columns.
        method: Direction method.
        site: Where the activations come from.
    """

    x: Float[np.ndarray, "sample d_model"]
    y: Float[np.ndarray, "sample value"]
    groups: tuple[str, ...]
    folds: tuple[Fold, ...]
    values: tuple[str, ...]
    method: str
    site: str


@dataclass(frozen=True)
class Decoded:
    """Held-out scores with the claims made of them."""

    scores: Float[np.ndarray, "sample value"]
    rows: tuple[ClaimRow, ...]


def decodable(
    read: Reading, level: Level, *, others: Sequence[Reading] = (), searched: Sequence[Reading] = ()
) -> Decoded:
    """Claim that labels can be told from activations: held-out r beyond two nulls, probes refitted on every draw.

    One shuffles label rows jointly, the other turns the signs of whole queries' labels; the larger p counts. The first
    alone claims too much where a label's size, not its sign, goes with the words.

    Args:
        read: Activations, labels and folds.
        level: Level; the values are one family.
        others: The same items at other sites; where a value is refused here they tell whether it is elsewhere.
        searched: Sites this one was picked from by its results; they are one family with it.
    """
    found = _tested(read, level, searched)
    r, p = found.r, found.p
    between = _between(read.y, read.groups)
    elsewhere = [(other, _tested(other, level)) for other in others] if (p > level.alpha).any() else []
    rows = []
    for column, value in enumerate(read.values):
        made = bool(np.isfinite(p[column]) and p[column] <= level.alpha)
        reason = "" if made else _why_not(column, r, p, between, elsewhere, read, level)
        row = _row("decodable", value, made, reason, "held-out within-query r", r[column], p[column], read, level)
        rows.append(replace(row, draws=found.draws))
    return Decoded(found.scores, tuple(rows))


def held_out(read: Reading, seed: int) -> Decoded:
    """Return held-out scores of the real labels, with no claim made of them.

    Args:
        read: Activations, labels and folds.
        seed: Seed for estimators that draw folds.
    """
    found = directions.held_out(read.x, read.y, read.groups, read.folds, method=read.method, seed=seed)
    return Decoded(found, ())


@dataclass(frozen=True)
class _Tested:
    """Held-out scores with their r, and the family-wise p of it with the draws behind p."""

    scores: np.ndarray
    r: np.ndarray
    p: np.ndarray
    draws: int


def _tested(read: Reading, level: Level, searched: Sequence[Reading] = ()) -> _Tested:
    """Test held-out r against both nulls; values and the sites searched are one family, and the larger p counts.

    Drawing stops once no further draw could let any value reach the level and `ENOUGH` draws reached each, so that what
    is decided is what all draws would decide. p is then that of the draws made.

    Source: Besag & Clifford (1991), Biometrika 78, 301-304 (sequential Monte Carlo p-values).
    """
    code, k = stats.codes(read.groups), len(read.values)
    enough = max(ENOUGH, int(level.alpha * (level.draws + 1)))
    held, r = np.empty(read.y.shape), np.empty(k)
    ps, made = [], []
    for null_of in NULLS:
        shuffled = null_of(read.y, code, draws=level.draws, seed=level.seed)
        largest, done = np.empty((0, 1)), 0
        while done < level.draws:
            part = shuffled[done : done + CHUNK]
            drawn = [_drawn(one, part, code, level.seed) for one in (read, *searched)]
            held = drawn[0][0]
            r = stats.within_r(held, read.y, code)
            every = np.concatenate([null for _, null in drawn], axis=1)
            most = np.where(np.isfinite(every), every, -np.inf).max(axis=1, keepdims=True)
            largest = np.concatenate([largest, np.where(np.isfinite(most), most, np.nan)])
            done += len(part)
            if ((largest >= r) | ~np.isfinite(r)).sum(axis=0).min() >= enough:
                break
        ps.append(stats.permutation_p(r, np.repeat(largest, k, axis=1)))
        made.append(done)
    return _Tested(held, r, np.max(ps, axis=0), min(made))


def _drawn(read: Reading, part: np.ndarray, code: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return held-out scores of the real labels, and the r of probes refitted on labels that a null has made."""
    k, columns = len(read.values), controls.stack(read.y, part)
    scores = directions.held_out(read.x, columns, code, read.folds, method=read.method, seed=seed, block=k)
    by_draw = controls.unstack(scores, k)
    return by_draw[0], agreement.draws(by_draw[1:], part, code)


def _why_not(
    column: int, r: np.ndarray, p: np.ndarray, between: np.ndarray, elsewhere: list, read: Reading, level: Level
) -> str:
    """Say why a value is not decodable: elsewhere, between queries only, or nothing beyond shuffled labels."""
    if not np.isfinite(r[column]):
        return "no probe could be fitted: labels do not vary within queries, or too few are known"
    given = level.missed(p[column], "shuffled labels")
    plain = f"r = {r[column]:z.2f} within held-out queries is {given} (family p = {p[column]:.2g})"
    there = [f"{other.site} (r = {one.r[column]:z.2f})" for other, one in elsewhere if one.p[column] <= level.alpha]
    if there:
        return f"{plain}; not at {read.site}, but decodable at another site: {', '.join(there)}"
    if between[column] > BETWEEN:
        leak = _divided(read, column, level.seed)
        return (
            f"query leak: {between[column]:z.0%} of the labels' variance lies between queries; folds that divide "
            f"queries would give r = {leak:z.2f}, but {plain}"
        )
    return plain


def _between(y: np.ndarray, groups: tuple[str, ...]) -> np.ndarray:
    """Return the share of label variance between queries: ICC(1,1) from one-way mean squares."""
    sums = stats.within(y, y, groups)
    with np.errstate(all="ignore"):
        inside = sums.xx.sum(axis=0) / sums.df.sum(axis=0)
        size = sums.n.sum(axis=0) / np.maximum((sums.n > 0).sum(axis=0), 1)
        total = np.where(np.isfinite(y), y - _mean(y), 0.0)
        between = (total**2).sum(axis=0) / np.maximum(np.isfinite(y).sum(axis=0), 1) - sums.xx.sum(axis=0) / np.maximum(
            sums.n.sum(axis=0), 1
        )
        signal = np.maximum(between - inside / size, 0.0)
        return np.nan_to_num(signal / (signal + inside))


def _mean(y: np.ndarray) -> np.ndarray:
    """Return column means over what is known; 0 where nothing is."""
    known = np.isfinite(y)
    return np.where(known, y, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)


def _divided(read: Reading, column: int, seed: int) -> float:
    """Return the r a careless study would report: folds that divide queries, nothing centred by query."""
    known = np.isfinite(read.y[:, column])
    one = np.zeros(int(known.sum()), dtype=np.int64)
    y = read.y[known][:, [column]]
    folds = splits.by_row(len(one), k=len(read.folds), seed=seed, unsafe=True)
    scores = directions.held_out(read.x[known], y, one, folds, method="ridge", seed=seed, unsafe=True)
    return float(stats.pearson(scores[:, 0], y[:, 0]))


def beyond_text(
    decoded: Decoded,
    read: Reading,
    level: Level,
    *,
    lengths: Float[np.ndarray, "sample part"],
    words: Float[np.ndarray, "sample value"],
) -> tuple[ClaimRow, ...]:
    """Claim that a probe tells more than words and length do: partial r beyond both nulls of the residual labels.

    Args:
        decoded: Held-out scores.
        read: Labels and queries.
        level: Level; the values are one family.
        lengths: Lengths of each response, such as words and characters.
        words: Held-out scores from words alone.

    Source: Freedman & Lane (1983), J. Bus. Econ. Stat. 1, 292: permuting residuals under the reduced model.
    """
    covariates = [np.column_stack([lengths, words[:, i]]) for i in range(len(read.values))]
    r = _partial_r(decoded.scores, read.y, covariates, read.groups)
    nulls = [_reduced_null(read, covariates, level, null_of) for null_of in NULLS]
    p = np.max([stats.max_t_p(r, null) for null in nulls], axis=0)
    plain = stats.within_r(decoded.scores, read.y, read.groups)
    by_length = _partial_r(decoded.scores, read.y, [lengths] * len(read.values), read.groups)
    chance = np.max([np.quantile(np.nan_to_num(null), 0.95, axis=0) for null in nulls], axis=0)
    rows = []
    for i, value in enumerate(read.values):
        made = bool(np.isfinite(p[i]) and p[i] <= level.alpha)
        what = "length" if abs(by_length[i]) < abs(plain[i]) / 2 else "words and length"
        verb = "explains" if what == "length" else "explain"
        said = f"{what} of the text {verb} it: r = {plain[i]:z.2f} is {r[i]:z.2f} beyond them (family p = {p[i]:.2g})"
        if abs(r[i]) >= abs(plain[i]) / 2:  # most of it is left: that text explains it would not be so
            given = level.missed(p[i], "shuffled labels")
            said = f"r = {r[i]:z.2f} beyond words and length of the text is {given} (family p = {p[i]:.2g})"
        if not plain[i] > chance[i]:
            said = f"nothing is read that could be beyond the text: r = {plain[i]:z.2f} (family p = {p[i]:.2g})"
        reason = "" if made else said
        rows.append(
            _row("beyond text", value, made, reason, "within-query r beyond words and length", r[i], p[i], read, level)
        )
    return tuple(rows)


def _reduced_null(
    read: Reading, covariates: Sequence[np.ndarray], level: Level, null_of: Callable[..., np.ndarray]
) -> np.ndarray:
    """Return partial r of labels that hold what covariates tell of them and residuals of chance, probes refitted."""
    k = len(read.values)
    told, left = np.zeros(read.y.shape), np.full(read.y.shape, np.nan)
    for i in range(k):
        column = read.y[:, [i]]
        left[:, [i]] = _residuals(column, column, covariates[i], read.groups)[1]
        told[:, i] = read.y[:, i] - left[:, i]
    mixed = null_of(left, read.groups, draws=level.draws, seed=level.seed + 1)
    out = []
    for start in range(0, level.draws, CHUNK):
        y = told + mixed[start : start + CHUNK]
        columns = np.ascontiguousarray(y.transpose(1, 0, 2)).reshape(len(read.y), -1)
        scores = directions.held_out(
            read.x, columns, read.groups, read.folds, method=read.method, seed=level.seed, block=k
        )
        r = _partial_r(scores, columns, list(covariates) * len(y), read.groups)
        out.append(r.reshape(len(y), k))
    return np.concatenate(out)


def _partial_r(
    score: np.ndarray, label: np.ndarray, covariates: Sequence[np.ndarray], groups: tuple[str, ...]
) -> np.ndarray:
    """Return within-query r per column with its covariates taken out of both sides."""
    out = np.full(score.shape[1], np.nan)
    kinds: dict[int, list[int]] = {}
    for column, one in enumerate(covariates):
        kinds.setdefault(id(one), []).append(column)
    for columns in kinds.values():
        parts = _residuals(score[:, columns], label[:, columns], covariates[columns[0]], groups)
        out[columns] = stats.within_r(*parts, groups)
    return out


def _residuals(
    score: np.ndarray, label: np.ndarray, covariates: np.ndarray, groups: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Take out of scores and labels what covariates tell of them within queries; samples with a gap become NaN."""
    sides = [np.full(score.shape, np.nan), np.full(score.shape, np.nan)]
    gaps = np.isfinite(score) & np.isfinite(label) & np.isfinite(covariates).all(axis=1, keepdims=True)
    code = stats.codes(groups)
    for known, columns in stats.patterns(gaps):
        if known.any():
            design = stats.centre(covariates[known], code[known])
            for out, side in zip(sides, (score, label), strict=True):
                target = stats.centre(side[np.ix_(known, columns)], code[known])
                out[np.ix_(known, columns)] = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    return sides[0], sides[1]


def _row(
    claim: str,
    value: str,
    made: bool,
    reason: str,
    statistic: str,
    estimate: float,
    p: float,
    read: Reading,
    level: Level,
) -> ClaimRow:
    n = int(np.isfinite(read.y[:, read.values.index(value)]).sum())
    return ClaimRow(
        claim,
        value,
        made,
        reason,
        statistic,
        float(estimate),
        float(p),
        level.alpha,
        level.draws,
        n,
        read.method,
        read.site,
    )
