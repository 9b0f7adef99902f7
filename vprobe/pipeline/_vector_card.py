"""`steer card`: all that a run shows of one steering vector, with the vector; nothing here asks a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vprobe import exports, report, store
from vprobe.config import RunConfig
from vprobe.pipeline import _vector_facts as facts
from vprobe.pipeline._common import Stage
from vprobe.pipeline._ladder import climb
from vprobe.pipeline._lookup import as_probed, direction
from vprobe.pipeline._read import Asked
from vprobe.pipeline._steer import steered_values
from vprobe.pipeline._study import Study, study
from vprobe.pipeline._trial import Tried, fit_vectors
from vprobe.pipeline._vector_causal import causal
from vprobe.pipeline._vector_parts import SPECS, part_of
from vprobe.types import DoseRow, RunInfo, VectorCard

FOLDER = "cards"
STEERED = ("steer", "matrix", "damage", "transfer", "solve")
"""Stages whose settings say which vector was measured, the first that was run before the others."""

NOT_KEPT = ("model", "device_map", "tp_plan", "remote")
"""The manifest keeps a model's name, not where it lies; how it is placed is each machine's own."""


def as_steered(folder: Path) -> RunConfig:
    """Return the settings the run's vectors were measured with; the defaults where nothing was steered yet.

    Args:
        folder: A run with directions.
    """
    done = store.stages(folder)
    made = next((stage for stage in STEERED if stage in done), "")
    if not made:
        return as_read(folder)
    config = RunConfig().changed(dict(store.load_info(folder, made).config))
    return config.changed(dict.fromkeys(NOT_KEPT, "") | {"device": "auto", "trust_remote_code": False})


def as_read(folder: Path) -> RunConfig:
    """Return the defaults of steering a run: its own benchmark, and a method it has directions of.

    Args:
        folder: A run with directions.
    """
    config, done = RunConfig(), store.stages(folder)
    methods = dict.fromkeys(one.method for one in store.load_directions(folder))
    if methods and config.steer_method not in methods:
        config = config.changed({"steer_method": next(iter(methods))})
    if "extract" in done:
        config = config.changed({"benchmark": dict(store.load_info(folder, "extract").config)["benchmark"]})
    return config


def card_values(folder: Path, config: RunConfig) -> tuple[str, ...]:
    """Return the values to write cards of: those asked for, or all that were steered, or the one best decoded.

    Args:
        folder: A run with directions.
        config: The values asked for, if any, and the method.
    """
    if not config.steer_value and store.has(folder, "steering"):
        return tuple(dict.fromkeys(row.value for row in store.load_rows(folder, "steering", DoseRow)))
    return steered_values(folder, config, study(folder, as_probed(folder, config)))


def vector_card(folder: Path, config: RunConfig, *, value: str) -> VectorCard:
    """Gather what a run shows of the vector of one value.

    The vector is the one the run's sweep measured: fitted without the queries it was tried on.

    Args:
        folder: A run with activations and directions.
        config: Method, site and tokens, see `as_steered`.
        value: Canonical or other accepted spelling.

    Raises:
        VprobeError: No directions, an unknown value or site.
    """
    name = direction(folder, value, site=config.steer_site, method=config.steer_method).value
    known = study(folder, as_probed(folder, config))
    vector = fit_vectors(
        folder, config, known, (name,), config.steer_method.replace("-", "_"), held_out(folder, known)
    )[name]
    parts = tuple(part_of(spec, folder, vector, config) for spec in SPECS)
    found = (
        *facts.provenance(folder, vector), *facts.units(vector, parts), *facts.nulls(parts), *facts.budget(parts),
        *facts.at_cost(parts), *causal(parts),
    )  # fmt: skip
    climbed = [one for run in climb([folder], method=vector.method) for one in run.climbs if one.value == name]
    rung, missing = (climbed[0].name, climbed[0].missing) if climbed else ("nothing shown", "no probe scores")
    info = store.load_info(folder, "extract" if "extract" in store.stages(folder) else "")
    return VectorCard(vector, info, _settings(folder), parts, found, rung, missing)


def write_cards(folder: Path, config: RunConfig, *, values: Sequence[str], out: Path | None = None) -> Stage:
    """Write the cards of some vectors, a folder each: `card.md`, `card.json`, figures and the vector.

    Args:
        folder: A run with activations and directions.
        config: Method, site and tokens.
        values: Values.
        out: Folder for the cards; `cards` in the run when None.

    Raises:
        VprobeError: Whatever `vector_card` refuses, or a place that cannot be written.
    """
    made = []
    lacking: dict[str, list[str]] = {}
    for value in values:
        card = vector_card(folder, config, value=value)
        place = (out or folder / FOLDER) / card.direction.value
        model = card.info.model
        exports.write(place / exports.VECTOR, [card.direction], strength=1.0, family=model.family if model else "")
        report.write_card(card, place, vector=exports.VECTOR)
        made.append(card)
        for part in card.parts:
            if part.missing:
                lacking.setdefault(card.direction.value, []).append(part.key)
    facts_ = [("cards", ", ".join(card.direction.value for card in made)), ("folder", out or folder / FOLDER)]
    facts_ += [(f"claim ladder, {card.direction.value}", card.rung) for card in made]
    facts_ += [(f"missing, {value}", ", ".join(keys)) for value, keys in lacking.items()]
    return Stage("steer card", folder, tuple(facts_))


def held_out(folder: Path, known: Study) -> Tried:
    """Return the samples the measured vector was fitted on: not those of fold 0 where the run's own items were tried.

    Args:
        folder: A run.
        known: Its items and folds.
    """
    own = set(known.keyed.benchmark.name.split("+"))
    tried = [store.load_info(folder, stage) for stage in STEERED[:2] if stage in store.stages(folder)]
    same = not tried or bool(own & {name for name, _ in tried[0].data})
    train = known.folds[0].train if same else np.arange(len(known.keyed.item_ids))
    return Tried(train, same, Asked((), (), ()), (), (), ())


def _settings(folder: Path) -> tuple[tuple[str, RunInfo], ...]:
    return tuple((stage, store.load_info(folder, stage)) for stage in store.stages(folder))
