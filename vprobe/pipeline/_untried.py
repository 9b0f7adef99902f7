"""Rating prompts of queries a vector may be fitted on, and what is read where a model begins to answer them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import activations, benchmarks, controls, prompts, responses, scores
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.pipeline._read import Asked, ask, fitting
from vprobe.pipeline._study import Study
from vprobe.pipeline._trial import Tried
from vprobe.types import Benchmark, Prompt, Site

QUERIES = 40
"""Queries the direction of agreement is fitted on."""
POSITION = "last_prompt"
"""Where a prompt is read: the token the answer starts from."""


def untried(
    folder: Path, config: RunConfig, known: Study, found: Sequence[Benchmark], on: Tried, backend: Backend,
    *, queries: int = QUERIES,
) -> Asked:  # fmt: skip
    """Return rating prompts of the run's own items that no vector is tried on.

    Args:
        folder: The run, named in errors.
        config: Rating versions.
        known: The run's items.
        found: Benchmarks tried.
        on: What is tried, and which samples are not.
        backend: The model.
        queries: Most queries.

    Raises:
        InputError: The run's own items cannot be had here.
        ModelError: Nothing fits the model's context.
    """
    names = known.keyed.benchmark.name.split("+")
    own = [one for one in found if one.name in names] or [benchmarks.load(name) for name in names]
    here = {item.id: (item.text, item.response) for one in own for item in one.items}
    mine = known.keyed.benchmark.pick(tuple(known.keyed.item_ids[i] for i in on.train))
    kept = frozenset(item.id for item in mine if here.get(item.id) == (item.text, item.response))
    if not kept:
        raise InputError(
            "the run's own items are not those of the benchmark here", where=str(folder),
            do="name their folder with --data, and sweep the run's own benchmark",
        )  # fmt: skip
    versions = tuple(v for v in config.steer_versions if v == "all" or v in own[0].versions) or own[0].versions[:2]
    wanted = ask(own, versions, items=kept)
    first = set(list(dict.fromkeys(prompt.group for prompt in wanted))[:queries])
    return fitting(backend, tuple(one for one in wanted if one.group in first), config.too_long, "steer")


def read_at(
    backend: Backend, asked: Sequence[Prompt], site: Site, config: RunConfig
) -> Float[np.ndarray, "prompt d_model"]:
    """Return activations at one site at the token the answer to each prompt starts from.

    Args:
        backend: The model.
        asked: Prompts that fit its context.
        site: Where.
        config: Batch size.
    """
    tokens = [prompts.encode(backend.tokenizer, prompt) for prompt in asked]
    x = activations.read_all(backend, tokens, (site,), POSITION, batch_tokens=config.batch_tokens or None)
    return x[:, 0].astype(np.float64)


def acquiescence(backend: Backend, asked: Asked, site: Site, config: RunConfig) -> Float[np.ndarray, " d_model"]:
    """Return the direction in which activations go with high ratings, whatever is rated.

    Versions are averaged item by item, so that with both orders of the answers the direction is that of agreeing and
    not that of the first place in the list.

    Args:
        backend: The model.
        asked: Prompts of items no vector is tried on.
        site: Where.
        config: Batch size.
    """
    said = responses.collect(backend, asked.prompts, answers=asked.answers, batch_tokens=config.batch_tokens or None)
    ids = tuple(dict.fromkeys(prompt.item_id for prompt in asked.prompts))
    x = read_at(backend, asked.prompts, site, config)
    place = np.array([ids.index(prompt.item_id) for prompt in asked.prompts])
    mean = np.stack([x[place == i].mean(axis=0) for i in range(len(ids))])
    return controls.agreement_direction(mean, scores.rate(said, ids).expected)
