"""From scored completions to six sub-dimension and three dimension scores, and whether they say different things."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from vprobe import stats
from vprobe.benchmarks import _valuelex_words as lists
from vprobe.benchmarks import valuelex as stems
from vprobe.errors import InputError
from vprobe.types import AnswerTable, ScaleRow
from vprobe.values import VALUELEX, VALUELEX_SUB

SCALES = VALUELEX_SUB + VALUELEX
"""Scales in the order they are scored: six sub-dimensions, three dimensions."""
HALVES = 50
"""Random halves the split-half reliability is a mean over."""
LEAST_RESPONDENTS = 3
"""Fewest respondents a correlation over respondents is made of."""


@dataclass(frozen=True)
class Halo:
    """Whether the six scores say six things or one.

    Args:
        n: Respondents with all six scores.
        share: Share of the variance of the standardised scores on their first principal component; NaN below 3
            respondents or where a score does not vary.
        chance: The mean of the same share after each score was shuffled over respondents.
        correlations: Correlations of the six scores over respondents, in the order of `values.VALUELEX_SUB`.
        centred: The same after each respondent's mean over the six was taken away.
    """

    n: int
    share: float
    chance: float
    correlations: Float[np.ndarray, "sub sub"]
    centred: Float[np.ndarray, "sub sub"]


def scale_scores(
    answers: AnswerTable,
    scores: Float[np.ndarray, "row 6"],
    *,
    rule: str,
    unit: str,
    own: bool = True,
    seed: int = 0,
) -> tuple[ScaleRow, ...]:
    """Return each respondent's scores on the six sub-dimensions and three dimensions.

    A stem's score is the mean over the wordings it was asked with, a sub-dimension's the mean over its stems, and a
    dimension's the mean of its two sub-dimensions. Intervals draw whole stems.

    Args:
        answers: Completions.
        scores: One row per row of `answers`, from a scorer; NaN is unscored.
        rule: Name of the scorer.
        unit: What 1.0 means.
        own: Score a sub-dimension on its own 16 stems, so that no two scores share an answer; on all stems if False.
        seed: Seed of the bootstrap and of the halves.

    Raises:
        InputError: Scores for another number of rows.
    """
    if len(scores) != len(answers.number):
        raise InputError(
            f"{len(scores)} scores", where="valuelex", expected=f"one for each of {len(answers.number)} rows"
        )
    cube = _by_stem(answers, scores)
    asked = _asked(answers, own)
    cube = np.where(asked[None], cube, np.nan)
    repeatable = [_split_half(cube, _columns(scale), seed=seed) for scale in SCALES]
    out = []
    for row, respondent in enumerate(answers.respondents):
        for scale, reliability in zip(SCALES, repeatable, strict=True):
            out.append(_row(respondent, scale, cube[row], asked, reliability, rule, unit, seed))
    return tuple(out)


def planted_scores(shares: Float[np.ndarray, "respondent 6"]) -> Float[np.ndarray, "respondent 9"]:
    """Return the scores respondents must get whose completions name each sub-dimension with a known probability.

    Args:
        shares: Probability of a word of each sub-dimension, such as `Card.factor_shares(profiles)` of the organism.

    Returns:
        One column per scale of `SCALES`; the rules "lexicon" and "lexicon_all" estimate the same numbers.
    """
    parts = [shares[:, list(_columns(dimension))].mean(axis=1) for dimension in VALUELEX]
    return np.concatenate([shares, np.stack(parts, axis=1)], axis=1)


def halo(rows: Sequence[ScaleRow], *, seed: int = 0, draws: int = 200) -> Halo:
    """Check scores for one common level behind all six, such as a judge that likes some respondents better.

    Args:
        rows: Scores of several respondents by one rule; the dimensions are not used.
        seed: Seed of the shuffles.
        draws: Shuffles the chance level is a mean over.

    Raises:
        InputError: Scores by more than one rule.
    """
    if len({row.rule for row in rows}) > 1:
        raise InputError("scores by several rules", where="halo", expected="one rule at a time")
    found = {(row.respondent, row.scale): row.estimate for row in rows}
    names = dict.fromkeys(row.respondent for row in rows)
    table = np.array([[found.get((name, sub), math.nan) for sub in VALUELEX_SUB] for name in names])
    table = table.reshape(len(names), len(VALUELEX_SUB))
    table = table[np.isfinite(table).all(axis=1)]
    rng = np.random.default_rng(seed)
    shuffled = [_first_share(_correlations(rng.permuted(table, axis=0))) for _ in range(draws)]
    plain = _correlations(table)
    centred = _correlations(table - table.mean(axis=1, keepdims=True))
    return Halo(len(table), _first_share(plain), float(np.mean(shuffled)) if draws else math.nan, plain, centred)


def _columns(scale: str) -> tuple[int, ...]:
    """Return the sub-dimensions a scale is made of, as columns."""
    subs = lists.parts_of(scale) if scale in VALUELEX else (scale,)
    return tuple(VALUELEX_SUB.index(sub) for sub in subs)


def _by_stem(answers: AnswerTable, scores: Float[np.ndarray, "row 6"]) -> Float[np.ndarray, "respondent stem 6"]:
    """Return the scores per respondent and stem, the wordings averaged; NaN where none is scored."""
    size = len(answers.respondents), len(answers.item_ids), len(VALUELEX_SUB)
    total, n = np.zeros(size), np.zeros(size)
    known = np.isfinite(scores)
    np.add.at(total, (answers.respondent, answers.item), np.where(known, scores, 0.0))
    np.add.at(n, (answers.respondent, answers.item), known)
    return np.where(n > 0, total / np.maximum(n, 1.0), np.nan)


def _asked(answers: AnswerTable, own: bool) -> Bool[np.ndarray, "stem 6"]:
    """Return which stems count for which sub-dimension."""
    subs = {one.id: one.sub for one in stems.stems()}
    return np.array([[not own or subs[item] == sub for sub in VALUELEX_SUB] for item in answers.item_ids])


def _row(
    respondent: str,
    scale: str,
    scores: Float[np.ndarray, "stem 6"],
    asked: Bool[np.ndarray, "stem 6"],
    reliability: float,
    rule: str,
    unit: str,
    seed: int,
) -> ScaleRow:
    columns = list(_columns(scale))
    mine, counted = scores[:, columns], asked[:, columns]
    known = np.isfinite(mine)
    parts = np.concatenate([np.where(known, mine, 0.0), known.astype(np.float64)], axis=1)
    scored = known.any(axis=1)
    found = stats.interval(parts[scored], _mean, seed=seed)
    values = mine[known]
    with np.errstate(invalid="ignore", divide="ignore"):
        estimate = float(_mean(parts.sum(axis=0)))
    return ScaleRow(
        respondent=respondent,
        instrument="valuelex",
        family="valuelex" if scale in VALUELEX else "valuelex_sub",
        scale=scale,
        kind="generation",
        rule=rule,
        estimate=estimate,
        raw=math.nan,
        spread=float(values.std()) if len(values) else math.nan,
        n=int(scored.sum()),
        n_unscored=int((counted.any(axis=1) & ~scored).sum()),
        unit=unit,
        low=found.low,
        high=found.high,
        reliability=reliability,
        reliability_of="split-half over stems, Spearman-Brown" if math.isfinite(reliability) else "",
    )


def _mean(totals: np.ndarray) -> np.ndarray:
    """Return the mean over sub-dimensions of their means, from sums and counts in the last axis."""
    half = totals.shape[-1] // 2
    return np.asarray((totals[..., :half] / totals[..., half:]).mean(axis=-1))


def _split_half(cube: Float[np.ndarray, "respondent stem 6"], columns: tuple[int, ...], *, seed: int) -> float:
    """Return how well scores on one half of a scale's stems agree with those on the other, over respondents.

    Source: Spearman (1910) and Brown (1910), Brit. J. Psychol. 3; the mean over random halves.
    """
    if len(cube) < LEAST_RESPONDENTS:
        return math.nan
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(HALVES):
        first, second = np.zeros(len(cube)), np.zeros(len(cube))
        for column in columns:
            order = rng.permutation(np.flatnonzero(np.isfinite(cube[:, :, column]).any(axis=0)))
            middle = len(order) // 2
            first = first + _row_means(cube[:, order[:middle], column])
            second = second + _row_means(cube[:, order[middle:], column])
        found.append(stats.pearson(first, second))
    return stats.spearman_brown(stats.fisher_mean(np.array(found)))


def _row_means(table: Float[np.ndarray, "respondent stem"]) -> Float[np.ndarray, " respondent"]:
    known = np.isfinite(table)
    with np.errstate(invalid="ignore"):
        return np.where(known, table, 0.0).sum(axis=1) / known.sum(axis=1)


def _correlations(table: Float[np.ndarray, "respondent sub"]) -> Float[np.ndarray, "sub sub"]:
    """Return correlations of the columns; NaN where one does not vary or there are too few rows."""
    k = table.shape[1]
    spread = np.ptp(table, axis=0) > stats.ROUND_OFF if len(table) >= LEAST_RESPONDENTS else np.zeros(k, bool)
    out = np.full((k, k), np.nan)
    if spread.any():
        out[np.ix_(spread, spread)] = np.corrcoef(table[:, spread].T)
    return out


def _first_share(correlations: Float[np.ndarray, "sub sub"]) -> float:
    if not np.isfinite(correlations).all():
        return math.nan
    return float(np.linalg.eigvalsh(correlations)[-1] / len(correlations))
