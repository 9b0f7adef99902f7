"""What the raters of Value Portrait said: their ratings of the items, and their own scores on every scale."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from vprobe import benchmarks
from vprobe import values as words
from vprobe.errors import DataError

NAME = "value-portrait"
VALUES = (*words.SCHWARTZ, *words.HIGHER_ORDER, *words.BIG_FIVE)
FAMILIES = (("pvq", words.SCHWARTZ), ("higher_pvq", words.HIGHER_ORDER), ("bfi", words.BIG_FIVE))
"""Upstream's names of the three questionnaires' scales."""
TWICE = "P186"
"""The one person who rated two groups and answered the questionnaires twice; the data hold the other profile."""
TWICE_GROUP = 0
"""Number of the group that needs the profile which is not in the data."""
_SURVEY = "data/prolific/survey/main/survey.json"
_PROFILES = "data/prolific/value/main/value.json"
_SECOND_MEANS = (
    ("conformity", 6.0),
    ("tradition", 4.5),
    ("benevolence", 6.0),
    ("universalism", 6.0),
    ("self_direction", 6.0),
    ("stimulation", 5.0),
    ("hedonism", 5.0),
    ("achievement", 3.0),
    ("power", 5.5),
    ("security", 6.0),
)
_SECOND_TRAITS = (
    ("extraversion", 1.0),
    ("agreeableness", 5.0),
    ("conscientiousness", 4.5),
    ("neuroticism", 4.0),
    ("openness", 4.0),
)
_HIGHER = (
    ("self_enhancement", (("achievement", 2), ("power", 2))),
    ("self_transcendence", (("benevolence", 2), ("universalism", 3))),
    ("conservation", (("conformity", 2), ("tradition", 2), ("security", 2))),
    ("openness_to_change", (("self_direction", 2), ("stimulation", 2))),
)
"""Values of each higher-order value, with their number of items in the PVQ-21; Hedonism is in none."""


@dataclass(frozen=True)
class RaterGroup:
    """People who rated the same items.

    Args:
        number: Number of the group, from 0, in the order of the survey file.
        item_ids: Items they rated.
        raters: Their ids.
        ratings: From 1, not like me at all, to 6, very much like me.
        scores: Their own scores on `VALUES`.
    """

    number: int
    item_ids: tuple[str, ...]
    raters: tuple[str, ...]
    ratings: Float[np.ndarray, "item rater"]
    scores: Float[np.ndarray, "rater value"]


def groups(folder: Path | None, *, repaired: bool) -> tuple[RaterGroup, ...]:
    """Read the twelve groups.

    Args:
        folder: The official data; the user's cache when None.
        repaired: Give the person who rated two groups the second profile where it belongs.

    Raises:
        DataError: The data are missing or not the pinned version.
    """
    place = benchmarks.folder(NAME, folder)
    people = profiles(folder)
    survey = json.loads((place / _SURVEY).read_bytes())
    return tuple(_group(number, cells, people, repaired=repaired) for number, cells in enumerate(survey))


def profiles(folder: Path | None) -> dict[str, tuple[float, ...]]:
    """Read everybody's own scores on `VALUES` by id, also of those who rated nothing.

    Args:
        folder: The official data; the user's cache when None.

    Raises:
        DataError: The data are missing or not the pinned version.
    """
    raw = json.loads((benchmarks.folder(NAME, folder) / _PROFILES).read_bytes())
    out = {}
    for person, scales in raw.items():
        found = {words.find(name): float(x) for family, _ in FAMILIES for name, x in scales[family].items()}
        out[person] = tuple(found[value] for value in VALUES)
    return out


def _group(
    number: int, cells: dict[str, list[dict[str, Any]]], people: dict[str, tuple[float, ...]], *, repaired: bool
) -> RaterGroup:
    items = {f"{query}-{cell['option_id']}": cell["data"] for query, answers in cells.items() for cell in answers}
    raters = tuple(person for _, person in next(iter(items.values())))
    for name, data in items.items():
        if tuple(person for _, person in data) != raters:
            raise DataError("raters stand in another order", where=f"{_SURVEY}, item {name}", expected="one order")
    scores = [
        second_profile() if repaired and number == TWICE_GROUP and person == TWICE else people[person]
        for person in raters
    ]
    return RaterGroup(
        number=number,
        item_ids=tuple(items),
        raters=raters,
        ratings=np.array([[rating for rating, _ in data] for data in items.values()], dtype=np.float64),
        scores=np.array(scores, dtype=np.float64),
    )


def second_profile() -> tuple[float, ...]:
    """Return the scores on `VALUES` that the data lack, as they follow from the published correlations.

    Only the order among the other raters is certain. These numbers are one answer pattern that gives that order on
    every scale, and whose values have the mean they are centred on.
    """
    mean = dict(_SECOND_MEANS)
    centre = 112.0 / 21.0  # mean of this person's 21 answers
    centred = {value: number - centre for value, number in mean.items()}
    for value, parts in _HIGHER:
        centred[value] = sum(mean[part] * n for part, n in parts) / sum(n for _, n in parts) - centre
    found = centred | dict(_SECOND_TRAITS)
    return tuple(found[value] for value in VALUES)
