"""`steer ablate`: take each value's direction out, and see how much of what ratings owe to the value is gone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from vprobe import controls, directions, effects, responses, steering, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import RefusedError
from vprobe.pipeline._common import Stage, Tell, info, load_backend, load_benchmarks, quiet
from vprobe.pipeline._lookup import as_probed
from vprobe.pipeline._push import spread_of
from vprobe.pipeline._resumed import at_work
from vprobe.pipeline._steer import steered_values
from vprobe.pipeline._study import Study, study
from vprobe.pipeline._trial import Fit, Tried, from_file, site_of, tried
from vprobe.pipeline._under import Under, centred, under
from vprobe.steering import Given
from vprobe.types import AblationRow, Count, Direction, Site, SitePick, Steering

NULLS = ("isotropic", "random", "shuffled")
"""Null vectors that are drawn; other values' directions are a fourth kind."""
CONDITIONS = 8
"""Personas the items are asked under."""


@dataclass(frozen=True)
class Ways:
    """Directions of values at their sites, and null vectors beside them, all fitted on the same samples.

    Args:
        real: By value; values without a direction are not there.
        nulls: (kind, vector), at every site of `real`.
        counts: Values left out, and why.
    """

    real: dict[str, Direction]
    nulls: tuple[tuple[str, Direction], ...]
    counts: tuple[Count, ...]

    @property
    def sites(self) -> tuple[Site, ...]:
        """Sites of the directions."""
        return tuple(dict.fromkeys(one.site for one in self.real.values()))


def ablate(
    folder: Path, config: RunConfig, *, conditions: int = CONDITIONS, backend: Backend | None = None, tell: Tell = quiet
) -> Stage:
    """Rate held-out items under personas with each value's direction taken out, and with null vectors taken out.

    Directions are fitted without the queries that are rated. Each is taken out down to its mean over all that is rated,
    at the token an answer starts from, so that nothing but what personas and items differ in goes.

    Args:
        folder: A run with activations and directions.
        config: Model, values, versions, method, site, positions, null draws and seed.
        conditions: Personas.
        backend: A model already loaded.
        tell: Called with (stage, done, total).

    Raises:
        VprobeError: A run of another model, an unknown value or site, no value with a direction, or nothing that fits
            the model's context.
    """
    known = study(folder, as_probed(folder, config))
    found = load_benchmarks(config)
    backend = backend or load_backend(config, of=folder)
    items = tried(config, known, found, backend)
    with at_work(folder, "ablate", backend, config) as backend:
        ways = ways_of(folder, config, known, wanted_of(folder, config, known), items)
        there = under(backend, config, items, conditions, tuple(ways.real.values()))
        x = there.read(backend, ways.sites, config)
        every = [*(("target", one) for one in ways.real.values()), *ways.nulls]
        changes = [out(config, x[:, :, ways.sites.index(one.site)], one) for _, one in every]
        answered = responses.collect_arms(
            backend, there.asked.prompts, [(), *((one,) for one in changes)], answers=there.asked.answers,
            batch_tokens=config.batch_tokens or None, progress=partial(tell, "steer ablate"),
        )  # fmt: skip
        ratings = np.stack([there.rated(one) for one in answered])
        values = tuple(ways.real)
        told = effects.followed(
            centred(ratings), read_of(there, x, ways), there.items.labels_of(values), there.items.groups,
            seed=config.seed, spread=spread_of(found, values),
        )  # fmt: skip
        shifts = np.nanmean(ratings[1:] - ratings[0], axis=(1, 2))
        rows = _rows(config, every, told, shifts, len(there.names))
        counts = (*there.asked.counts, *ways.counts)
        store.save_rows(folder, "ablations", rows, AblationRow)
        more = (("conditions", list(there.names)),)
        store.save_info(folder, info("ablate", config, backend.info, found, counts, more), "ablate")
    facts = (
        ("values", ", ".join(values)),
        ("items", f"{told.n_items} under {len(there.names)} personas"),
        ("null vectors", f"{len(ways.nulls)}, and the other values' directions"),
        ("ratings follow what is read of", f"{sum(row.removed == row.removed for row in rows)} of {len(rows)} values"),
        ("gone with the direction, beyond null vectors", f"{sum(row.beyond for row in rows)} of {len(rows)} values"),
    )
    return Stage("steer ablate", folder, facts, counts)


def wanted_of(folder: Path, config: RunConfig, known: Study) -> tuple[str, ...]:
    """Return the values looked at: those asked for; for "all" the Schwartz values, or all there are where none is.

    Args:
        folder: A run with directions.
        config: Values asked for.
        known: What the run was probed for.
    """
    return steered_values(folder, config, known) or known.keyed.values


def read_of(there: Under, x: np.ndarray, ways: Ways) -> np.ndarray:
    """Return what is read of each value, less each item's mean over personas, in SDs over all of them."""
    read = np.moveaxis(there.projected(x, ways.sites, tuple(ways.real.values())), -1, 0)
    read = centred(read)
    spread = read.reshape(len(read), -1).std(axis=1)
    return np.moveaxis(read / np.where(spread > 0, spread, np.nan)[:, None, None], 0, -1)


def out(config: RunConfig, x: np.ndarray, one: Direction) -> Steering:
    """Return the change that takes a direction out, down to its mean over activations.

    Args:
        config: Tokens changed.
        x: Activations at its site.
        one: The direction.
    """
    middle = float((x.astype(np.float64) @ one.vector.astype(np.float64)).mean())
    return Steering(steering.load("project-out", Given(target=middle)), one, 1.0, config.steer_positions)


def ways_of(folder: Path, config: RunConfig, known: Study, values: Sequence[str], on: Tried) -> Ways:
    """Fit values' directions and null vectors without the queries that are rated.

    Args:
        folder: A probed run.
        config: Method, site where one was asked for, null draws and seed.
        known: Activations beside keyed items.
        values: Values wanted; one without a direction is left out and counted.
        on: Items tried, and the samples that may be fitted on.

    Raises:
        RefusedError: No value has a direction.
    """
    method = config.steer_method.replace("_", "-")
    picked = {p.value for p in store.load_rows(folder, "picks", SitePick) if p.method == method and p.site}
    chosen = bool(config.steer_site or config.steer_vector)
    at = {v: site_of(folder, config, v, on.held_out) for v in values if chosen or v in picked}
    real: dict[str, Direction] = {}
    nulls: list[tuple[str, Direction]] = []
    for site in dict.fromkeys(at.values()):
        mine = [value for value in at if at[value] == site]
        some, drawn = _at(folder, config, known, on, Site.parse(site), mine)
        real |= some
        nulls += drawn
    if not real:
        raise RefusedError(f"no value has a {method} direction", where=str(folder), do="see vprobe probe")
    lost = tuple(Count("steer", f"no {method} direction", value, 1, 1) for value in values if value not in real)
    return Ways({value: real[value] for value in values if value in real}, tuple(nulls), lost)


def _at(
    folder: Path, config: RunConfig, known: Study, on: Tried, site: Site, values: Sequence[str]
) -> tuple[dict[str, Direction], list[tuple[str, Direction]]]:
    fit, k, method, draws = (
        Fit(folder, config, known, on, site),
        len(known.keyed.values),
        config.steer_method,
        (config.null_draws),
    )
    copies = -(-draws // k)  # every copy of the labels gives a vector per value: all mean nothing, all are used
    mixed = controls.shuffle_labels(fit.y, fit.groups, draws=copies, seed=config.seed)
    fitted = directions.fit(fit.x, controls.stack(fit.y, mixed), fit.groups, method=method, seed=config.seed, block=k)
    column = {value: known.keyed.values.index(value) for value in values}
    if config.steer_vector:
        real = {value: from_file(folder, config, known, value, on) for value in values}
    else:
        usable = [value for value in values if np.isfinite(fitted[column[value]]).all()]
        real = {value: fit.direction(value, fitted[column[value]], method, called=method) for value in usable}
    if not real:
        return {}, []
    some = next(iter(real.values()))
    drawn = {
        "isotropic": controls.random_directions(fit.x.shape[1], draws=draws, seed=config.seed + 1),
        "random": controls.matched_directions(fit.x, fit.groups, draws=draws, seed=config.seed),
        "shuffled": fitted[k:][:draws],
    }
    return real, [
        (kind, dataclasses.replace(some, vector=vector.astype(np.float32), method=kind))
        for kind in NULLS
        for vector in drawn[kind]
        if np.isfinite(vector).all()
    ]


def _rows(
    config: RunConfig, every: Sequence[tuple[str, Direction]], told: effects.Followed, shifts: np.ndarray, n: int
) -> list[AblationRow]:
    gone, targets = effects.ablation(told), [one for kind, one in every if kind == "target"]
    out = []
    for v, way in enumerate(targets):
        beside = {kind: [i for i, (k, w) in enumerate(every) if k == kind and w.site == way.site] for kind in NULLS}
        beside["other"] = [i for i in range(len(targets)) if i != v]
        reach = {kind: effects.reach_of(gone.removed[found, v]) for kind, found in beside.items()}
        most = max((one for one in reach.values() if np.isfinite(one)), default=float("nan"))
        out.append(
            AblationRow(
                value=way.value, method=way.method, site=str(way.site), positions=config.steer_positions,
                share=float(told.share[v]), base=float(gone.base[v]), base_low=float(told.low[0, v]),
                base_high=float(told.high[0, v]), slope=float(gone.slope[v, v]), removed=float(gone.removed[v, v]),
                low=float(gone.low[v, v]), high=float(gone.high[v, v]), **reach, reach=most,
                beyond=bool(gone.low[v, v] > most), others=float(gone.others[v, v]),
                others_low=float(gone.others_low[v, v]), others_high=float(gone.others_high[v, v]),
                mean_shift=float(shifts[v]), n_null=min(len(beside[kind]) for kind in NULLS), n_conditions=n,
                n_items=told.n_items, n_unscored=told.n_unscored,
            )
        )  # fmt: skip
    return out
