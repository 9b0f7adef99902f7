"""`agree` in more terms: pairs, ceilings, absolute differences, smooth profiles, the circle's order, cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import agreement, claims, controls, scores, store
from vprobe.claims import Level
from vprobe.claims.reading import Reading
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.pipeline._conditions import over_conditions
from vprobe.pipeline._lookup import common_site, held_out_scores
from vprobe.pipeline._study import Keyed, Study
from vprobe.types import Agreement, ConditionRow, ProfileRow, Response, Site
from vprobe.values import SCHWARTZ

TABLE = "agreement_detail"


def detail(
    folder: Path,
    items: Keyed,
    known: Study | None,
    answered: Sequence[Response],
    profiles: Sequence[ProfileRow],
    methods: Sequence[str],
    config: RunConfig,
) -> tuple[Agreement, ...]:
    """Return what else can be said of agreement in one run, for the first direction method.

    Args:
        folder: A rated run.
        items: Its rated or recorded items with their labels.
        known: Its activations; None where it was not probed.
        answered: Its ratings.
        profiles: Its profiles, keyed by labels and by probes.
        methods: Direction methods of its probes.
        config: Draws and seed.
    """
    versions, forms = by_version(answered, items.item_ids)
    rated = scores.rate(answered, items.item_ids).expected
    mixed = controls.shuffle_ratings(rated, items.groups, draws=config.draws, seed=config.seed + 1)
    out = [*_on_labels(items, rated, forms, mixed, config), *_orders(items, versions, forms, config)]
    if known and methods:
        x = held_out_scores(folder, items, methods[0])
        out += _on_probes(items, x, rated, forms, mixed, methods[0], config)
        out += _structure(folder, known, methods[0], config)
    out += _smooth(folder, profiles, config)
    if store.has(folder, "conditions"):
        out += over_conditions(store.load_rows(folder, "conditions", ConditionRow), config)
    return tuple(out)


def by_version(
    answered: Sequence[Response], item_ids: Sequence[str]
) -> tuple[tuple[str, ...], Float[np.ndarray, "sample form"]]:
    """Return the expected rating of every item in every version; NaN is unscored.

    Args:
        answered: Answers.
        item_ids: In the order of the first axis.
    """
    row = {item: i for i, item in enumerate(item_ids)}
    mine = [one for one in answered if one.item_id in row and one.ratings]
    versions = tuple(dict.fromkeys(one.template for one in mine))
    out = np.full((len(row), len(versions)), np.nan)
    for one in mine:
        out[row[one.item_id], versions.index(one.template)] = one.expected
    return versions, out


def _reliabilities(items: Keyed) -> list[float]:
    known = {one.value: one.estimate for one in items.benchmark.reliability if one.within}
    return [known.get(value, math.nan) for value in items.values]


def _tops(items: Keyed) -> list[float]:
    return [math.sqrt(one) if one > 0 else math.nan for one in _reliabilities(items)]


def _on_labels(
    items: Keyed, rated: np.ndarray, forms: np.ndarray, mixed: np.ndarray, config: RunConfig
) -> list[Agreement]:
    """Human labels against ratings: pairs, and r over its ceiling."""
    free = [math.nan] * len(items.values)
    return [
        *agreement.concordance(
            items.y, rated[:, None], items.groups, mixed[:, :, None], comparison="rating~label", values=items.values,
            ceilings=_tops(items), seed=config.seed,
        ),
        *agreement.corrected(
            items.y, [forms] * len(items.values), items.groups, comparison="rating~label", values=items.values,
            reliability_x=_reliabilities(items), reliability_y=free, seed=config.seed,
        ),
    ]  # fmt: skip


def _on_probes(
    items: Keyed, x: np.ndarray, rated: np.ndarray, forms: np.ndarray, mixed: np.ndarray, method: str, config: RunConfig
) -> list[Agreement]:
    """Held-out probe scores against labels and ratings."""
    k, sure, free = len(items.values), [1.0] * len(items.values), [math.nan] * len(items.values)
    at, groups = ("nested", method), items.groups
    dealt = controls.shuffle_labels(items.y, groups, draws=config.draws, seed=config.seed + 2)
    labels = agreement.concordance(
        x, items.y, groups, dealt, comparison="probe~label", values=items.values, ceilings=_tops(items), site=at[0],
        method=at[1], seed=config.seed,
    )  # fmt: skip
    ratings = agreement.concordance(
        x, rated[:, None], groups, mixed[:, :, None], comparison="probe~rating", values=items.values, site=at[0],
        method=at[1], seed=config.seed,
    )  # fmt: skip
    told = "null: label rows shuffled jointly"
    return [
        *(replace(row, note=row.note.replace("null: ratings shuffled within queries", told)) for row in labels),
        *ratings,
        *agreement.corrected(
            x, [items.y[:, [c]] for c in range(k)], groups, comparison="probe~label", values=items.values,
            reliability_x=sure, reliability_y=_reliabilities(items), site=at[0], method=at[1], seed=config.seed,
        ),
        *agreement.corrected(
            x, [forms] * k, groups, comparison="probe~rating", values=items.values, reliability_x=sure,
            reliability_y=free, site=at[0], method=at[1], seed=config.seed,
        ),
    ]  # fmt: skip


def _orders(items: Keyed, versions: Sequence[str], forms: np.ndarray, config: RunConfig) -> list[Agreement]:
    """Ratings with the options in order against the same with the options reversed, same wordings on both sides."""
    pairs = [(i, versions.index(name + scores.REVERSED)) for i, name in enumerate(versions)
             if name + scores.REVERSED in versions]  # fmt: skip
    if not pairs:
        return []
    sides = [forms[:, [pair[way] for pair in pairs]].mean(axis=1) for way in (0, 1)]
    return list(
        agreement.forms(
            sides[0], sides[1], items.groups, comparison="forward~reversed", draws=config.draws, seed=config.seed
        )
    )  # fmt: skip


def _structure(folder: Path, known: Study, method: str, config: RunConfig) -> list[Agreement]:
    """The circle's order in directions at the site picked most often; nothing where a value is missing."""
    items = known.keyed
    if not set(SCHWARTZ) <= set(items.values):
        return []
    try:
        site = Site.parse(common_site(folder, method))
    except InputError:
        return []
    at = [items.values.index(value) for value in SCHWARTZ]
    read = Reading(known.acts.at(site), items.y[:, at], items.groups, known.folds, SCHWARTZ, method, str(site))
    return [claims.correspondence(read, Level(0.05, max(config.draws, 20), config.seed))]


def _smooth(folder: Path, profiles: Sequence[ProfileRow], config: RunConfig) -> list[Agreement]:
    """The run's two profiles against nulls in which neighbours are alike; nothing unless both have all ten values."""
    found = {(row.kind, row.value): row.estimate for row in profiles}
    sides = [np.array([found.get((kind, value), math.nan) for value in SCHWARTZ]) for kind in ("probe", "rating")]
    if not any(row.kind == "probe" for row in profiles):
        return []
    old = store.load_rows(folder, "agreement", Agreement)
    whole = next((row for row in old if row.level == "profile"), None)
    whole = whole or agreement.blank("profile", "probe~label", n=len(SCHWARTZ), of=len(SCHWARTZ))
    return [agreement.smooth(whole, sides[0], sides[1], seed=config.seed)]
