"""`probe`: a direction per value and site, and held-out scores set against what shuffled labels give."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vprobe import agreement, controls, directions, scores, stats, store
from vprobe.config import RunConfig
from vprobe.errors import RefusedError
from vprobe.pipeline import _search as search
from vprobe.pipeline._card import card
from vprobe.pipeline._common import Stage, Tell, info, quiet
from vprobe.pipeline._final import keep
from vprobe.pipeline._held import REFITTED, Held, held_of
from vprobe.pipeline._lookup import sorted_rows
from vprobe.pipeline._study import LABEL_UNIT, Study, study
from vprobe.types import (
    Agreement,
    BaselineRow,
    Direction,
    MapPoint,
    ScoreRow,
    Scores,
    SearchRow,
    SiteNorm,
    SitePick,
)
from vprobe.values import SCHWARTZ

TEXT = "text~label"
STEERED = ("steer", "matrix", "solve", "damage", "audit", "ablate", "interchange", "positions", "said", "transfer")
"""Stages that steer with a run's directions: new directions take their results away."""
PERSONAS = ("personas", "shift")
"""Stages that read along them under conditions, likewise."""


@dataclass(frozen=True)
class Probed:
    """What one method gave: held-out scores at every site and nested, the search, what it picked, and directions."""

    cells: Held
    nested: Held
    picks: tuple[SitePick, ...]
    search: tuple[SearchRow, ...]
    directions: tuple[Direction, ...]


def probe(folder: Path, config: RunConfig, *, tell: Tell = quiet) -> Stage:
    """Fit directions, score every item with probes that never saw its query, and set the scores against their null.

    Args:
        folder: A run with activations.
        config: Methods, values, folds, draws and seed.
        tell: Called with (stage, done, total).

    Raises:
        VprobeError: No activations, an unknown method or value, or too few queries.
    """
    for method in config.method:
        directions.check(method)
    known = study(folder, config)
    items = known.keyed
    keep(folder, config)
    found: list[Probed] = []
    with store.timed(folder, "probe"):
        for number, method in enumerate(config.method):
            tell("probe", number, len(config.method))
            found.append(_probed(known, method, config))
        tell("probe", len(config.method), len(config.method))
        labels = Scores(items.y, items.item_ids, items.values, "label", LABEL_UNIT)
        picks = [pick for one in found for pick in one.picks]
        norms = {row.site: row.norm for row in store.load_rows(folder, "norms", SiteNorm)}
        fitted = [replace(d, unit=norms.get(str(d.site), math.nan)) for one in found for d in one.directions]
        without = _without(folder, config.method, fitted)
        gone = [stage for stage in (*STEERED, *PERSONAS) if stage in store.stages(folder)]
        store.drop(folder, ("agree", "across", *STEERED, *PERSONAS, "claims"))
        store.save_directions(folder, fitted)
        kept = [row for one in found for row in _score_rows(known, one.nested)]
        store.save_rows(folder, "scores", [*kept, *scores.rows(labels, items.groups)], ScoreRow)
        store.save_rows(folder, "picks", picks, SitePick)
        store.save_rows(folder, "search", [row for one in found for row in one.search], SearchRow)
        words = _text(known, config)
        told = card(folder, known, [one.nested for one in found], words, picks, config)
        store.save_rows(folder, "baselines", told, BaselineRow)
        store.save_rows(folder, "map", _map(known, picks, config.seed) if config.map else (), MapPoint)
        rows = [
            *_rows(known, [one.cells for one in found], config),
            *_rows(known, [one.nested for one in found], config),
            *_rows(known, [words], config, comparison=TEXT),
        ]
        store.save_rows(folder, "agreement", sorted_rows(rows), Agreement)
        store.save_info(folder, info("probe", config), "probe")
    asked = len(config.method) * len(items.values) * len(known.acts.sites)
    facts = (
        ("items", len(items.item_ids)),
        ("queries", len(set(items.groups))),
        ("directions", f"{len(fitted)} of {asked}" + (f", none with {', '.join(without)}" if without else "")),
        ("position", known.acts.position),
        ("null draws", config.draws),
        *([("taken away, for the directions before stood behind it", ", ".join(gone))] if gone else []),
    )
    return Stage("probe", folder, facts)


def _without(folder: Path, methods: Sequence[str], fitted: Sequence[Direction]) -> list[str]:
    """Return the methods that gave no direction at all.

    Raises:
        RefusedError: None gave any.
    """
    found = {one.method for one in fitted}
    if not found:
        raise RefusedError(
            f"no value has a direction with {', '.join(methods)}",
            where=str(folder),
            expected="labels that vary within queries and, for unique directions, are not told by the other values'",
            do="probe more items or fewer values (--values higher_order), or a marginal method such as covariance",
        )
    return [method for method in methods if method not in found]


def _probed(known: Study, method: str, config: RunConfig) -> Probed:
    """Search with one method: every site by itself, where its family allows for looking everywhere, and nested."""
    items, sites = known.keyed, known.acts.sites
    parts: list[Held] = []

    def keep(number: int, scores: np.ndarray) -> None:
        parts.append(held_of(known, scores, (str(sites[number]),) * len(items.values), method))

    found = _search(known, method, config.seed, keep)
    vectors = directions.fit_all(
        known.acts, items.benchmark, items.item_ids, method=method, values=items.values, seed=config.seed
    )
    nested = held_of(known, found.nested.scores, ("nested",) * len(items.values), method)
    picked = tuple(search.picks(found, sites, items.values, method))
    cells = tuple(search.cells(found, sites, items.values, items.y, method))
    return Probed(_beside(parts, method), nested, picked, cells, vectors)


def _search(known: Study, method: str, seed: int, each: search.Each | None = None) -> search.Found:
    xs = [known.acts.at(site) for site in known.acts.sites]
    return search.search(
        xs, known.columns, known.keyed.groups, known.folds, method=method, seed=seed, block=len(known.keyed.values),
        each=each,
    )  # fmt: skip


def nested(known: Study, method: str, seed: int) -> directions.Nested:
    """Return held-out scores of the real and the shuffled labels, sites picked on inner folds column by column."""
    return _search(known, method, seed).nested


def of_probe(row: Agreement) -> bool:
    """Tell whether a row of the agreement table is made by `probe`; the others are made by `agree`."""
    return row.level == "item" and row.comparison in ("probe~label", TEXT)


def _beside(parts: Sequence[Held], method: str) -> Held:
    return Held(
        np.concatenate([part.scores for part in parts], axis=1),
        np.concatenate([part.null for part in parts], axis=1),
        tuple(site for part in parts for site in part.sites),
        method,
    )


def _rows(
    known: Study, parts: Sequence[Held], config: RunConfig, *, comparison: str = "probe~label"
) -> tuple[Agreement, ...]:
    """Set held-out scores against the labels; all methods, sites and values given together are one family."""
    held = _beside(parts, "")
    items, times = known.keyed, len(held.sites) // len(known.keyed.values)
    return agreement.measure(
        held.scores,
        np.tile(items.y, times),
        items.groups,
        [agreement.Null(REFITTED, held.null)],
        comparison=comparison,
        values=items.values * times,
        sites=held.sites,
        method=[part.method for part in parts for _ in part.sites],
        reliability=items.benchmark.reliability,
        seed=config.seed,
    )


def _text(known: Study, config: RunConfig) -> Held:
    """The same labels from words alone, by ridge on the same folds: the baseline every probe must beat."""
    items = known.keyed.benchmark.pick(known.keyed.item_ids)
    x = controls.text_features([f"{item.title} {item.text} {item.response}" for item in items])
    groups = known.keyed.groups
    held = directions.held_out(x, known.columns, groups, known.folds, method="ridge", seed=config.seed)
    return held_of(known, held, ("",) * len(known.keyed.values), "words")


def _score_rows(known: Study, held: Held) -> tuple[ScoreRow, ...]:
    items = known.keyed
    real = Scores(held.scores, items.item_ids, items.values, "probe", scores.PROBE_UNIT)
    return scores.rows(real, items.groups, method=held.method, site="nested")


def _map(known: Study, picks: list[SitePick], seed: int) -> tuple[MapPoint, ...]:
    """Map the responses at the site picked most often, as deviations from their query's mean."""
    names = Counter(pick.site for pick in picks if pick.site)
    if not names:
        return ()
    site = next(s for s in known.acts.sites if str(s) == names.most_common(1)[0][0])
    x = stats.centre(known.acts.at(site), known.keyed.groups)
    try:
        where = scores.map2d(x, seed=seed)
    except RefusedError:
        return ()
    columns = [i for i, value in enumerate(known.keyed.values) if value in SCHWARTZ] or list(
        range(len(known.keyed.values))
    )
    best = np.nan_to_num(np.abs(known.keyed.y[:, columns]), nan=-1.0).argmax(axis=1)
    return tuple(
        MapPoint(
            item, known.keyed.values[columns[b]], float(known.keyed.y[i, columns[b]]), float(x0), float(x1), str(site)
        )
        for i, (item, b, (x0, x1)) in enumerate(zip(known.keyed.item_ids, best, where, strict=True))
    )
