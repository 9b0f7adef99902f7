"""Claims about reading: a value is decodable, and beyond what words and length of the text tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vprobe import agreement, controls, directions, splits, stats
from vprobe.claims._level import Level
from vprobe.types import ClaimRow, Fold

BETWEEN = 0.5
"""Share of label variance between queries beyond which a refusal names a query leak."""
CHUNK = 250
"""Null draws fitted at once."""


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


def decodable(read: Reading, level: Level, *, others: Sequence[Reading] = ()) -> Decoded:
    """Claim that labels can be told from activations: held-out r beyond label rows shuffled jointly, probes refitted.

    Args:
        read: Activations, labels and folds.
        level: Level; the values are one family.
        others: The same items at other sites; where a value is refused here they tell whether it is elsewhere.
    """
    held, r, p = _tested(read, level)
    between = _between(read.y, read.groups)
    elsewhere = [(other, *_tested(other, level)[1:]) for other in others] if (p > level.alpha).any() else []
    rows = []
    for column, value in enumerate(read.values):
        made = bool(np.isfinite(p[column]) and p[column] <= level.alpha)
        reason = "" if made else _why_not(column, r, p, between, elsewhere, read, level)
        rows.append(
            _row("decodable", value, made, reason, "held-out within-query r", r[column], p[column], read, level)
        )
    return Decoded(held, tuple(rows))


def held_out(read: Reading, seed: int) -> Decoded:
    """Return held-out scores of the real labels, with no claim made of them.

    Args:
        read: Activations, labels and folds.
        seed: Seed for estimators that draw folds.
    """
    found = directions.held_out(read.x, read.y, read.groups, read.folds, method=read.method, seed=seed)
    return Decoded(found, ())


def _tested(read: Reading, level: Level) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return held-out scores, their r and family-wise p."""
    k = len(read.values)
    shuffled = controls.shuffle_labels(read.y, read.groups, draws=level.draws, seed=level.seed)
    held, null = np.empty(read.y.shape), []
    for start in range(0, level.draws, CHUNK):
        part = shuffled[start : start + CHUNK]
        columns = controls.stack(read.y, part)
        scores = directions.held_out(
            read.x, columns, read.groups, read.folds, method=read.method, seed=level.seed, block=k
        )
        by_draw = controls.unstack(scores, k)
        held = by_draw[0]
        null.append(agreement.draws(by_draw[1:], part, read.groups))
    r = stats.within_r(held, read.y, read.groups)
    return held, r, stats.max_t_p(r, np.concatenate(null))


def _why_not(
    column: int, r: np.ndarray, p: np.ndarray, between: np.ndarray, elsewhere: list, read: Reading, level: Level
) -> str:
    """Say why a value is not decodable: elsewhere, between queries only, or nothing beyond shuffled labels."""
    if not np.isfinite(r[column]):
        return "no probe could be fitted: labels do not vary within queries, or too few are known"
    plain = f"r = {r[column]:.2f} within held-out queries is what shuffled labels give (family p = {p[column]:.2g})"
    there = [f"{other.site} (r = {rs[column]:.2f})" for other, rs, ps in elsewhere if ps[column] <= level.alpha]
    if there:
        return f"{plain}; not at {read.site}, but decodable at another site: {', '.join(there)}"
    if between[column] > BETWEEN:
        leak = _divided(read, column, level.seed)
        return (
            f"query leak: {between[column]:.0%} of the labels' variance lies between queries; folds that divide "
            f"queries would give r = {leak:.2f}, but {plain}"
        )
    return plain


def _between(y: np.ndarray, groups: tuple[str, ...]) -> np.ndarray:
    """Return the share of label variance between queries: ICC(1,1) from one-way mean squares."""
    sums = stats.within(y, y, groups)
    with np.errstate(all="ignore"):
        inside = sums.xx.sum(axis=0) / sums.df.sum(axis=0)
        size = sums.n.sum(axis=0) / np.maximum((sums.n > 0).sum(axis=0), 1)
        between = np.nanvar(y, axis=0) - sums.xx.sum(axis=0) / np.maximum(sums.n.sum(axis=0), 1)
        signal = np.maximum(between - inside / size, 0.0)
        return np.nan_to_num(signal / (signal + inside))


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
    """Claim that a probe tells more than words and length do: partial r beyond residual labels shuffled in queries.

    Args:
        decoded: Held-out scores.
        read: Labels and queries.
        level: Level; the values are one family.
        lengths: Lengths of each response, such as words and characters.
        words: Held-out scores from words alone.

    Source: Freedman & Lane (1983), J. Bus. Econ. Stat. 1, 292: permuting residuals under the reduced model.
    """
    parts = [
        _residuals(decoded.scores[:, [i]], read.y[:, [i]], np.column_stack([lengths, words[:, i]]), read.groups)
        for i in range(len(read.values))
    ]
    score, label = (np.concatenate([part[side] for part in parts], axis=1) for side in (0, 1))
    r = stats.within_r(score, label, read.groups)
    mixed = controls.shuffle_labels(label, read.groups, draws=level.draws, seed=level.seed + 1)
    p = stats.max_t_p(r, agreement.draws(score[None], mixed, read.groups))
    plain = stats.within_r(decoded.scores, read.y, read.groups)
    by_length = [
        stats.within_r(*_residuals(decoded.scores[:, [i]], read.y[:, [i]], lengths, read.groups), read.groups)[0]
        for i in range(len(read.values))
    ]
    rows = []
    for i, value in enumerate(read.values):
        made = bool(np.isfinite(p[i]) and p[i] <= level.alpha)
        what = "length" if abs(by_length[i]) < abs(plain[i]) / 2 else "words and length"
        said = f"{what} of the text explain it: r = {plain[i]:.2f} is {r[i]:.2f} beyond them (family p = {p[i]:.2g})"
        reason = "" if made else said
        rows.append(
            _row("beyond text", value, made, reason, "within-query r beyond words and length", r[i], p[i], read, level)
        )
    return tuple(rows)


def _residuals(
    score: np.ndarray, label: np.ndarray, covariates: np.ndarray, groups: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Take out of scores and labels what covariates tell of them within queries; samples with a gap become NaN."""
    known = np.isfinite(score[:, 0]) & np.isfinite(label[:, 0]) & np.isfinite(covariates).all(axis=1)
    code = stats.codes(groups)[known]
    out = np.full((2, *score.shape), np.nan)
    if known.any():
        design = stats.centre(covariates[known], code)
        for place, side in enumerate((score, label)):
            target = stats.centre(side[known], code)
            out[place, known] = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    return out[0], out[1]


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
