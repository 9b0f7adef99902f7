"""`personas`: the same items under many system prompts; does what is read move with what the model does?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import activations, agreement, benchmarks, organism, prompts, responses, scores, stats, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import DataError, InputError
from vprobe.pipeline._common import Stage, Tell, info, load_backend, load_benchmarks, model_path, quiet
from vprobe.pipeline._lookup import as_probed, direction, save_agreement
from vprobe.pipeline._read import Asked, ask, fitting
from vprobe.pipeline._study import study
from vprobe.types import Agreement, Benchmark, ConditionRow, Direction, Prompt

POSITION = "last_prompt"
"""Where a condition is read: the token the answer starts from, which has seen system prompt and item."""


@dataclass(frozen=True)
class Persona:
    """One condition: its name and its system prompt."""

    id: str
    text: str


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
    backend = backend or load_backend(config)
    vectors = _directions(folder, config, known.keyed.values)
    chosen = speakers(config)
    wanted = _limited(ask(found, config.steer_versions), config.persona_limit)
    asked = fitting(backend, _under(chosen, wanted), config.too_long, "personas")
    with store.timed(folder, "personas", device=backend.device):
        rows = _rows(backend, asked, chosen, vectors, found, config, tell)
        store.drop(folder, ("claims",))
        store.save_rows(folder, "conditions", rows, ConditionRow)
        made = _agreement(rows, vectors, config)
        save_agreement(folder, list(made), keep=lambda row: row.level != "condition")
        store.save_info(folder, info("personas", config, backend.info, found, asked.counts), "personas")
    facts = (
        ("personas", len(chosen)),
        ("items under each", len({p.item_id for p in asked.prompts})),
        ("site", str(vectors[0].site) if vectors else ""),
        ("mean r over conditions", made[-1].estimate if made else float("nan")),
    )
    return Stage("personas", folder, facts, asked.counts)


def speakers(config: RunConfig) -> tuple[Persona, ...]:
    """Return the personas asked for: those of the model's truth card, which it understands, else our own for any model.

    Raises:
        InputError: More are wanted than there are, or too few for a correlation.
    """
    try:
        there = tuple(Persona(one.id, one.text) for one in organism.read_card(Path(model_path(config.model))).speakers)
    except DataError:
        there = tuple(Persona(one.id, one.text) for one in benchmarks.personas())
    if not agreement.NEEDED_CONDITIONS <= config.personas <= len(there):
        raise InputError(
            f"{config.personas} personas", where="personas", expected=f"{agreement.NEEDED_CONDITIONS} to {len(there)}"
        )
    return there[: config.personas]


def _directions(folder: Path, config: RunConfig, values: Sequence[str]) -> tuple[Direction, ...]:
    return tuple(
        direction(folder, value, site=config.steer_site, method=config.steer_method)
        for value in values
        if any(one.value == value and one.method == config.steer_method for one in store.load_directions(folder))
    )


def _limited(asked: Sequence[Prompt], limit: int) -> tuple[Prompt, ...]:
    kept = set(list(dict.fromkeys(prompt.group for prompt in asked))[: limit or None])
    return tuple(prompt for prompt in asked if prompt.group in kept)


def _under(chosen: Sequence[Persona], wanted: Sequence[Prompt]) -> tuple[Prompt, ...]:
    return tuple(prompts.with_system(prompt, one.text, name=one.id) for one in chosen for prompt in wanted)


def _rows(
    backend: Backend, asked: Asked, chosen: Sequence[Persona], vectors: Sequence[Direction],
    found: Sequence[Benchmark], config: RunConfig, tell: Tell,
) -> list[ConditionRow]:  # fmt: skip
    """Ask and read everything once, then score condition by condition."""
    budget = config.batch_tokens or None
    answered = responses.collect(
        backend, asked.prompts, answers=asked.answers, batch_tokens=budget, progress=lambda a, b: tell("personas", a, b)
    )
    sites = tuple(dict.fromkeys(one.site for one in vectors))
    tokens = [prompts.encode(backend.tokenizer, prompt) for prompt in asked.prompts]
    x = activations.read_all(backend, tokens, sites, POSITION, batch_tokens=budget)
    by_id = {item.id: item for one in found for item in one.items}
    values = tuple(one.value for one in vectors)
    rows: list[ConditionRow] = []
    for one in chosen:
        mine = [i for i, prompt in enumerate(asked.prompts) if prompt.id.endswith("@" + one.id)]
        items = tuple(dict.fromkeys(asked.prompts[i].item_id for i in mine))
        rated = scores.rate([answered[i] for i in mine], items).expected
        labels = np.array([[by_id[item].loading(value) for value in values] for item in items])
        slopes = partial_slopes(labels, rated, tuple(by_id[item].group for item in items))
        for column, way in enumerate(vectors):
            read = x[mine, sites.index(way.site)].astype(np.float64) @ way.vector.astype(np.float64)
            rows.append(
                ConditionRow(one.id, way.value, float(read.mean()), float(slopes[column]), len(items), way.method,
                             str(way.site))
            )  # fmt: skip
    return rows


def partial_slopes(
    labels: Float[np.ndarray, "sample value"], ratings: Float[np.ndarray, " sample"], groups: stats.Groups
) -> Float[np.ndarray, " value"]:
    """Return rating points per unit of each label with the others held constant, within queries.

    Args:
        labels: Signed labels; samples without all of them drop out.
        ratings: Rating points.
        groups: The query of each sample.

    Returns:
        Slopes; NaN where labels cannot be told apart or samples are too few.
    """
    known = np.isfinite(labels).all(axis=1) & np.isfinite(ratings)
    code = stats.codes(groups)[known]
    if not known.any():
        return np.full(labels.shape[1], np.nan)
    x, y = stats.centre(labels[known], code), stats.centre(ratings[known][:, None], code)
    slopes, _, rank, _ = np.linalg.lstsq(x, y, rcond=1e-8)
    return slopes[:, 0] if rank == labels.shape[1] and len(x) > 2 * rank else np.full(labels.shape[1], np.nan)


def _agreement(rows: Sequence[ConditionRow], vectors: Sequence[Direction], config: RunConfig) -> tuple[Agreement, ...]:
    names = tuple(dict.fromkeys(row.condition for row in rows))
    values = tuple(one.value for one in vectors)
    probe, behavior = (
        np.array([getattr(row, side) for row in rows]).reshape(len(names), len(values))
        for side in ("probe", "behavior")
    )
    sites = dict.fromkeys(str(one.site) for one in vectors)
    return agreement.conditions(
        probe, behavior, values=values, site=next(iter(sites)) if len(sites) == 1 else "picked",
        method=config.steer_method, draws=config.claim_draws, seed=config.seed,
    )  # fmt: skip
