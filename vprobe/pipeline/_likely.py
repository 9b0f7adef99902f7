"""A model told something: how likely it finds each response to a query, under every condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from vprobe import activations, generation, prompts
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import ModelError
from vprobe.pipeline._common import Tell
from vprobe.pipeline._conditions import SAID
from vprobe.pipeline._told import POSITION, Condition, Told, rows_of
from vprobe.types import Benchmark, ConditionRow, Count, Direction, Prompt


@dataclass(frozen=True)
class Likely:
    """Rows of the table `conditions`, and the queries left out."""

    rows: tuple[ConditionRow, ...]
    counts: tuple[Count, ...]


def likely_rows(
    backend: Backend, chosen: Sequence[Told], vectors: Sequence[Direction], found: Sequence[Benchmark],
    config: RunConfig, tell: Tell,
) -> Likely:  # fmt: skip
    """Put every query under every system prompt, and see how likely each response is as the model's own turn.

    Behaviour is how log-probabilities per token, standardised within each query, follow a value's labels with the
    others' held constant. What is read is the token the model's own turn starts from. A query that does not fit under
    one system prompt is left out of all.

    Args:
        backend: The model.
        chosen: The system prompts.
        vectors: What is read.
        found: Benchmarks whose queries have several responses.
        config: Number of queries, what becomes of prompts that are too long, and batch size.
        tell: Called with (stage, done, total).

    Raises:
        InputError: A query with fewer than two responses, or a prompt too long where that is refused.
        ModelError: No query fits the model's context.
    """
    rows: list[ConditionRow] = []
    counts: list[Count] = []
    for one in found:
        plain = generation.ask(one)[: config.persona_limit or None]
        asked = [prompts.with_system(prompt, told.text, name=told.id) for told in chosen for prompt in plain]
        encoded = [prompts.encode_answers(backend.tokenizer, prompt) for prompt in asked]
        fit = activations.fits(asked, encoded, backend.info.context, policy=config.too_long, stage=SAID)
        out = {asked[i].group for i in set(range(len(asked))) - set(fit.kept)}
        kept = [i for i, prompt in enumerate(asked) if prompt.group not in out]
        if not kept:
            raise ModelError(
                f"no query fits the model's context of {backend.info.context} tokens under all system prompts",
                where=SAID, do="shorten them, or choose a model with a longer context",
            )  # fmt: skip
        counts += fit.counts
        mine = generation.collect(
            backend, one, [asked[i] for i in kept], [encoded[i] for i in kept], batch_tokens=config.batch_tokens,
            progress=partial(tell, SAID),
        )  # fmt: skip
        done = np.array([row.score for row in mine])
        rows += _rows(backend, one, [asked[i] for i in kept], done, chosen, vectors, config)
    return Likely(tuple(rows), tuple(counts))


def _rows(
    backend: Backend, one: Benchmark, asked: Sequence[Prompt], done: np.ndarray, chosen: Sequence[Told],
    vectors: Sequence[Direction], config: RunConfig,
) -> list[ConditionRow]:  # fmt: skip
    """Read every prompt, and cut prompts and responses, condition after condition in order, into rows."""
    sites = tuple(dict.fromkeys(way.site for way in vectors))
    tokens = [prompts.encode(backend.tokenizer, prompt) for prompt in asked]
    x = activations.read_all(backend, tokens, sites, POSITION, batch_tokens=config.batch_tokens or None)
    queries = [prompt.group for prompt in asked[: len(asked) // len(chosen)]]
    items = [item for query in queries for item in one.items if item.group == query]
    rows: list[ConditionRow] = []
    for number, told in enumerate(chosen):
        mine = x[number * len(queries) : (number + 1) * len(queries)]
        seen = np.stack([mine[:, sites.index(way.site)] @ way.vector.astype(np.float64) for way in vectors], axis=1)
        at = Condition(told.id, told.kind, "", f"{one.name} {SAID}")
        rows += rows_of(at, items, done[number * len(items) : (number + 1) * len(items)], seen, queries, vectors)
    return rows
