"""`steer positions`: does steering act while the prompt is read or while the answer is given?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import effects, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.pipeline._ablate import wanted_of
from vprobe.pipeline._common import Stage, Tell, info, load_backend, load_benchmarks, quiet
from vprobe.pipeline._lookup import as_probed
from vprobe.pipeline._push import pushes_of, spread_of
from vprobe.pipeline._resumed import at_work
from vprobe.pipeline._study import study
from vprobe.pipeline._trial import Tried, Vectors, fit_vectors, rated, tried
from vprobe.types import PositionRow, Steering

ALL, OPTIONS = "all", "option_span"
PLACES = (ALL, "prompt", "last_prompt", "response", "after_prompt", OPTIONS)
"""Tokens that are changed in turn."""


def positions(folder: Path, config: RunConfig, *, backend: Backend | None = None, tell: Tell = quiet) -> Stage:
    """Steer every value at its outermost dose, either way, on some of the tokens at a time.

    Args:
        folder: A run with activations and directions.
        config: Model, values, strengths (their largest is the dose) and their unit, versions, method, operation, site
            and seed.
        backend: A model already loaded.
        tell: Called with (stage, done, total).

    Raises:
        VprobeError: A run of another model, an unknown value or site, no dose beside 0, or nothing that fits the
            model's context.
    """
    known = study(folder, as_probed(folder, config))
    values = wanted_of(folder, config, known)
    dose = max(map(abs, config.strengths), default=0.0)
    if not dose > 0:
        raise InputError("no dose beside 0", where="--strengths", expected="the largest dose to try")
    found = load_benchmarks(config)
    backend = backend or load_backend(config, of=folder)
    items = tried(config, known, found, backend)
    places = tuple(place for place in PLACES if place != OPTIONS or _listed(items))
    with at_work(folder, "positions", backend, config) as backend:
        vectors = fit_vectors(folder, config, known, values, config.steer_method.replace("-", "_"), items)
        pushes = pushes_of(folder, config, backend, vectors, samples=items.train)
        ends = {value: [*push.change(-dose), *push.change(dose)] for value, push in pushes.items()}
        arms = [(dataclasses.replace(one, positions=place),) for v in values for place in places for one in ends[v]]
        answered = rated(config, items, backend, arms, partial(tell, "steer positions"))
        ratings = np.stack([one.expected for one in answered]).reshape(len(values), len(places), 2, -1)
        slopes = (ratings[:, :, 1] - ratings[:, :, 0]) / (2 * dose)
        labels, spread = items.labels_of(known.keyed.values), spread_of(found, known.keyed.values)
        rows: list[PositionRow] = []
        for number, value in enumerate(values):
            own = effects.effect_matrix(
                slopes[number], labels, items.groups, kind="unique", seed=config.seed, spread=spread
            )
            column = known.keyed.values.index(value)
            shifts = np.nanmean(slopes[number], axis=1)
            rows += _rows(ends[value][1], dose, own, column, shifts, places, vectors, pushes[value].name)
        store.save_rows(folder, "positions", rows, PositionRow)
        store.save_info(folder, info("positions", config, backend.info, found, items.asked.counts), "positions")
    facts = (
        ("values", ", ".join(values)), ("positions", ", ".join(places)), ("dose", f"+-{dose:g}"),
        ("items", len(items.item_ids)),
    )  # fmt: skip
    return Stage("steer positions", folder, facts, tuple(items.asked.counts))


def _listed(items: Tried) -> bool:
    """Tell whether every prompt lists its options."""
    return all(any(span.name == "options" for span in one.prompt.spans) for one in items.asked.answers)


def _rows(
    change: Steering, dose: float, own: effects.Matrix, column: int, shifts: Float[np.ndarray, " place"],
    places: Sequence[str], vectors: Vectors, unit: str,
) -> list[PositionRow]:  # fmt: skip
    effect, low, high = own.effect[:, column], own.low[:, column], own.high[:, column]
    whole = places.index(ALL)
    there = low[whole] > 0 or high[whole] < 0
    out = []
    for n, place in enumerate(places):
        share, ends = float("nan"), np.array([np.nan, np.nan])
        if there:
            share = float(effect[n] / effect[whole])
            ends = np.nanquantile(own.draws[:, n, column] / own.draws[:, whole, column], (0.025, 0.975))
        out.append(
            PositionRow(
                change.direction.value, vectors[change.direction.value].method, change.operation.name, str(change.at),
                place, dose, float(effect[n]), float(low[n]), float(high[n]), share, float(ends[0]), float(ends[1]),
                float(shifts[n]), own.n_items, own.n_unscored, unit,
            )
        )  # fmt: skip
    return out
