"""`probe`: a direction per value and site, and held-out scores set against what shuffled labels give."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import agreement, controls, directions, registry, scores, splits, stats, store
from vprobe.config import RunConfig
from vprobe.errors import RefusedError
from vprobe.pipeline._common import Stage, Tell, chosen_values, info, quiet
from vprobe.pipeline._lookup import save_agreement
from vprobe.types import (
    Activations,
    Agreement,
    Benchmark,
    Direction,
    Fold,
    MapPoint,
    ScoreRow,
    Scores,
    SiteNorm,
    SitePick,
)
from vprobe.values import SCHWARTZ

REFITTED = "label rows shuffled jointly, probes refitted"


@dataclass(frozen=True)
class Keyed:
    """Items with the labels and queries every comparison needs, aligned by row."""

    benchmark: Benchmark
    item_ids: tuple[str, ...]
    groups: tuple[str, ...]
    values: tuple[str, ...]
    y: Float[np.ndarray, "sample value"]


@dataclass(frozen=True)
class Study:
    """What a probing study rests on: activations beside keyed items, folds by query, label rows shuffled jointly."""

    keyed: Keyed
    acts: Activations
    folds: tuple[Fold, ...]
    shuffled: Float[np.ndarray, "draw sample value"]

    @property
    def columns(self) -> Float[np.ndarray, "sample column"]:
        """Real labels, then every shuffled copy, as one set of columns."""
        return controls.stack(self.keyed.y, self.shuffled)


def keyed(folder: Path, item_ids: tuple[str, ...], names: Sequence[str]) -> Keyed:
    """Look up labels and queries of items of a run.

    Raises:
        InputError: A name that is no value and no family, or no value the benchmark knows.
    """
    benchmark = store.load_items(folder)
    values = chosen_values(names, benchmark.values)
    return Keyed(benchmark, item_ids, benchmark.groups(item_ids), values, benchmark.loadings(item_ids, values))


def study(folder: Path, config: RunConfig) -> Study:
    """Open what a run recorded, with labels, folds by query, and label rows shuffled jointly.

    Raises:
        StoreError: The run has no finished activations.
        InputError: Unknown values, or fewer queries than folds.
    """
    at = store.recording(folder)
    wanted = config.positions[0]
    acts = store.load_activations(folder, wanted if wanted in at.positions else at.positions[0])
    known = keyed(folder, tuple(sample.item_id for sample in store.load_samples(folder)), config.values)
    folds = splits.by_group(known.groups, k=config.folds, seed=config.seed)
    shuffled = controls.shuffle_labels(known.y, known.groups, draws=config.draws, seed=config.seed)
    return Study(known, acts, folds, shuffled)


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
    norms = {row.site: row.norm for row in store.load_rows(folder, "norms", SiteNorm)}
    rows: list[Agreement] = []
    kept: list[ScoreRow] = []
    picks: list[SitePick] = []
    fitted: list[Direction] = []
    with store.timed(folder, "probe"):
        for number, method in enumerate(config.method):
            tell("probe", number, len(config.method))
            found = nested(known, method, config.seed)
            rows += [*_cells(known, method, config), *_nested_rows(known, found, method, config)]
            real = Scores(
                found.scores[:, : len(known.keyed.values)],
                known.keyed.item_ids,
                known.keyed.values,
                "probe",
                scores.PROBE_UNIT,
            )
            kept += scores.rows(real, known.keyed.groups, method=method, site="nested")
            picks += _picks(known, found, method)
            vectors = directions.fit_all(
                known.acts,
                known.keyed.benchmark,
                known.keyed.item_ids,
                method=method,
                values=known.keyed.values,
                seed=config.seed,
            )
            fitted += [dataclasses.replace(one, unit=norms.get(str(one.site), math.nan)) for one in vectors]
        tell("probe", len(config.method), len(config.method))
        labels = Scores(
            known.keyed.y, known.keyed.item_ids, known.keyed.values, "label", "correlation over raters, or key"
        )
        kept += scores.rows(labels, known.keyed.groups)
        store.save_directions(folder, fitted)
        store.save_rows(folder, "scores", kept, ScoreRow)
        store.save_rows(folder, "picks", picks, SitePick)
        store.save_rows(folder, "map", _map(known, picks, config.seed), MapPoint)
        save_agreement(folder, rows, keep=lambda row: row.comparison != "probe~label" or row.level != "item")
        store.save_info(folder, info(config, None, ()), "probe")
    asked, made = len(config.method) * len(known.keyed.values) * len(known.acts.sites), len(fitted)
    facts = (
        ("items", len(known.keyed.item_ids)),
        ("queries", len(set(known.keyed.groups))),
        ("directions", f"{made} of {asked}"),
        ("position", known.acts.position),
        ("null draws", config.draws),
    )
    return Stage("probe", folder, facts)


def nested(known: Study, method: str, seed: int) -> directions.Nested:
    """Return held-out scores of the real labels and of every shuffled copy, sites picked on inner folds column by column."""
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
