"""Scores of portrait questionnaires: the mean of a value's portraits, less the mean of all portraits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe.benchmarks._pvq import portrait_templates
from vprobe.benchmarks._pvq_keys import Combined, Key, Scale, mean, means
from vprobe.scoring import _likeness
from vprobe.scoring._numbered import cube, over_versions
from vprobe.types import AnswerTable, ScaleRow

KIND = "self_report"
RULES = ("centred", "raw")
SCALE = _likeness.SCALE
LEAST_RESPONDENTS = 10
"""Fewest respondents from whom a reliability is estimated."""
_UNITS = ("rating points above the mean of all portraits", "rating points from 1 to 6")


def versions(folder: Path | None = None) -> tuple[str, ...]:
    """List the wordings the portraits are put in, each in both orders.

    Args:
        folder: Not used: the wordings of the question are ours.
    """
    return tuple(one.name for one in portrait_templates())


def parse(text: str, version: str, item_id: str) -> float:
    """Read an answer as a rating: one of the six phrases, or a whole number from 1 to 6 and nothing else; else NaN.

    Args:
        text: The answer.
        version: Not used: an answer means the same in every wording and order.
        item_id: Not used: all portraits have the same answers.
    """
    plain = text.strip().strip(".()*\"' ")
    if plain in {str(i) for i in range(1, 7)}:
        return float(plain)
    return _likeness.number(text)


@dataclass(frozen=True)
class _Part:
    """One scale for every respondent."""

    family: str
    scale: str
    raw: Float[np.ndarray, " respondent"]
    items: tuple[int, ...]


def score(answers: AnswerTable, key: Key, *, rule: str, families: tuple[str, ...]) -> tuple[ScaleRow, ...]:
    """Score answers to a portrait questionnaire.

    Versions are averaged item by item, reverse-keyed portraits turned round (7 - x). With "centred", each respondent's
    mean over all portraits is taken off every scale; with "raw" it is not. Who left too many portraits out (more than 5
    of 21, 9 of 40, 13 of 57) is unscored.

    Args:
        answers: Ratings from 1 to 6.
        key: Of the questionnaire.
        rule: "centred" or "raw".
        families: Names of the families of `key.broad`, of `key.higher`, and of `key.scales` where these are finer.

    Raises:
        InputError: One item answered twice, under two names.
    """
    items = key.turned(over_versions(cube(answers, key.n_items)))
    base = mean(items)
    mass, unit = answers.masses(), _UNITS[RULES.index(rule)]
    rows = []
    for part in _parts(key, items, families):
        columns = [i - 1 for i in part.items]
        mine = items[:, columns]
        known = np.isfinite(mine)
        level = mean(mine)
        spread = np.sqrt(mean((mine - level[:, None]) ** 2))
        reliability, of = _alpha(mine)
        for i, name in enumerate(answers.respondents):
            rows.append(
                ScaleRow(
                    respondent=name, instrument=key.name, family=part.family, scale=part.scale, kind=KIND, rule=rule,
                    estimate=float(part.raw[i] - (base[i] if rule == "centred" else 0.0)), raw=float(part.raw[i]),
                    spread=float(spread[i]), n=int(known[i].sum()), n_unscored=int((~known[i]).sum()), unit=unit,
                    option_mass=float(mass[i]), reliability=reliability, reliability_of=of,
                )
            )  # fmt: skip
    return tuple(rows)


def _parts(key: Key, items: Float[np.ndarray, "respondent item"], families: tuple[str, ...]) -> Iterator[_Part]:
    """List the scales with their uncentred scores: the ten values, the higher-order ones, then the finer ones."""
    fine = key.scales is not key.broad
    for family, scales in (
        ((families[0], key.broad), (families[2], key.scales)) if fine else ((families[0], key.broad),)
    ):
        for scale, column in zip(scales, means(items, scales).T, strict=True):
            yield _Part(family, scale.name, column, scale.items)
    for one in key.higher:
        yield _combined(one, key.scales, items, families[1])


def _combined(
    one: Combined, scales: tuple[Scale, ...], items: Float[np.ndarray, "respondent item"], family: str
) -> _Part:
    """Average the means of several scales; NaN where one of them is missing."""
    parts = tuple(scale for scale in scales if scale.name in one.parts)
    numbers = tuple(sorted(number for scale in parts for number in scale.items))
    return _Part(family, one.name, means(items, parts).mean(axis=1), numbers)


def _alpha(items: Float[np.ndarray, "respondent item"]) -> tuple[float, str]:
    """Return Cronbach's alpha of a scale over complete respondents, NaN below ten of them or without variance.

    Source: Cronbach (1951), Psychometrika 16, 297-334.
    """
    complete = items[np.isfinite(items).all(axis=1)]
    k = items.shape[1]
    if len(complete) < LEAST_RESPONDENTS or k < 2:
        return math.nan, ""
    total = complete.sum(axis=1).var(ddof=1)
    if total <= 0:
        return math.nan, ""
    each = complete.var(axis=0, ddof=1).sum()
    return float(k / (k - 1) * (1.0 - each / total)), f"Cronbach's alpha over {len(complete)} respondents"
