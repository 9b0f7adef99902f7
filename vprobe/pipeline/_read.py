"""The stage that asks a model for its ratings, and what other stages that ask it share with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vprobe import activations, generation, prompts, responses, scores, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError, ModelError, StoreError
from vprobe.pipeline._common import Stage, Tell, info, join, load_backend, load_benchmarks, partly, quiet, shared
from vprobe.pipeline._resumed import resumed
from vprobe.pipeline._scales import Generated, generated, scales
from vprobe.pipeline._truth import untrue
from vprobe.ranks import ALONE, Rank
from vprobe.types import Answers, Benchmark, Count, Prompt, Response, ScaleRow

UNPARSED = "prompts whose greedy answer held no label; their log-prob ratings stand"
OWN_WORDS = (
    "the options get hardly any of the model's probability; --generation and vprobe steer said take its own words"
)
"""What `rate` says of a model that does not consider the options it is given."""


@dataclass(frozen=True)
class Asked:
    """Rating prompts that fit a model, whole items only, and what was left out."""

    prompts: tuple[Prompt, ...]
    answers: tuple[Answers, ...]
    counts: tuple[Count, ...]


def rate(config: RunConfig, *, backend: Backend | None = None, tell: Tell = quiet, rank: Rank = ALONE) -> Stage:
    """Ask the model to rate every item in every version; an item is asked only where all its versions fit.

    Of several ranks each asks a part; the one that finds all answered finishes the stage.

    Args:
        config: What to ask, see `RunConfig`.
        backend: A model already loaded; loaded from the configuration when None.
        tell: Called with (stage, done, total).
        rank: Which of several processes this is.

    Raises:
        VprobeError: Bad input, nothing fits the model's context, or the folder belongs to another run.
    """
    folder = Path(config.out)
    found = load_benchmarks(config)
    wanted = ask(found, config.versions)
    if config.generation:
        for one in found:
            generation.ask(one)  # says what has no responses to compare before anything is asked
    backend = backend or load_backend(config, rank, of=folder)
    asked = fitting(backend, wanted, config.too_long, "rate")
    same_items(folder, found)
    old = store.load_rows(folder, "responses", Response) if store.has(folder, "responses") else ()
    same_ratings(folder, old, asked.prompts, greedy=config.greedy)
    if rank.alone:
        with store.timed(folder, "rate", device=backend.device):
            return _rated(config, backend, found, asked, _said(config, backend, found, asked, tell, rank), old, tell)
    there = old and not store.differing(folder, info("rate", config, backend.info, found), "rate")
    said = old if there else _said(config, backend, found, asked, tell, rank)
    if len(said) == len(asked.prompts):
        with store.closing(folder) as mine:
            if mine:
                with store.timed(folder, "rate", device=backend.device):
                    return _rated(config, backend, found, asked, said, old, tell)
    return partly("rate", folder, rank)


def _said(
    config: RunConfig, backend: Backend, found: Sequence[Benchmark], asked: Asked, tell: Tell, rank: Rank
) -> tuple[Response, ...]:
    return responses.collect(
        backend,
        asked.prompts,
        answers=asked.answers,
        greedy=config.greedy,
        temperature=config.temperature,
        stop=config.stop,
        seed=config.seed,
        folder=Path(config.out),
        batch_tokens=config.batch_tokens or None,
        progress=partial(tell, "rate"),
        rank=rank,
        shared=shared(config, "rate", found),
    )


def _rated(
    config: RunConfig,
    backend: Backend,
    found: Sequence[Benchmark],
    asked: Asked,
    said: tuple[Response, ...],
    old: Sequence[Response],
    tell: Tell,
) -> Stage:
    """Score the answers and write everything that belongs to the stage."""
    folder = Path(config.out)
    more = Generated((), (), ())
    if config.generation:
        with resumed(folder, "generation", backend, config) as asks:
            more = generated(found, asks, config, tell=tell)
    counts = (*asked.counts, *(_unparsed(said) if config.greedy else ()), *more.counts)
    if not store.has(folder, "items"):
        store.save_items(folder, join(found))
    store.save_info(folder, info("rate", config, backend.info, found, counts), "rate")
    if old and said != old:
        store.drop(folder, ("agree", "across", "steer", "matrix", "solve", "personas", "shift", "claims", "truth"))
    store.save_responses(folder, said)
    scored = scales(
        found, said, respondent=backend.info.name, folder=Path(config.data) if config.data else None,
        correct_order=config.correct_order,
    )  # fmt: skip
    store.save_rows(folder, "scales", (*scored, *more.scales), ScaleRow)
    store.drop(folder, ("generation",))
    if more.rows:
        store.save_rows(folder, "generation", more.rows)
    facts = _rate_facts(backend, asked.prompts, said, (*scored, *more.scales))
    return Stage("rate", folder, (*facts, *untrue(config, backend.info)), counts)


def _rate_facts(
    backend: Backend, asked: Sequence[Prompt], said: Sequence[Response], scored: Sequence[ScaleRow]
) -> tuple[tuple[str, Any], ...]:
    """Return what is worth printing: how much was asked, and how far the two read-outs and the two orders agree."""
    mass = [a.option_mass for a in said if a.logprobs is not None]
    behavior = scores.rate([a for a in said if a.ratings], tuple(dict.fromkeys(a.item_id for a in said if a.ratings)))
    points = (
        ("order effect (reversed less forward), points", behavior.order_effect),
        ("probabilities against words: r over items", behavior.greedy_r),
        ("probabilities against words: mean difference, points", behavior.greedy_mad),
    )
    named = any(row.kind == "choice" for row in scored)  # options are names: their numbers are no points to average
    return (
        ("model", backend.info.name),
        ("prompts", len(said)),
        ("items", len({a.item_id for a in said})),
        ("by source", by_source(tuple({prompt.item_id: prompt for prompt in asked}.values()))),
        ("mean option mass", mean_mass := sum(mass) / len(mass) if mass else math.nan),
        *([("ratings say little", OWN_WORDS)] if mean_mass < scores.LITTLE_MASS else []),
        *(() if named else points),
        ("scale scores", f"{sum(math.isfinite(row.estimate) for row in scored)} of {len(scored)}"),
        *([("shared beginnings", f"not used: {backend.unshared_options}")] if backend.unshared_options else []),
        *eased(backend),
    )


def eased(backend: Backend) -> tuple[tuple[str, int], ...]:
    """Return as a fact how often a forward was divided because memory ran out; nothing where it never was."""
    return (("forwards divided as memory ran out, nothing lost", backend.halved),) if backend.halved else ()


def ask(
    found: Sequence[Benchmark], versions: Sequence[str], *, items: frozenset[str] | None = None
) -> tuple[Prompt, ...]:
    """Render rating prompts, item by item, all versions of an item together.

    Args:
        found: Benchmarks.
        versions: Version names, or "all".
        items: Only these items; all when None.

    Raises:
        InputError: A version the benchmark does not have; the nearest is named.
    """
    out: list[Prompt] = []
    for one in found:
        names = one.versions if "all" in versions else tuple(versions)
        if not names:
            raise InputError(f"{one.name} has no rating versions", where="--versions")
        rendered = [prompts.render(one, template=name) for name in names]
        out += [prompt for together in zip(*rendered, strict=True) for prompt in together]
    return tuple(prompt for prompt in out if items is None or prompt.item_id in items)


def fitting(backend: Backend, wanted: Sequence[Prompt], policy: str, stage: str) -> Asked:
    """Keep the items whose every version fits the model's context, so that all are averaged over the same versions.

    Args:
        backend: The model.
        wanted: Rating prompts.
        policy: "skip" or "error".
        stage: Named in the counts.

    Raises:
        InputError: Policy "error" and a prompt is too long.
        ModelError: Nothing fits.
    """
    answers = [prompts.encode_answers(backend.tokenizer, prompt) for prompt in wanted]
    fit = activations.fits(wanted, answers, backend.info.context, policy=policy, stage=stage)
    fits = set(fit.kept)
    out = {prompt.item_id for i, prompt in enumerate(wanted) if i not in fits}
    kept = [i for i, prompt in enumerate(wanted) if prompt.item_id not in out]
    if not kept:
        raise ModelError(
            f"no item fits the model's context of {backend.info.context} tokens in all versions asked", where=stage,
            do="ask fewer --versions, or choose a model with a longer context",
        )  # fmt: skip
    reason = f"a version is longer than the model's context of {backend.info.context} tokens"
    source = {prompt.item_id: prompt.source for prompt in wanted}
    totals = {name: sum(1 for s in source.values() if s == name) for name in dict.fromkeys(source.values())}
    counts = tuple(
        Count(stage, reason, name, n, of)
        for name, of in totals.items()
        if (n := sum(1 for item in out if source[item] == name))
    )
    return Asked(tuple(wanted[i] for i in kept), tuple(answers[i] for i in kept), counts)


def same_items(folder: Path, found: Sequence[Benchmark]) -> None:
    """Refuse to mix two sets of items in one run.

    Raises:
        StoreError: The run holds other items.
    """
    if not store.has(folder, "items"):
        return
    held, wanted = store.load_items(folder), join(found)
    if [item.id for item in held.items] != [item.id for item in wanted.items]:
        raise StoreError(
            f"this run holds {len(held.items)} items of {held.name}, not {len(wanted.items)} of {wanted.name}",
            where=str(folder),
            expected="one set of items per run folder",
            do="repeat --benchmark and --limit as they were, or give another --out folder",
        )


def same_ratings(folder: Path, old: Sequence[Response], asked: Sequence[Prompt], *, greedy: bool) -> None:
    """Refuse to replace ratings by ratings of something else.

    Raises:
        StoreError: The run holds ratings of other prompts, or greedy answers that would be lost or are missing.
    """
    if not old:
        return
    rated = [a for a in old if a.ratings]
    other = bool(rated) and any(a.text is not None for a in rated) != greedy
    if other or {a.prompt_id for a in old} != {p.id for p in asked}:
        raise StoreError(
            f"this run holds {len(old)} ratings of other settings; nothing was deleted",
            where=str(folder),
            expected="the same --versions, --greedy and --too-long as before",
            do="repeat them, or give another --out folder",
        )


def by_source(asked: Sequence[Prompt]) -> str:
    """Say how many prompts come from each source, in words."""
    names = dict.fromkeys(prompt.source for prompt in asked)
    return ", ".join(f"{name} {sum(1 for p in asked if p.source == name)}" for name in names)


def _unparsed(answered: Sequence[Response]) -> tuple[Count, ...]:
    """Count answers in words that held no rating."""
    out: list[Count] = []
    for source in dict.fromkeys(a.source for a in answered):
        mine = [a for a in answered if a.source == source]
        n = sum(1 for a in mine if a.ratings and a.text is not None and a.rating is None)
        if n:
            out.append(Count("rate", UNPARSED, source, n, len(mine)))
    return tuple(out)
