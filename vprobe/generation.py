"""The generation read-out: how likely the model finds each response to a query, beside those it competes with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from vprobe import batching, stats, values
from vprobe.backends import Backend
from vprobe.errors import InputError
from vprobe.types import Answers, Benchmark, GenerationRow, Item, Message, Option, Prompt, ScaleRow

HALVES = 200
"""Random divisions of the queries behind the reliability of a profile."""
UNIT = "within-query correlation of per-token log-probability with the signed loading"
STAGE = "generation"


def ask(benchmark: Benchmark) -> tuple[Prompt, ...]:
    """Turn every query into a prompt whose options are the responses to it.

    Args:
        benchmark: Queries with at least two responses each.

    Raises:
        InputError: A query with fewer than two responses, or an empty one.
    """
    queries = dict.fromkeys(item.group for item in benchmark.items)
    return tuple(_prompt([item for item in benchmark.items if item.group == query]) for query in queries)


def _prompt(items: Sequence[Item]) -> Prompt:
    first = items[0]
    if len(items) < 2 or not all(item.response.strip() for item in items):
        raise InputError(
            f"{len(items)} responses", where=f"query {first.group}", expected="at least two, none empty",
            do="the generation read-out needs responses to compare; choose another benchmark",
        )  # fmt: skip
    query = f"{first.title}\n\n{first.text}" if first.title else first.text
    options = tuple(Option(item.response, float(number)) for number, item in enumerate(items))
    return Prompt(f"{first.group}/{STAGE}", first.id, first.group, first.source, STAGE, (Message("user", query),),
                  (), options)  # fmt: skip


def collect(
    backend: Backend,
    benchmark: Benchmark,
    asked: Sequence[Prompt],
    encoded: Sequence[Answers],
    *,
    batch_tokens: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[GenerationRow, ...]:
    """Take the log-probability of every response given its query, as the model's own turn, end of turn included.

    Tokens that all responses to a query begin with are left out of both sum and count: they tell none apart.

    Args:
        backend: The model.
        benchmark: Whose queries they are.
        asked: Prompts from `ask`, those that fit the model's context.
        encoded: The same as token ids.
        batch_tokens: Most tokens in a batch; 0 lets the device decide.
        progress: Called with queries done and queries in all.
    """
    found: dict[int, tuple[GenerationRow, ...]] = {}
    sizes = [len(one.prompt.ids) + sum(map(len, one.options)) for one in encoded]
    for batch in batching.plan(sizes, batch_tokens or backend.default_batch_tokens):
        for i, logs in zip(batch, backend.choose([encoded[i] for i in batch]), strict=True):
            items = [item for item in benchmark.items if item.group == asked[i].group]
            found[i] = _rows(items, logs, [len(option) for option in encoded[i].options])
        if progress is not None:
            progress(len(found), len(asked))
    return tuple(row for i in range(len(asked)) for row in found[i])


def _rows(items: Sequence[Item], logs: Sequence[float], tokens: Sequence[int]) -> tuple[GenerationRow, ...]:
    per_token = np.array([log / n for log, n in zip(logs, tokens, strict=True)])
    spread = float(per_token.std())
    z = (per_token - per_token.mean()) / spread if spread > 0 else np.full(len(items), math.nan)
    return tuple(
        GenerationRow(item.id, item.group, item.source, float(log), n, float(score))
        for item, log, n, score in zip(items, logs, tokens, z, strict=True)
    )


def profile(rows: Sequence[GenerationRow], benchmark: Benchmark, *, respondent: str, seed: int) -> tuple[ScaleRow, ...]:
    """Score each value by how the standardised log-probabilities go with its signed loadings, within queries.

    Args:
        rows: From `collect`.
        benchmark: Its loadings.
        respondent: Name of the model.
        seed: Seed of the bootstrap and of the halves.
    """
    ids = tuple(row.item_id for row in rows)
    z = np.array([row.score for row in rows], dtype=np.float64)
    labels, groups = benchmark.loadings(ids, benchmark.values), [row.group for row in rows]
    sums = stats.within(labels, z[:, None], groups)
    found = stats.correlation_of(sums.totals)
    halves = _split_half(sums, seed=seed)
    out = []
    for column, value in enumerate(benchmark.values):
        ends = stats.interval(sums.column(column), stats.correlation_of, seed=seed)
        n = int(sums.n[:, column].sum())
        out.append(
            ScaleRow(
                respondent=respondent, instrument=benchmark.name, family=values.family(value), scale=value,
                kind="generation", rule="per token, standardised within queries", estimate=float(found[column]),
                raw=math.nan, spread=math.nan, n=n, n_unscored=len(benchmark.items) - n, unit=UNIT, low=ends.low,
                high=ends.high, reliability=halves,
                reliability_of="the profile over values, halves of the queries (Spearman-Brown)",
            )
        )  # fmt: skip
    return tuple(out)


def _split_half(sums: stats.Within, *, seed: int) -> float:
    """Correlate the profiles of two halves of the queries, over many divisions, stepped up to all queries."""
    draw = np.random.default_rng(seed)
    parts = np.stack([sums.df, sums.xx, sums.yy, sums.xy], axis=2)
    n, found = len(parts), []
    if n < 4 or parts.shape[1] < 3:
        return math.nan
    for _ in range(HALVES):
        order = draw.permutation(n)
        a, b = (stats.correlation_of(parts[half].sum(axis=0)) for half in (order[: n // 2], order[n // 2 :]))
        found.append(stats.pearson(a, b))
    r: Float[np.ndarray, " draw"] = np.array(found)
    return stats.spearman_brown(float(np.nanmean(r))) if np.isfinite(r).any() else math.nan
