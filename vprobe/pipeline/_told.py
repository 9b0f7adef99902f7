"""A model told something, or steered: the same items under every condition, what is read beside what it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import activations, prompts, responses, scores, stats, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.pipeline._common import Tell
from vprobe.pipeline._lookup import direction
from vprobe.pipeline._read import Asked, ask, fitting
from vprobe.types import Benchmark, ConditionRow, Direction, Item, Prompt, Response, Steering

POSITION = "last_prompt"
"""Where a condition is read: the token the answer starts from, which has seen system prompt and item."""


@dataclass(frozen=True)
class Told:
    """A condition made by a system prompt.

    Args:
        id: Its name.
        text: The system prompt.
        kind: "persona" or "prompt".
    """

    id: str
    text: str
    kind: str = "persona"


@dataclass(frozen=True)
class Arm:
    """A condition made by steering.

    Args:
        id: Its name.
        cluster: Arms with one vector.
        steering: What is added.
    """

    id: str
    cluster: str
    steering: tuple[Steering, ...]


def fitted(folder: Path, config: RunConfig, values: Sequence[str]) -> tuple[Direction, ...]:
    """Return the run's direction of every value that has one, by the method and at the site configured.

    Args:
        folder: A run with directions.
        config: Method and site.
        values: Canonical value names.
    """
    known = {one.value for one in store.load_directions(folder) if one.method == config.steer_method}
    return tuple(
        direction(folder, value, site=config.steer_site, method=config.steer_method)
        for value in values
        if value in known
    )


def wanted_of(found: Sequence[Benchmark], config: RunConfig) -> tuple[Prompt, ...]:
    """Return the rating prompts of the first queries, whole and in file order.

    Args:
        found: Benchmarks.
        config: Versions and number of queries.
    """
    asked = ask(found, config.steer_versions)
    kept = set(list(dict.fromkeys(prompt.group for prompt in asked))[: config.persona_limit or None])
    return tuple(prompt for prompt in asked if prompt.group in kept)


def enough(found: Sequence[Benchmark], config: RunConfig, values: Sequence[str]) -> None:
    """See, before anything is asked, that the labels of the queries asked can tell the values apart.

    Args:
        found: Benchmarks.
        config: Number of queries.
        values: Values that are read.

    Raises:
        InputError: Slopes of ratings on these labels would not exist, under no condition.
    """
    items = [item for one in found for item in one.items]
    kept = set(list(dict.fromkeys(item.group for item in items))[: config.persona_limit or None])
    asked = [item for item in items if item.group in kept]
    labels = np.array([[item.loading(value) for value in values] for item in asked]).reshape(len(asked), len(values))
    if np.isnan(partial_slopes(labels, np.zeros(len(asked)), _groups(asked))).all():
        raise InputError(
            f"{len(asked)} items of {len(kept)} queries do not tell {len(values)} values apart", where="--limit",
            expected=f"more than {2 * len(values)} items whose labels vary on their own",
            do="raise --limit (0 is all queries), or ask another --benchmark",
        )  # fmt: skip


def _groups(items: Sequence[Item]) -> tuple[str, ...]:
    """Return each item's query; one and the same for all where each query has one response: then items compare."""
    groups = tuple(item.group for item in items)
    return groups if len(set(groups)) < len(groups) else ("",) * len(groups)


def under(backend: Backend, chosen: Sequence[Told], found: Sequence[Benchmark], config: RunConfig) -> Asked:
    """Put every item under every system prompt; an item that does not fit under one is left out of all.

    Args:
        backend: The model.
        chosen: System prompts.
        found: Benchmarks.
        config: Versions, number of queries and what becomes of prompts that are too long.

    Raises:
        ModelError: Nothing fits the model's context.
    """
    wanted = wanted_of(found, config)
    asked = [prompts.with_system(prompt, one.text, name=one.id) for one in chosen for prompt in wanted]
    return fitting(backend, asked, config.too_long, "personas")


def told_rows(
    backend: Backend, asked: Asked, chosen: Sequence[Told], vectors: Sequence[Direction],
    found: Sequence[Benchmark], config: RunConfig, tell: Tell, instrument: str = "",
) -> list[ConditionRow]:  # fmt: skip
    """Ask and read everything once, then score condition by condition.

    Args:
        backend: The model.
        asked: From `under`.
        chosen: The system prompts.
        vectors: What is read.
        found: Benchmarks.
        config: Batch size.
        tell: Called with (stage, done, total).
        instrument: Name of what is asked, where it is not what the vectors were fitted on.
    """
    budget = config.batch_tokens or None
    answered = responses.collect(
        backend, asked.prompts, answers=asked.answers, batch_tokens=budget, progress=lambda a, b: tell("personas", a, b)
    )
    sites = tuple(dict.fromkeys(one.site for one in vectors))
    tokens = [prompts.encode(backend.tokenizer, prompt) for prompt in asked.prompts]
    x = activations.read_all(backend, tokens, sites, POSITION, batch_tokens=budget)
    rows: list[ConditionRow] = []
    for one in chosen:
        mine = [i for i, prompt in enumerate(asked.prompts) if prompt.id.endswith("@" + one.id)]
        seen = np.stack([x[mine, sites.index(way.site)] @ way.vector.astype(np.float64) for way in vectors], axis=1)
        at = Condition(one.id, one.kind, "", instrument)
        rows += _scored(at, [answered[i] for i in mine], seen, vectors, found)
    return rows


def arm_rows(
    backend: Backend, asked: Asked, arms: Sequence[Arm], vectors: Sequence[Direction], found: Sequence[Benchmark],
    config: RunConfig, tell: Tell, instrument: str = "",
) -> list[ConditionRow]:  # fmt: skip
    """Ask and read the same prompts under every steered arm.

    Args:
        backend: The model.
        asked: Prompts that fit.
        arms: What is added.
        vectors: What is read.
        found: Benchmarks.
        config: Batch size.
        tell: Called with (stage, done, total).
        instrument: As for `told_rows`.
    """
    budget = config.batch_tokens or None
    sites = tuple(dict.fromkeys(one.site for one in vectors))
    tokens = [prompts.encode(backend.tokenizer, prompt) for prompt in asked.prompts]
    rows: list[ConditionRow] = []
    for done, arm in enumerate(arms):
        answered = responses.collect(
            backend, asked.prompts, answers=asked.answers, batch_tokens=budget, steering=arm.steering
        )
        x = activations.read_all(backend, tokens, sites, POSITION, batch_tokens=budget, steering=arm.steering)
        seen = np.stack([x[:, sites.index(way.site)] @ way.vector.astype(np.float64) for way in vectors], axis=1)
        rows += _scored(Condition(arm.id, "steered", arm.cluster, instrument), answered, seen, vectors, found)
        tell("steered", done + 1, len(arms))
    return rows


@dataclass(frozen=True)
class Condition:
    """A condition's name, kind, cluster, and the instrument asked under it, as in `ConditionRow`."""

    id: str
    kind: str
    cluster: str
    instrument: str


def _scored(
    at: Condition, answered: Sequence[Response], seen: Float[np.ndarray, "prompt value"],
    vectors: Sequence[Direction], found: Sequence[Benchmark],
) -> list[ConditionRow]:  # fmt: skip
    """Return one condition's rows: projections averaged over prompts, slopes of ratings on labels, halves by query."""
    by_id = {item.id: item for one in found for item in one.items}
    items = tuple(dict.fromkeys(one.item_id for one in answered))
    rated = scores.rate(answered, items).expected
    return rows_of(
        at, [by_id[item] for item in items], rated, seen, [by_id[a.item_id].group for a in answered], vectors
    )


def rows_of(
    at: Condition, items: Sequence[Item], done: Float[np.ndarray, " item"], seen: Float[np.ndarray, "prompt value"],
    queries: Sequence[str], vectors: Sequence[Direction],
) -> list[ConditionRow]:  # fmt: skip
    """Return one condition's rows, value by value.

    Args:
        at: The condition.
        items: What the model was asked.
        done: What it did with each: a rating, or how likely it found the response.
        seen: Projections of every prompt on every vector.
        queries: The query of every prompt.
        vectors: What is read.
    """
    labels = np.array([[item.loading(one.value) for one in vectors] for item in items])
    groups, names = tuple(item.group for item in items), _groups(items)
    order = {name: i for i, name in enumerate(dict.fromkeys(groups))}
    odd = np.array([order[name] % 2 == 1 for name in groups])
    asked_odd = np.array([order[name] % 2 == 1 for name in queries])
    slopes = [partial_slopes(labels[part], done[part], [name for name, kept in zip(names, part) if kept])
              for part in (np.ones(len(odd), dtype=bool), ~odd, odd)]  # fmt: skip
    read = [seen[part].mean(axis=0) if part.any() else np.full(len(vectors), np.nan)
            for part in (np.ones(len(asked_odd), dtype=bool), ~asked_odd, asked_odd)]  # fmt: skip
    return [
        ConditionRow(
            at.id, way.value, float(read[0][c]), float(slopes[0][c]), len(items), way.method, str(way.site), at.kind,
            at.cluster, at.instrument, *(float(part[c]) for part in (*read[1:], *slopes[1:])),
        )
        for c, way in enumerate(vectors)
    ]  # fmt: skip


def partial_slopes(
    labels: Float[np.ndarray, "sample value"], ratings: Float[np.ndarray, " sample"], groups: stats.Groups
) -> Float[np.ndarray, " value"]:
    """Return rating points per unit of each label with the others held constant, within queries.

    Where each item is keyed to one value, labels add up to the same everywhere and slopes are known up to a common
    constant: then they are deviations from their mean.

    Args:
        labels: Signed labels; samples without all of them drop out.
        ratings: Rating points.
        groups: The query of each sample.

    Returns:
        Slopes; NaN where labels cannot be told apart or samples are too few.
    """
    known = np.isfinite(labels).all(axis=1) & np.isfinite(ratings)
    k, code = labels.shape[1], np.asarray(stats.codes(groups))[known]
    if not known.any():
        return np.full(k, np.nan)
    x, y = stats.centre(labels[known], code), stats.centre(ratings[known][:, None], code)
    slopes, _, rank, _ = np.linalg.lstsq(x, y, rcond=1e-8)
    alike = rank == k - 1 > 1 and np.abs(x.sum(axis=1)).max() <= 1e-8 * np.abs(x).max()
    return slopes[:, 0] if (rank == k or alike) and len(x) > 2 * rank else np.full(k, np.nan)
