"""What a reading will cost, before it runs."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from vprobe import batching
from vprobe.activations._record import batches
from vprobe.backends import Backend
from vprobe.types import Site, Tokens

_TRIAL = 8
"""Texts read to measure the speed."""
_GATHERED = 8
"""Keys and values gathered for one forward: at most this many times the tokens of its budget."""


@dataclass(frozen=True)
class Foreseen:
    """What a reading will cost.

    Args:
        texts: How many.
        tokens: Their tokens, none shared.
        distinct: Tokens that differ in the token or in what stands before it.
        computed: Tokens that will run, padding left out: more than `distinct` where sharing would not pay or cannot be.
        flops: Floating-point operations of the blocks that run, multiplications and additions counted apart.
        memory: Bytes at the peak: weights, kept keys and values, one forward.
        stored: Bytes of the numbers in the run folder.
        seconds: Time by the speed of a trial on a few of the texts; NaN when no trial was made.
        batches: How many calls of the engine.
    """

    texts: int
    tokens: int
    distinct: int
    computed: int
    flops: float
    memory: float
    stored: int
    seconds: float
    batches: int


def foresee(
    backend: Backend,
    encoded: Sequence[Tokens],
    sites: Sequence[Site],
    positions: Sequence[str],
    *,
    batch_tokens: int | None = None,
    trial: bool = True,
) -> Foreseen:
    """Return what `record` will cost; nothing is stored.

    Args:
        backend: The model.
        encoded: The texts.
        sites: Where to read.
        positions: What to average over.
        batch_tokens: Most tokens in a batch; what suits the device when None.
        trial: Read a few texts to measure the speed.
    """
    ids, planned = [tokens.ids for tokens in encoded], batches(backend, encoded, batch_tokens)
    every = sum(map(len, ids))
    computed = every if backend.unshared else batching.distinct(ids, planned)
    deep = 1 + max(site.layer for site in sites)
    size, seconds = backend.size, math.nan
    attended = 0.0 if backend.unshared else _attended([[ids[i] for i in batch] for batch in planned])
    attended = attended or float(sum(len(one) * (len(one) + 1) / 2 for one in ids))
    flops = deep * (2.0 * size.block_parameters * computed + 4.0 * backend.info.d_model * attended)
    if trial:
        few = sorted(range(len(ids)), key=lambda i: (len(ids[i]), i))
        few = [few[k * (len(few) - 1) // max(1, _TRIAL - 1)] for k in range(min(_TRIAL, len(few)))]
        seconds = _trial(backend, [encoded[i] for i in dict.fromkeys(few)], sites, positions) * computed
    held = max(_held(backend, [ids[i] for i in batch]) for batch in planned)
    pooled = max(map(len, planned)) * len(sites) * len(positions) * backend.info.d_model * 4
    memory = size.weight_bytes + held * deep * size.cache_bytes + _forward(backend, ids, planned) + 2 * pooled
    return Foreseen(
        texts=len(ids),
        tokens=every,
        distinct=batching.distinct(ids, [range(len(ids))], least=1),
        computed=computed,
        flops=flops,
        memory=float(memory),
        stored=len(ids) * len(set(sites)) * len(set(positions)) * backend.info.d_model * 4,
        seconds=seconds,
        batches=len(planned),
    )


def _forward(backend: Backend, ids: Sequence[Sequence[int]], planned: Sequence[Sequence[int]]) -> float:
    """Return the bytes of the largest forward: tokens, what attention makes of them, what is gathered."""
    size, longest = backend.size, max(map(len, ids))
    widest = max(max(len(ids[i]) for i in batch) * len(batch) for batch in planned)
    if backend.unshared:
        return float(widest * (size.token_bytes + longest * size.pair_bytes))
    at_once = max(min(widest, size.forward_tokens), longest)  # a run of tokens is never divided
    gathered = min(widest, max(_GATHERED * size.forward_tokens, longest))
    return float(at_once * (size.token_bytes + longest * size.pair_bytes) + 2 * gathered * size.cache_bytes)


def _attended(planned: Sequence[Sequence[Sequence[int]]]) -> float:
    """Return how many pairs of tokens attention looks at: each token that runs, and all up to it."""
    parts = (batching.tree(texts) for texts in planned)
    return float(sum((s.end * (s.end + 1) - s.start * (s.start + 1)) / 2 for part in parts for s in part))


def _held(backend: Backend, texts: Sequence[Sequence[int]]) -> int:
    """Return the tokens of a batch whose keys and values are kept for others."""
    if backend.unshared:
        return 0
    segments = batching.tree(texts)
    return sum(segments[i].end - segments[i].start for i in {segment.parent for segment in segments} - {-1})


def _trial(backend: Backend, rows: Sequence[Tokens], sites: Sequence[Site], positions: Sequence[str]) -> float:
    """Return seconds per token that runs, on a few texts read twice; the first time warms up."""
    start = 0.0
    for _ in range(2):
        start = time.perf_counter()
        backend.read(rows, sites, positions)
    ids = [row.ids for row in rows]
    ran = sum(map(len, ids)) if backend.unshared else batching.distinct(ids, [range(len(ids))])
    return (time.perf_counter() - start) / ran
