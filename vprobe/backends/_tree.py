"""Reading texts that begin alike: every shared run of tokens runs once, and later tokens attend to its keys and values.

Keys and values of shared runs lie in one pool per block. A forward takes the runs of one level of the tree as rows;
each block gathers what its rows need from its pool when its attention asks for it, so no other block's copy is held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vprobe import batching
from vprobe.backends._families import Anatomy
from vprobe.backends._layout import columns, forwards, inner, padded, pooled
from vprobe.backends._memory import Memory, short
from vprobe.backends._pool import Columns, Pool
from vprobe.backends._rows import Rows
from vprobe.backends._run import Batch, inputs
from vprobe.backends._steer import Session
from vprobe.batching import Segment
from vprobe.types import Site, Tokens

_CLOSE, _COARSE = 1e-5, 5e-2
"""Largest relative difference from a reading without a cache that float32, and a shorter format, explain."""
FORGETS = "its cache does not keep every token (sliding windows, or a state in place of one)"
COUNTS = "a token's activations change when the tokens before it come from a cache"


@dataclass(frozen=True)
class _Step:
    """One forward: some segments of one level as rows.

    Args:
        batch: Their tokens, padded on the right.
        columns: Where they stand in the pool, and what comes before them.
        seen: True where a column before them is a token, False for padding on its left.
        weights: Shape (rows, pools, columns): how each token counts in each mean that takes from it.
        made: Which of the rows x pools belong to a mean.
        into: The mean each of these belongs to.
    """

    batch: Batch
    columns: Columns
    seen: Tensor
    weights: Tensor
    made: Tensor
    into: Tensor


@torch.inference_mode()
def read(
    anatomy: Anatomy,
    rows: Sequence[Tokens],
    sites: Sequence[Site],
    positions: Sequence[str],
    *,
    device: torch.device,
    budget: int,
    room: int,
    memory: Memory,
    least: int = batching.LEAST,
) -> Float[np.ndarray, "position sample site d_model"]:
    """Return pooled activations of texts, every shared run of tokens computed once.

    Args:
        anatomy: The model's parts; its cache must keep every token.
        rows: The texts.
        sites: Where to read; all of one width.
        positions: What to average over.
        device: Where the model is.
        budget: Most tokens in one forward, padding counted.
        room: Most columns of one forward: the model's context.
        memory: What is known of the device's memory.
        least: Fewest tokens a shared run must save to be computed apart.
    """
    segments = batching.tree([row.ids for row in rows], least=least)
    places, size = inner(segments), pooled(segments)
    groups = forwards(segments, range(len(segments)), budget, room=room)
    pool = Pool(size + max(padded(segments, group) for group in groups))
    found: dict[Site, Tensor] = {}
    now: list[_Step] = []
    fresh: dict[Site, Tensor] = {}

    def sink(site: Site, x: Tensor) -> None:
        fresh[site] = now[0].weights @ x.float()

    with Session(anatomy, (), sites, sink, stop=True) as session:

        def run(group: Sequence[int]) -> None:
            step = _step(segments, group, places, size, rows, positions, device)
            now[:] = [step]
            cache = pool.cache(len(anatomy.blocks), step.columns)
            given = inputs(anatomy.base, step.batch, _mask(step), cached=True, cache=cache)
            session.forward(lambda: anatomy.base(**given), step.batch.rows)
            more = {site: x.flatten(0, 1).index_select(0, step.made) for site, x in fresh.items()}
            for site in more.keys() - found.keys():
                found[site] = torch.zeros(len(positions) * len(rows), more[site].shape[-1], device=device)
            for site, x in more.items():  # from here on nothing is allocated: what has been added is never added again
                found[site].index_add_(0, step.into, x)

        memory.all(groups, partial(padded, segments), run)
    out = torch.stack([found[site] for site in sites], dim=1).reshape(len(positions), len(rows), len(sites), -1)
    return out.cpu().numpy()


def unshared(model: Any, anatomy: Anatomy) -> str:
    """Return why a model's texts cannot share what they begin with; empty when a trial on a few tokens was exact.

    Args:
        model: A causal language model on its device.
        anatomy: Its parts.
    """
    if not anatomy.forkable:
        return FORGETS
    step = max(1, model.get_input_embeddings().num_embeddings // 20)
    ids = [tuple((i * step + 1) % (20 * step) for i in part) for part in (range(12), range(9), range(19, 11, -1))]
    texts = (ids[0] + ids[2], ids[1] + ids[2][:5], ids[0] + ids[1][:2])
    rows = [Tokens(str(i), one, len(one)) for i, one in enumerate(texts)]
    sites = [Site(len(anatomy.blocks) - 1)]
    try:
        x, y = (
            read(
                anatomy,
                rows,
                sites,
                ["last_prompt"],
                device=model.device,
                budget=64,
                room=64,
                memory=Memory(),
                least=least,
            )
            for least in (1, 10_000)
        )
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        if short(error):
            raise
        return COUNTS
    limit = _CLOSE if model.dtype == torch.float32 else _COARSE
    return "" if (np.linalg.norm(x - y, axis=-1) <= limit * np.linalg.norm(y, axis=-1)).all() else COUNTS


def _mask(step: _Step) -> Tensor:
    return torch.cat([step.seen, step.batch.rows.real], dim=1).long()


def _step(
    segments: Sequence[Segment],
    group: Sequence[int],
    places: dict[int, int],
    free: int,
    rows: Sequence[Tokens],
    positions: Sequence[str],
    device: torch.device,
) -> _Step:
    mine = [segments[i] for i in group]
    new = [rows[s.texts[0]].ids[s.start : s.end] for s in mine]
    wide = max(len(ids) for ids in new)
    ids = np.array([[*one, *[one[0]] * (wide - len(one))] for one in new])
    real = np.arange(wide) < np.array([len(one) for one in new])[:, None]
    at = np.array([s.start for s in mine])[:, None] + np.arange(wide)
    before, seen = columns(segments, group, places, real, device, free=free)
    weights, into = _weights(mine, rows, positions, wide)
    made = np.flatnonzero(into >= 0)  # found here, so that a device need not stop to be asked

    def put(x: np.ndarray) -> Tensor:
        return torch.from_numpy(x).to(device)

    border, owner = (np.array([f(s.texts[0]) for s in mine]) for f in (lambda i: rows[i].prompt_length, int))
    batch = Batch(put(ids), Rows(put(np.where(real, at, 0)), put(real), put(border), put(owner)))
    return _Step(batch, before, put(seen), put(weights), put(made), put(into.ravel()[made]))


def _weights(
    mine: Sequence[Segment], rows: Sequence[Tokens], positions: Sequence[str], wide: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return how each token of some segments counts in the means it is part of, and which these are."""
    found: list[list[tuple[int, np.ndarray]]] = []
    for segment in mine:
        parts = []
        for p, position in enumerate(positions):
            for i in segment.texts:
                start, end = rows[i].interval(position)
                low, high = max(start, segment.start), min(end, segment.end)
                if low < high:
                    weight = np.zeros(wide, np.float32)
                    weight[low - segment.start : high - segment.start] = 1.0 / (end - start)
                    parts.append((p * len(rows) + i, weight))
        found.append(parts)
    most = max(1, max(len(parts) for parts in found))
    weights, into = np.zeros((len(mine), most, wide), np.float32), np.full((len(mine), most), -1)
    for r, parts in enumerate(found):
        for k, (target, weight) in enumerate(parts):
            weights[r, k], into[r, k] = weight, target
    return weights, into
