"""SVO slider: choices become the angle between caring for oneself and caring for the other, its type, and checks.

Per respondent the amounts of each item are averaged over versions, then the angle is taken of the six primary items. It
is missing when one of the six has no usable answer in any version: items differ too much for the rest to stand in.
Numbers are official option numbers, also in reversed versions; a mean of option probabilities need not be whole.

Source: Murphy, Ackermann & Handgraaf (2011), Judgment and Decision Making 6, 771-781.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.benchmarks._svo_payoffs import N_ITEMS, N_OPTIONS, PRIMARY, SECONDARY, TYPES
from vprobe.benchmarks.svo import templates
from vprobe.scoring._numbered import accepted, cube, over_versions
from vprobe.scoring._svo_measure import (
    SECONDARY_RULES,
    amounts,
    angle,
    ideal,
    ideal_angle,
    secondary,
    transitive,
    types,
)
from vprobe.scoring._svo_rationality import Nearer, Rationality, degrees_apart, nearer, random_angles, rationality
from vprobe.scoring._svo_read import REVERSED, parse
from vprobe.types import AnswerTable, ScaleRow

__all__ = ["ITEM_COLUMNS", "KIND", "RULES", "SCALE", "Nearer", "Rationality", "degrees_apart", "ideal_angle",
           "known", "nearer", "parse", "random_angles", "rationality", "score", "types",
           "version_angles", "versions"]  # fmt: skip

KIND = "choice"
RULES = ("official",)
ITEM_COLUMNS = ("item",)
SCALE = (1.0, float(N_OPTIONS))
LEAST_RESPONDENTS = 10
"""Fewest respondents from whom a reliability is estimated."""
_OTHER_FIRST, _OWN_FIRST = "v2", "v1"


@dataclass(frozen=True)
class _Seen:
    """All that is worked out before rows are written, for every respondent at once."""

    choices: Float[np.ndarray, "respondent item"]
    given: Float[np.ndarray, "respondent item 2"]
    angles: Float[np.ndarray, " respondent"]
    by_version: Float[np.ndarray, "respondent version"]
    versions: tuple[str, ...]
    mass: Float[np.ndarray, " respondent"]


def known(folder: Path | None = None) -> tuple[str, ...]:
    """Return how an answer file may name the items: "svo-01" or "1", up to 15.

    Args:
        folder: Not used: the items are part of the package.
    """
    return accepted("svo", N_ITEMS)


def versions(folder: Path | None = None) -> tuple[str, ...]:
    """List the wordings, each with its options in both orders.

    Args:
        folder: Not used: the items are part of the package.
    """
    return tuple(dict.fromkeys(one.name for one in templates(1)))


def score(answers: AnswerTable, *, rule: str = "official", folder: Path | None = None) -> tuple[ScaleRow, ...]:
    """Score slider choices.

    Families of the rows: "svo" (angle in degrees, mean amounts, transitive, secondary_index), "svo_category" (1 for the
    type of the angle, 0 for the others), "svo_version_share" (share of versions whose own angle is of the type),
    "svo_deviation" (degrees from each ideal type), "svo_secondary" (distance from each ideal rule on the nine further
    items, 0 to 1) and "svo_order" (degrees by which the order of options, or of naming, turns the angle).

    Args:
        answers: Choices of any respondents in any versions.
        rule: "official" only.
        folder: Not used.

    Raises:
        InputError: One item answered twice, under two names.
    """
    table = cube(answers, N_ITEMS)
    each = np.stack([amounts(table[:, v]) for v in range(table.shape[1])], axis=1)
    given = over_versions(each)
    seen = _Seen(
        choices=over_versions(table),
        given=given,
        angles=angle(given),
        by_version=np.stack([angle(each[:, v]) for v in range(table.shape[1])], axis=1),
        versions=answers.versions,
        mass=answers.masses(),
    )
    parts = (_main(seen), _categories(seen), _deviations(seen), _further(seen), _orders(seen))
    rows = [row for part in parts for row in part]
    return tuple(
        ScaleRow(
            respondent=name, instrument="svo", family=row.family, scale=row.scale, kind=KIND, rule=rule,
            estimate=float(row.estimate[i]), raw=math.nan, spread=float(row.spread[i]), n=int(row.n[i]),
            n_unscored=row.of - int(row.n[i]), unit=row.unit, option_mass=float(seen.mass[i]),
            reliability=row.reliability, reliability_of=row.reliability_of,
        )
        for i, name in enumerate(answers.respondents)
        for row in rows
    )  # fmt: skip


def version_angles(answers: AnswerTable) -> Float[np.ndarray, "respondent version"]:
    """Return the angle of every respondent in every version by itself, degrees; NaN where an item is missing.

    Args:
        answers: Choices.

    Raises:
        InputError: One item answered twice, under two names.
    """
    table = cube(answers, N_ITEMS)
    return np.stack([angle(amounts(table[:, v])) for v in range(table.shape[1])], axis=1)


@dataclass(frozen=True)
class _Row:
    """One scale for every respondent; `of` is how many items or pairs there could be."""

    family: str
    scale: str
    estimate: Float[np.ndarray, " respondent"]
    spread: Float[np.ndarray, " respondent"]
    n: np.ndarray
    of: int
    unit: str
    reliability: float = math.nan
    reliability_of: str = ""


def _main(seen: _Seen) -> Iterator[_Row]:
    n = np.isfinite(seen.choices[:, :PRIMARY]).sum(axis=1)
    nothing = np.full(len(n), np.nan)
    reliability, of = _reliability(seen.by_version)
    yield _Row("svo", "angle", seen.angles, nothing, n, PRIMARY, "degrees", reliability, of)
    first = seen.given[:, :PRIMARY]
    for side, name in enumerate(("mean_self", "mean_other")):
        points = first[:, :, side]
        yield _Row("svo", name, points.mean(axis=1), points.std(axis=1), n, PRIMARY, "points from 0 to 100")
    yield _Row("svo", "transitive", transitive(seen.choices), nothing, n, PRIMARY, "1 is free of circles, 0 is not")


def _reliability(by_version: Float[np.ndarray, "respondent version"]) -> tuple[float, str]:
    """Return the ICC of the angle averaged over versions, where there are respondents and versions enough."""
    complete = by_version[np.isfinite(by_version).all(axis=1)]
    if len(complete) < LEAST_RESPONDENTS or by_version.shape[1] < 2:
        return math.nan, ""
    name = f"ICC(3,{by_version.shape[1]}) over versions, {len(complete)} respondents"
    return stats.icc(complete).icc3k, name


def _categories(seen: _Seen) -> Iterator[_Row]:
    n = np.isfinite(seen.choices[:, :PRIMARY]).sum(axis=1)
    n_versions = np.isfinite(seen.by_version).sum(axis=1)
    mine = types(seen.angles)
    each = np.stack([types(column) for column in seen.by_version.T], axis=1)
    nothing = np.full(len(n), np.nan)
    for place, name in enumerate(TYPES):
        yield _Row("svo_category", name, mine[:, place], nothing, n, PRIMARY, "1 is this type, 0 is not")
        share = over_versions(each[:, :, place])
        yield _Row("svo_version_share", name, share, nothing, n_versions, len(seen.versions), "share of versions")


def _deviations(seen: _Seen) -> Iterator[_Row]:
    n = np.isfinite(seen.choices[:, :PRIMARY]).sum(axis=1)
    for name in TYPES:
        away = np.abs(seen.angles - ideal_angle(name))
        yield _Row("svo_deviation", name, away, np.full(len(n), np.nan), n, PRIMARY, "degrees from the ideal type")


def _further(seen: _Seen) -> Iterator[_Row]:
    rest = np.isfinite(seen.choices[:, PRIMARY:])
    n, nothing = rest.sum(axis=1), np.full(len(rest), np.nan)
    found = secondary(seen.choices)
    unit = "0 evens out, 1 makes the most together"
    yield _Row("svo", "secondary_index", found.index, nothing, n, SECONDARY, unit)
    for place, name in enumerate(SECONDARY_RULES):
        used = np.isfinite(ideal(name)[PRIMARY:])
        unit = "mean distance from the ideal choices, 0 to 1"
        n_used = rest[:, used].sum(axis=1)
        yield _Row("svo_secondary", name, found.distances[:, place], nothing, n_used, int(used.sum()), unit)


def _orders(seen: _Seen) -> Iterator[_Row]:
    """Set versions side by side that differ in one thing; the pairs are of one respondent, and n counts them."""
    at = {name: seen.by_version[:, i] for i, name in enumerate(seen.versions)}
    turned = [(at[name], at[name + REVERSED]) for name in seen.versions if name + REVERSED in at]
    named = [
        (at[_OWN_FIRST + end], at[_OTHER_FIRST + end])
        for end in ("", REVERSED)
        if {_OWN_FIRST + end, _OTHER_FIRST + end} <= set(at)
    ]
    for scale, pairs, unit in (
        ("options_reversed", turned, "degrees, reversed less official order of options"),
        ("other_named_first", named, "degrees, other named first less oneself named first"),
    ):
        if pairs:
            gaps = np.stack([b - a for a, b in pairs], axis=1)
            n = np.isfinite(gaps).sum(axis=1)
            mean = over_versions(gaps)
            spread = np.sqrt(over_versions((gaps - mean[:, None]) ** 2))
            yield _Row("svo_order", scale, mean, spread, n, len(pairs), unit)
