"""`steer damage`: what every dose of a value's vector costs, and the largest dose inside the budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from vprobe import damage, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.damage import Dose
from vprobe.errors import InputError
from vprobe.pipeline._common import Stage, Tell, info, load_backend, quiet
from vprobe.pipeline._costs import Material, done, drift, material
from vprobe.pipeline._import import about
from vprobe.pipeline._lookup import as_probed
from vprobe.pipeline._push import push_of
from vprobe.pipeline._read import Asked
from vprobe.pipeline._resumed import at_work
from vprobe.pipeline._steer import steered_values
from vprobe.pipeline._study import Study, study
from vprobe.pipeline._trial import Tried, fit_vectors
from vprobe.types import DamageRow, Direction, Steering


@dataclass(frozen=True)
class _Planned:
    """One dose of one vector."""

    dose: Dose
    change: tuple[Steering, ...]


def steer_damage(folder: Path, config: RunConfig, *, backend: Backend | None = None, tell: Tell = quiet) -> Stage:
    """Measure what every dose of the values' vectors costs on texts and questions that have nothing to do with values.

    The vectors are those of a sweep over the run's own benchmark, fitted without the queries it is tried on.

    Args:
        folder: A run with activations and directions.
        config: Model, values, strengths, dose, method, site, positions, how much is asked, and seed.
        backend: A model already loaded.
        tell: Called with (stage, done, total).

    Raises:
        VprobeError: A run of another model, an unknown value or site, a dose that cannot be reached, or nothing that
            fits the model's context.
    """
    known = study(folder, as_probed(folder, config))
    values = steered_values(folder, config, known)
    if not any(config.strengths):
        raise InputError("no dose but 0", where="--strengths", expected="at least one other number")
    damage.target_of(config.dose)  # says what is wrong with it before a model is loaded
    told = about(config, values[0], store.load_info(folder).model)
    stage = "imported_damage" if config.steer_vector else "damage"
    backend = backend or load_backend(config, of=folder)
    with at_work(folder, stage, backend, config) as backend:
        what = material(backend, config)
        on = _held_out(known)
        vectors = fit_vectors(folder, config, known, values, config.steer_method.replace("-", "_"), on)
        planned = [one for value in values for one in _plan(folder, config, backend, vectors[value], on.train, what)]
        rows = _rows(backend, config, planned, what, tell)
        store.save_rows(folder, stage, rows, DamageRow)
        store.save_info(folder, info("damage", config, backend.info, (), what.counts, told), stage)
    return Stage("damage", folder, (*_facts(rows, what), *told), what.counts)


def _held_out(known: Study) -> Tried:
    """Return the samples a sweep over the run's own benchmark fits on; nothing of it is asked here."""
    return Tried(known.folds[0].train, True, Asked((), (), ()), (), (), ())


def _plan(
    folder: Path, config: RunConfig, backend: Backend, target: Direction, samples: np.ndarray, what: Material
) -> list[_Planned]:
    strengths = tuple(sorted({float(one) for one in config.strengths} - {0.0}))
    push = push_of(folder, config, backend, target, samples=samples, texts=what.texts)
    out = []
    for strength in strengths:
        change = push.how.change(target, push.dose(strength))
        out.append(
            _Planned(
                Dose(
                    target.value, target.method, str(change.at), change.positions, strength, change.coefficient,
                    push.name, push.how.operation.name,
                ),
                (change,),
            )
        )  # fmt: skip
    return out


def _rows(
    backend: Backend, config: RunConfig, planned: list[_Planned], what: Material, tell: Tell
) -> tuple[DamageRow, ...]:
    arms = [(), *(one.change for one in planned)]
    base, *moved = done(backend, what, arms, config, partial(tell, "damage: questions"))
    out = []
    for i, (one, steered) in enumerate(zip(planned, moved, strict=True), start=1):
        found = drift(backend, what.texts, one.change, config)
        out.append(damage.cost(one.dose, found, base, steered, seed=config.seed))
        tell("damage: texts", i, len(planned))
    return tuple(out)


def _facts(rows: tuple[DamageRow, ...], what: Material) -> tuple[tuple[str, object], ...]:
    facts: list[tuple[str, object]] = [
        ("neutral texts", f"{len(what.texts)} of {rows[0].n_tokens} tokens"),
        ("questions", rows[0].n_questions),
        ("requests", f"{len(what.harmless)} harmless, {len(what.harmful)} harmful-looking"),
        ("strength 1 is", rows[0].unit),
    ]
    for one in damage.within_budget(rows):
        side = "towards" if one.sign > 0 else "away from"
        dose = "none of those tried" if math.isnan(one.strength) else f"{one.strength:g}"
        loose = "" if math.isnan(one.without_ability) else f", {one.without_ability:g} leaving ability aside"
        why = f" (the next breaks: {one.broken})" if one.broken else ""
        facts.append((f"largest dose {side} {one.value} inside the budget", dose + loose + why))
    return tuple(facts)
