"""`probe`: a direction per value and site, and held-out scores set against what shuffled labels give."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vprobe import agreement, controls, directions, registry, scores, stats, store
from vprobe.config import RunConfig
from vprobe.errors import RefusedError
from vprobe.pipeline._common import Stage, Tell, info, quiet
from vprobe.pipeline._lookup import save_agreement
from vprobe.pipeline._study import LABEL_UNIT, Study, study
from vprobe.types import (
    Agreement,
    Direction,
    MapPoint,
    ScoreRow,
    Scores,
    SiteNorm,
    SitePick,
)
from vprobe.values import SCHWARTZ

TEXT = "text~label"
REFITTED = "label rows shuffled jointly, probes refitted"


@dataclass(frozen=True)
class Probed:
    """What one method gave: agreement with the labels, held-out scores, the sites picked and the directions."""

    rows: tuple[Agreement, ...]
    scores: tuple[ScoreRow, ...]
    picks: tuple[SitePick, ...]
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
        registry.load("vprobe.directions", method, kind="method")
    known = study(folder, config)
    items = known.keyed
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
        store.save_directions(folder, fitted)
        kept = [row for one in found for row in one.scores]
        store.save_rows(folder, "scores", [*kept, *scores.rows(labels, items.groups)], ScoreRow)
        store.save_rows(folder, "picks", picks, SitePick)
        store.save_rows(folder, "map", _map(known, picks, config.seed), MapPoint)
        rows = [*(row for one in found for row in one.rows), *_text_rows(known, config)]
        save_agreement(folder, rows, keep=lambda row: not of_probe(row))
        store.save_info(folder, info(config, None, ()), "probe")
    asked = len(config.method) * len(items.values) * len(known.acts.sites)
    facts = (
        ("items", len(items.item_ids)),
        ("queries", len(set(items.groups))),
        ("directions", f"{len(fitted)} of {asked}"),
        ("position", known.acts.position),
        ("null draws", config.draws),
    )
    return Stage("probe", folder, facts)


def _probed(known: Study, method: str, config: RunConfig) -> Probed:
    items = known.keyed
    found = nested(known, method, config.seed)
    real = Scores(found.scores[:, : len(items.values)], items.item_ids, items.values, "probe", scores.PROBE_UNIT)
    vectors = directions.fit_all(
        known.acts, items.benchmark, items.item_ids, method=method, values=items.values, seed=config.seed
    )
    return Probed(
        (*_cells(known, method, config), *_nested_rows(known, found, method, config)),
        scores.rows(real, items.groups, method=method, site="nested"),
        tuple(_picks(known, found, method)),
        vectors,
    )


def nested(known: Study, method: str, seed: int) -> directions.Nested:
    """Return held-out scores of the real and the shuffled labels, sites picked on inner folds column by column."""
    xs = known.acts.x.transpose(1, 0, 2)
    return directions.nested(xs, known.columns, known.keyed.groups, known.folds, method=method, seed=seed)


def _cells(known: Study, method: str, config: RunConfig) -> tuple[Agreement, ...]:
    """Held-out r of every site and value; all of them are one family, so p_family allows for looking everywhere."""
    k, sites = len(known.keyed.values), known.acts.sites
    real, null = [], []
    for site in sites:
        held = directions.held_out(
            known.acts.at(site), known.columns, known.keyed.groups, known.folds, method=method, seed=config.seed
        )
        by_draw = controls.unstack(held, k)
        real.append(by_draw[0])
        null.append(agreement.draws(by_draw[1:], known.shuffled, known.keyed.groups))
    return agreement.measure(
        np.concatenate(real, axis=1),
        np.tile(known.keyed.y, len(sites)),
        known.keyed.groups,
        [agreement.Null(REFITTED, np.concatenate(null, axis=1))],
        comparison="probe~label",
        values=known.keyed.values * len(sites),
        sites=[str(site) for site in sites for _ in range(k)],
        method=method,
        reliability=known.keyed.benchmark.reliability,
        seed=config.seed,
    )


def _nested_rows(known: Study, found: directions.Nested, method: str, config: RunConfig) -> tuple[Agreement, ...]:
    by_draw = controls.unstack(found.scores, len(known.keyed.values))
    null = agreement.draws(by_draw[1:], known.shuffled, known.keyed.groups)
    return agreement.measure(
        by_draw[0],
        known.keyed.y,
        known.keyed.groups,
        [agreement.Null(REFITTED, null)],
        comparison="probe~label",
        values=known.keyed.values,
        sites=["nested"] * len(known.keyed.values),
        method=method,
        reliability=known.keyed.benchmark.reliability,
        seed=config.seed,
    )


def of_probe(row: Agreement) -> bool:
    """Tell whether a row of the agreement table is made by `probe`; the others are made by `agree`."""
    return row.level == "item" and row.comparison in ("probe~label", TEXT)


def _text_rows(known: Study, config: RunConfig) -> tuple[Agreement, ...]:
    """The same labels from words alone, by ridge on the same folds: the baseline every probe must beat."""
    items = known.keyed.benchmark.pick(known.keyed.item_ids)
    x = controls.text_features([f"{item.title} {item.text} {item.response}" for item in items])
    k = len(known.keyed.values)
    held = directions.held_out(x, known.columns, known.keyed.groups, known.folds, method="ridge", seed=config.seed)
    by_draw = controls.unstack(held, k)
    null = agreement.draws(by_draw[1:], known.shuffled, known.keyed.groups)
    return agreement.measure(
        by_draw[0],
        known.keyed.y,
        known.keyed.groups,
        [agreement.Null(REFITTED, null)],
        comparison=TEXT,
        values=known.keyed.values,
        method="words",
        reliability=known.keyed.benchmark.reliability,
        seed=config.seed,
    )


def _picks(known: Study, found: directions.Nested, method: str) -> list[SitePick]:
    sites = known.acts.sites
    return [
        SitePick(method, value, fold, str(sites[chosen]) if (chosen := int(found.sites[fold, column])) >= 0 else "")
        for column, value in enumerate(known.keyed.values)
        for fold in range(len(known.folds))
    ]


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
