"""Reading texts that begin alike: every shared run of tokens runs once, and later tokens attend to its keys and values.

Keys and values of shared runs lie in one pool per block. A forward takes the runs of one level of the tree as rows;
each block gathers what its rows need from its pool when its attention asks for it, so no other block's copy is held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from vprobe import batching
from vprobe.backends._families import Anatomy
from vprobe.backends._rows import Rows
from vprobe.backends._run import Batch, inputs
from vprobe.backends._steer import Session
from vprobe.batching import Segment
from vprobe.types import Site, Tokens

_WIDE = 8
"""Keys and values gathered for one forward of one block: at most this many times the tokens of its budget."""
_PARTS, _PADDED = 8, 1.1
"""A forward of this part of its budget, or more, takes no more rows once padding is this many times its tokens."""
_CLOSE, _COARSE = 1e-5, 5e-2
"""Largest relative difference from a reading without a cache that float32, and a shorter format, explain."""
FORGETS = "its cache does not keep every token (sliding windows, or a state in place of one)"
COUNTS = "a token's activations change when the tokens before it come from a cache"


@dataclass
class _Pool:
    """Keys and values of the shared runs, by block; a run's tokens stand side by side.

    Args:
        size: Tokens it holds when all are computed.
    """

    size: int
    keys: dict[int, Tensor] = field(default_factory=dict)
    values: dict[int, Tensor] = field(default_factory=dict)

    def put(self, block: int, keys: Tensor, values: Tensor, kept: Tensor, at: Tensor) -> None:
        """Keep the keys and values of some of a forward's tokens.

        Args:
            block: The block.
            keys: Shape (rows, heads, columns, width), as the block makes them.
            values: The same.
            kept: Shape (rows, columns): which tokens.
            at: Their places in the pool.
        """
        for pool, new in ((self.keys, keys), (self.values, values)):
            if block not in pool:
                pool[block] = new.new_empty(self.size, new.shape[1], new.shape[3])
            pool[block][at] = new.transpose(1, 2)[kept]


class _PooledLayer(DynamicLayer):
    """The cache of one block: tokens before the rows come from the pool, new ones that are shared go into it."""

    def __init__(self, pool: _Pool, block: int, step: _Step) -> None:
        super().__init__()
        self.pool, self.block, self.step = pool, block, step

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
        """Return the keys and values of all tokens so far."""
        step = self.step
        if len(step.at):
            self.pool.put(self.block, key_states, value_states, step.kept, step.at)
        if not step.width:
            return key_states, value_states
        both = ((self.pool.keys, key_states), (self.pool.values, value_states))
        keys, values = (torch.cat([held[self.block][step.past].transpose(1, 2), new], dim=2) for held, new in both)
        return keys, values

    def get_seq_length(self) -> int:
        """Return the columns before the new tokens."""
        return self.step.width


@dataclass(frozen=True)
class _Step:
    """One forward: some segments of one level as rows.

    Args:
        batch: Their tokens, padded on the right.
        past: Per row the places in the pool of the tokens before it, padded on the left.
        seen: True where `past` is a token, False for padding.
        kept: Which new tokens go into the pool.
        at: Their places there.
        weights: Shape (rows, pools, columns): how each token counts in each mean that takes from it.
        into: Per row and pool the mean it belongs to; -1 is none.
    """

    batch: Batch
    past: Tensor
    seen: Tensor
    kept: Tensor
    at: Tensor
    weights: Tensor
    into: Tensor

    @property
    def width(self) -> int:
        """Columns before the new tokens."""
        return self.past.shape[1]


@torch.inference_mode()
def read(
    anatomy: Anatomy,
    rows: Sequence[Tokens],
    sites: Sequence[Site],
    positions: Sequence[str],
    *,
    device: torch.device,
    budget: int,
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
        least: Fewest tokens a shared run must save to be computed apart.
    """
    segments = batching.tree([row.ids for row in rows], least=least)
    places, size = _places(segments)
    pool = _Pool(size)
    found: dict[Site, Tensor] = {}
    now: list[_Step] = []

    def sink(site: Site, x: Tensor) -> None:
        step = now[0]
        if site not in found:
            found[site] = torch.zeros(len(positions) * len(rows), x.shape[-1], device=x.device)
        taken = step.into >= 0
        found[site][step.into[taken]] += (step.weights @ x.float())[taken]

    with Session(anatomy, (), sites, sink, stop=True) as session:
        for group in _forwards(segments, budget):
            step = _step(segments, group, places, rows, positions, device)
            now[:] = [step]
            layers: list[Any] = [_PooledLayer(pool, block, step) for block in range(len(anatomy.blocks))]
            given = inputs(anatomy.base, step.batch, _mask(step), cached=True, cache=Cache(layers=layers))
            session.forward(lambda given=given: anatomy.base(**given), step.batch.rows)
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
            read(anatomy, rows, sites, ["last_prompt"], device=model.device, budget=64, least=least)
            for least in (1, 10_000)
        )
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError):
        return COUNTS
    limit = _CLOSE if model.dtype == torch.float32 else _COARSE
    return "" if (np.linalg.norm(x - y, axis=-1) <= limit * np.linalg.norm(y, axis=-1)).all() else COUNTS


def _mask(step: _Step) -> Tensor:
    return torch.cat([step.seen, step.batch.rows.real], dim=1).long()


def _places(segments: Sequence[Segment]) -> tuple[dict[int, int], int]:
    """Give every segment that others build on its place in the pool."""
    places: dict[int, int] = {}
    size = 0
    for parent in sorted({segment.parent for segment in segments} - {-1}):
        places[parent] = size
        size += segments[parent].end - segments[parent].start
    return places, size


def _forwards(segments: Sequence[Segment], budget: int) -> list[list[int]]:
    """Divide each level's segments into forwards within a budget, of new tokens and of gathered ones."""
    out: list[list[int]] = []
    for level in range(1 + max(segment.level for segment in segments)):
        mine = [i for i, segment in enumerate(segments) if segment.level == level]
        mine.sort(key=lambda i: (segments[i].start - segments[i].end, -segments[i].end, i))
        longest = max(segments[i].end for i in mine)
        most = max(1, min(batching.MAX_ROWS, _WIDE * budget // longest))
        group: list[int] = []
        for i in mine:
            if group and _full(segments, group, budget, most):
                out.append(group)
                group = []
            group.append(i)
        out.append(group)
    return out


def _full(segments: Sequence[Segment], group: Sequence[int], budget: int, most: int) -> bool:
    """Tell whether a forward is to take no more segments: at its budget, or large enough and padded too much."""
    lengths = [segments[i].end - segments[i].start for i in group]
    padded = lengths[0] * len(group)
    wasteful = padded >= budget / _PARTS and padded > _PADDED * sum(lengths)
    return wasteful or padded + lengths[0] > budget or len(group) >= most


def _step(
    segments: Sequence[Segment],
    group: Sequence[int],
    places: dict[int, int],
    rows: Sequence[Tokens],
    positions: Sequence[str],
    device: torch.device,
) -> _Step:
    mine = [segments[i] for i in group]
    new = [rows[s.texts[0]].ids[s.start : s.end] for s in mine]
    wide, before = max(len(ids) for ids in new), max(s.start for s in mine)
    ids = np.array([[*one, *[one[0]] * (wide - len(one))] for one in new])
    real = np.arange(wide) < np.array([len(one) for one in new])[:, None]
    at = np.array([s.start for s in mine])[:, None] + np.arange(wide)
    past, seen = np.zeros((len(mine), before), np.int64), np.zeros((len(mine), before), bool)
    for r, s in enumerate(mine):
        gap, parent = before - s.start, s.parent
        while parent >= 0:
            p = segments[parent]
            past[r, gap + p.start : gap + p.end] = places[parent] + np.arange(p.end - p.start)
            parent = p.parent
        seen[r, gap:] = True
    kept = real & np.array([i in places for i in group])[:, None]
    to = [places[i] + np.arange(segments[i].end - segments[i].start) for i in group if i in places]
    weights, into = _weights(mine, rows, positions, wide)

    def put(x: np.ndarray) -> Tensor:
        return torch.from_numpy(x).to(device)

    border, owner = (np.array([f(s.texts[0]) for s in mine]) for f in (lambda i: rows[i].prompt_length, int))
    batch = Batch(put(ids), Rows(put(np.where(real, at, 0)), put(real), put(border), put(owner)))
    return _Step(
        batch, put(past), put(seen), put(kept), put(np.concatenate(to) if to else np.zeros(0, np.int64)),
        put(weights), put(into),
    )  # fmt: skip


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
