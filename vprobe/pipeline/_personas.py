"""`personas`: the same items under many system prompts; does what is read move with what the model does?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vprobe import agreement, benchmarks, organism, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import DataError, InputError
from vprobe.pipeline._common import Stage, Tell, info, load_backend, load_benchmarks, model_path, quiet
from vprobe.pipeline._conditions import STEERED, conditions_of, over_conditions
from vprobe.pipeline._detail import TABLE
from vprobe.pipeline._lookup import as_probed, save_agreement
from vprobe.pipeline._resumed import at_work
from vprobe.pipeline._study import study
from vprobe.pipeline._told import Told, fitted, partial_slopes, told_rows, under
from vprobe.types import Agreement, ConditionRow

__all__ = ["partial_slopes", "personas", "renew", "settle", "speakers"]


def personas(folder: Path, config: RunConfig, *, backend: Backend | None = None, tell: Tell = quiet) -> Stage:
    """Read and ask the model under persona system prompts, and set what is read beside what it does.

    Read is the mean projection of the token an answer starts from on each value's direction, fitted on responses;
    behaviour is how ratings of the same items follow each value's labels with the other values' held constant.

    Args:
        folder: A run with directions.
        config: Personas, items, method, site, draws and seed.
        backend: A model already loaded.
        tell: Called with (stage, done, total).

    Raises:
        VprobeError: No personas are wanted, the run holds no directions, or nothing fits the model's context.
    """
    known = study(folder, as_probed(folder, config))
    found = load_benchmarks(config)
    backend = backend or load_backend(config, of=folder)
    vectors = fitted(folder, config, known.keyed.values)
    chosen = speakers(config)
    with at_work(folder, "personas", backend, config) as backend:
        asked = under(backend, chosen, found, config)
        rows = told_rows(backend, asked, chosen, vectors, found, config, tell)
        store.drop(folder, ("claims",))
        store.save_rows(folder, "conditions", rows, ConditionRow)
        made = settle(folder, rows, config)
        store.save_info(folder, info("personas", config, backend.info, found, asked.counts), "personas")
    facts = (
        ("personas", len(chosen)),
        ("items under each", len({p.item_id for p in asked.prompts})),
        ("site", str(vectors[0].site) if vectors else ""),
        ("mean r over conditions", made[-1].estimate if made else float("nan")),
    )
    return Stage("personas", folder, facts, asked.counts)


def renew(folder: Path, config: RunConfig) -> None:
    """Make the agreement over conditions again from the stored conditions; no model is asked.

    Args:
        folder: A run with conditions and directions.
        config: Method, site, draws and seed, as the conditions were made with.

    Raises:
        VprobeError: The run holds no conditions or directions.
    """
    settle(folder, store.load_rows(folder, "conditions", ConditionRow), config)


def speakers(config: RunConfig) -> tuple[Told, ...]:
    """Return the personas asked for: those of the model's truth card, which it understands, else our own for any model.

    Raises:
        InputError: More are wanted than there are, or too few for a correlation.
    """
    there = available(config)
    if not agreement.NEEDED_CONDITIONS <= config.personas <= len(there):
        raise InputError(
            f"{config.personas} personas", where="--personas", expected=f"{agreement.NEEDED_CONDITIONS} to {len(there)}"
        )
    return there[: config.personas]


def available(config: RunConfig) -> tuple[Told, ...]:
    """Return all personas there are for a model: those of its truth card, or our own.

    Args:
        config: The model's name.
    """
    try:
        return tuple(Told(one.id, one.text) for one in organism.read_card(Path(model_path(config.model))).speakers)
    except DataError:
        return tuple(Told(one.id, one.text) for one in benchmarks.personas())


def _agreement(rows: Sequence[ConditionRow], config: RunConfig) -> tuple[Agreement, ...]:
    """Return agreement over told conditions on what directions were fitted on: what claims rest on."""
    mine = [row for row in rows if row.kind != STEERED and not row.instrument]
    if len({row.condition for row in mine}) < agreement.NEEDED_CONDITIONS:
        return ()
    return conditions_of(mine, draws=config.claim_draws, seed=config.seed, method=config.steer_method)


def settle(folder: Path, rows: Sequence[ConditionRow], config: RunConfig) -> tuple[Agreement, ...]:
    """Store agreement over conditions anew, what claims rest on and what else is said of it; `across` starts anew.

    Args:
        folder: A run.
        rows: All its conditions.
        config: Method, draws and seed.
    """
    store.drop(folder, ("across",))
    made = _agreement(rows, config)
    save_agreement(folder, list(made), keep=lambda row: row.level != "condition")
    old = store.load_rows(folder, TABLE, Agreement) if store.has(folder, TABLE) else ()
    more = [*(row for row in old if row.level != "condition"), *over_conditions(rows, config)]
    store.save_rows(folder, TABLE, more, Agreement)
    return made
