"""The prompt baseline: the value a vector steers for, asked for in words, on the same items and by the same measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import benchmarks, effects, organism, prompts, responses, scores, stats, store
from vprobe.backends import Backend
from vprobe.benchmarks import Ask
from vprobe.config import RunConfig
from vprobe.errors import InputError, ModelError
from vprobe.pipeline._costs import planted
from vprobe.pipeline._dosed import Dosed, change_rows, measured
from vprobe.pipeline._nulls import Trial
from vprobe.pipeline._read import Asked, fitting
from vprobe.pipeline._untried import read_at
from vprobe.types import ChangeRow, Count, DoseRow, Prompt, PromptRow, Response, Scores, Site

ARM = "prompted"
SYSTEM, PREFIX = "system prompt", "prefix"
LEAST_VALUES = 4
"""Values for a correlation of effects over values."""
REACH = 0.95


def asks_of(config: RunConfig) -> tuple[Ask, ...]:
    """Return the prompts a model is asked with: those a planted model understands, else our own for any model."""
    return organism.asks() if planted(config) else benchmarks.asks()


def asked_by(backend: Backend, prompt: Prompt) -> str:
    """Return how a model can be told something: "system prompt", or "prefix" where its chat template takes none."""
    try:
        prompts.encode(backend.tokenizer, prompts.with_system(prompt, "Answer.", name="try"))
    except InputError:
        return PREFIX
    return SYSTEM


def told(prompt: Prompt, ask: Ask, way: str) -> Prompt:
    """Put what a model is told in front of a prompt.

    Args:
        prompt: A rating prompt.
        ask: What it is told.
        way: "system prompt" or "prefix".
    """
    put = prompts.with_system if way == SYSTEM else prompts.with_prefix
    return put(prompt, ask.text, name=ask.id)


@dataclass(frozen=True)
class Answered:
    """What a model answered under one prompt; no answers where nothing fits its context."""

    ask: Ask
    said: tuple[Response, ...]
    counts: tuple[Count, ...]


def answered(backend: Backend, asked: Asked, ask: Ask, way: str, config: RunConfig) -> Answered:
    """Ask the same items under a prompt; items that do not fit with it in front are left out and counted.

    Args:
        backend: The model.
        asked: Rating prompts that fit without it.
        ask: What the model is told.
        way: How.
        config: Batch size.
    """
    try:
        fit = fitting(backend, [told(prompt, ask, way) for prompt in asked.prompts], "skip", ARM)
    except ModelError as error:
        n = len({prompt.item_id for prompt in asked.prompts})
        return Answered(ask, (), (Count(ARM, error.found, ask.id, n, n),))
    said = responses.collect(backend, fit.prompts, answers=fit.answers, batch_tokens=config.batch_tokens or None)
    return Answered(ask, said, tuple(replace(one, source=f"{one.source}, {ask.id}") for one in fit.counts))


@dataclass(frozen=True)
class Prompted:
    """The prompt baseline of one value: rows for the sweep, changes item by item, the comparison, what was left out."""

    rows: tuple[DoseRow, ...] = ()
    changes: tuple[ChangeRow, ...] = ()
    beside: tuple[PromptRow, ...] = ()
    counts: tuple[Count, ...] = ()


def prompted(
    config: RunConfig, trial: Trial, done: Dosed, backend: Backend, untried: Asked | None, draws: int
) -> Prompted:
    """Ask for the steered value in words, for and against, and set that beside what its vector does.

    Args:
        config: Model, batch size, seed.
        trial: The vector and the items.
        done: What the sweep of the vector found.
        backend: The model.
        untried: Rating prompts of queries that are not rated, to read the prompted direction from; no cosine when None.
        draws: Label shuffles behind each p.
    """
    value = trial.target.value
    mine = [ask for ask in asks_of(config) if ask.value == value]
    if not mine:
        left = Count(ARM, "no prompt asks for this value", value, 1, 1)
        return Prompted(counts=(left,))
    way = asked_by(backend, trial.on.asked.prompts[0])
    found = [answered(backend, trial.on.asked, ask, way, config) for ask in mine]
    counts = tuple(count for one in found for count in one.counts)
    rows, changes = [], list(done.changes)
    for one in found:
        if not one.said:
            continue
        draw = [other.ask.id for other in found if other.ask.sign == one.ask.sign].index(one.ask.id)
        rated = scores.rate(one.said, trial.on.item_ids)
        moved = rated.expected - done.base
        row = replace(
            done.rows[0], arm=ARM, draw=draw, strength=float(one.ask.sign), coefficient=math.nan, site="",
            positions="", option_mass=rated.option_mass, operation="prompt", unit=way, of=one.ask.id,
        )  # fmt: skip
        rows.append(measured(row, moved, trial, config.seed, draws))
        changes += change_rows(trial, ARM, draw, float(one.ask.sign), moved)
    if not rows:
        return Prompted(counts=counts)
    cosine = _cosines(backend, untried, mine, way, trial, config) if untried else (math.nan, math.nan)
    beside = compare(_start(value, way, *cosine), changes, config.seed)
    return Prompted(tuple(rows), tuple(changes), (beside,), counts)


def _start(value: str, way: str, cosine: float, null: float) -> PromptRow:
    """Return a comparison of which only what the model alone can tell is known."""
    nothing = math.nan
    return PromptRow(
        value=value, asked_by=way, n_prompts=0, strength=nothing, effect=nothing, low=nothing, high=nothing,
        mean_shift=nothing, vector_effect=nothing, vector_low=nothing, vector_high=nothing, r=nothing, r_low=nothing,
        r_high=nothing, cosine=cosine, cosine_null=null, n_items=0, n_unscored=0,
    )  # fmt: skip


def told_vector(
    backend: Backend, asked: Asked, ask: Ask, way: str, site: Site, config: RunConfig, base: np.ndarray
) -> Float[np.ndarray, " d_model"] | None:
    """Return how a prompt moves the activations an answer starts from, mean over items; None where nothing fits.

    Args:
        backend: The model.
        asked: Rating prompts.
        ask: What the model is told.
        way: How.
        site: Where it is read.
        config: Batch size.
        base: Activations without it, prompt by prompt.
    """
    try:
        fit = fitting(backend, [told(prompt, ask, way) for prompt in asked.prompts], "skip", ARM)
    except ModelError:
        return None
    place = {f"{prompt.id}@{ask.id}": n for n, prompt in enumerate(asked.prompts)}
    x = read_at(backend, fit.prompts, site, config)
    return (x - base[[place[prompt.id] for prompt in fit.prompts]]).mean(axis=0)


def _cosines(
    backend: Backend, untried: Asked, asks: Sequence[Ask], way: str, trial: Trial, config: RunConfig
) -> tuple[float, float]:
    """Return the cosine of a vector with the direction from prompts against to prompts for its value, and its null."""
    site = trial.target.site
    base = read_at(backend, untried.prompts, site, config)
    found = [(ask.sign, told_vector(backend, untried, ask, way, site, config, base)) for ask in asks]
    sides = [[v for sign, v in found if sign == side and v is not None] for side in (1, -1)]
    if not all(sides):
        return math.nan, math.nan
    way_there = np.mean(sides[0], axis=0) - np.mean(sides[1], axis=0)
    size = float(np.linalg.norm(way_there))
    if size == 0:
        return math.nan, math.nan
    null = np.abs(trial.matched @ way_there) / size
    return float(trial.target.vector.astype(np.float64) @ way_there) / size, float(np.nanquantile(null, REACH))


def compare(start: PromptRow, changes: Sequence[ChangeRow], seed: int) -> PromptRow:
    """Set the prompts of one value beside its vector, on the items both were tried on.

    Args:
        start: Value, way of asking and cosines.
        changes: Changes of the value's items under both.
        seed: Seed of the bootstrap.
    """
    mine = [row for row in changes if row.value == start.value]
    groups = {row.item_id: row.group for row in mine}
    labels = {row.item_id: row.label for row in mine}
    items = tuple(groups)
    by_prompt, by_vector = (moves_of([row for row in mine if row.arm == arm], items)[0] for arm in (ARM, "steered"))
    both = np.isfinite(by_prompt) & np.isfinite(by_vector)
    shift = np.array([row.change for row in mine if row.arm == ARM])
    names = tuple(groups[item] for item in items)
    keys = Scores(np.array([[labels[item]] for item in items]), items, (start.value,), "label", "label")
    told_by, vector = (
        scores.profile(np.where(both, one, np.nan), keys, names, seed=seed)[0] for one in (by_prompt, by_vector)
    )
    r = effects.within_queries(by_prompt, by_vector, names, seed=seed)
    return replace(
        start, n_prompts=len({(row.draw, row.strength) for row in mine if row.arm == ARM}),
        strength=max((abs(row.strength) for row in mine if row.arm == "steered"), default=math.nan),
        effect=told_by.estimate, low=told_by.low, high=told_by.high,
        mean_shift=float(shift.mean()) if len(shift) else math.nan, vector_effect=vector.estimate,
        vector_low=vector.low, vector_high=vector.high, r=r.estimate, r_low=r.low, r_high=r.high,
        n_items=told_by.n_items, n_unscored=told_by.n_unscored,
    )  # fmt: skip


def moves_of(
    rows: Sequence[ChangeRow], items: Sequence[str], versions: Sequence[str] = ("",)
) -> Float[np.ndarray, "version item"]:
    """Return each item's mean change in the direction of the dose, wording by wording.

    Every dose and every prompt of an arm must have been tried on an item; else it has none (NaN).

    Args:
        rows: Changes of one arm.
        items: Items wanted.
        versions: Wordings wanted.
    """
    arms = list(dict.fromkeys((row.draw, row.strength) for row in rows))
    table = np.full((len(arms), len(versions), len(items)), np.nan)
    place, wording = {item: i for i, item in enumerate(items)}, {name: i for i, name in enumerate(versions)}
    for row in rows:
        if row.version in wording and row.item_id in place:
            at = (arms.index((row.draw, row.strength)), wording[row.version], place[row.item_id])
            table[at] = row.change * np.sign(row.strength)
    return table.mean(axis=0) if len(arms) else np.full(table.shape[1:], np.nan)


def over_values(rows: Sequence[PromptRow]) -> tuple[PromptRow, ...]:
    """Return the comparison over values, where there are enough: do prompts and vectors move the same values most.

    Args:
        rows: One per value.
    """
    if len(rows) < LEAST_VALUES:
        return ()
    a, b = np.array([row.effect for row in rows]), np.array([row.vector_effect for row in rows])
    nothing = math.nan
    return (
        PromptRow(
            "all", rows[0].asked_by, sum(row.n_prompts for row in rows), max(row.strength for row in rows),
            float(np.nanmean(a)), nothing, nothing, float(np.mean([row.mean_shift for row in rows])),
            float(np.nanmean(b)), nothing, nothing, stats.pearson(a, b), nothing, nothing,
            float(np.mean([row.cosine for row in rows])), nothing, len(rows), 0,
        ),
    )  # fmt: skip


def renew(folder: Path, seed: int) -> None:
    """Make the comparison with prompts again from the stored changes; cosines need the model and are kept.

    Args:
        folder: A run with a sweep.
        seed: Seed of the bootstrap.
    """
    if not store.has(folder, "prompted_items"):
        return
    changes = store.load_rows(folder, "prompted_items", ChangeRow)
    old = [row for row in store.load_rows(folder, "prompted", PromptRow) if row.value != "all"]
    rows = [compare(row, changes, seed) for row in old]
    store.save_rows(folder, "prompted", (*rows, *over_values(rows)), PromptRow)
