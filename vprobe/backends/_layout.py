"""Segments of texts as rows of forwards: which go together, and where their tokens stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from vprobe import batching
from vprobe.backends._pool import Columns
from vprobe.batching import Segment

_WIDE = 8
"""Keys and values gathered for one forward of one block: at most this many times the tokens of its budget."""
_PARTS, _PADDED = 8, 1.1
"""A forward of this part of its budget, or more, takes no more rows once padding is this many times its tokens."""


def inner(segments: Sequence[Segment]) -> dict[int, int]:
    """Give every segment that others build on its place in a pool, side by side in the order of segments."""
    places: dict[int, int] = {}
    size = 0
    for parent in sorted({segment.parent for segment in segments} - {-1}):
        places[parent] = size
        size += segments[parent].end - segments[parent].start
    return places


def pooled(segments: Sequence[Segment]) -> int:
    """Return the tokens of all segments that others build on."""
    return sum(segments[i].end - segments[i].start for i in inner(segments))


def padded(segments: Sequence[Segment], group: Sequence[int]) -> int:
    """Return the new tokens of a forward, padding counted."""
    return len(group) * max(segments[i].end - segments[i].start for i in group)


def forwards(
    segments: Sequence[Segment],
    some: Sequence[int],
    budget: int,
    *,
    room: int,
    extra: Sequence[int] | None = None,
) -> list[list[int]]:
    """Divide segments into forwards, parents first, within a budget of new tokens and of gathered ones.

    Args:
        segments: All segments.
        some: Indices of those to divide.
        budget: Most new tokens in a forward, padding counted; a longer segment makes a forward of its own.
        room: Most columns of a forward, padding counted: some models count it in their context.
        extra: Per segment how many new tokens come beside its own; none when None.
    """
    parents = {segment.parent for segment in segments}
    last = 1 + max((segments[i].level for i in parents if i >= 0), default=-1)
    levels: dict[int, list[int]] = {}
    for i in some:
        levels.setdefault(segments[i].level if i in parents else last, []).append(i)
    length = {i: segments[i].end - segments[i].start + (extra[i] if extra is not None else 0) for i in some}
    out: list[list[int]] = []
    for level in sorted(levels):
        mine = sorted(levels[level], key=lambda i: (-length[i], -segments[i].end, i))
        longest = max(segments[i].start + length[i] for i in mine)
        most = max(1, min(batching.MAX_ROWS, _WIDE * budget // longest))
        group: list[int] = []
        for i in mine:
            wide = length[group[0]] + max(segments[j].start for j in (*group, i)) if group else 0
            if group and (wide > room or _full([length[j] for j in group], budget, most)):
                out.append(group)
                group = []
            group.append(i)
        out.append(group)
    return out


def _full(lengths: Sequence[int], budget: int, most: int) -> bool:
    """Tell whether a forward is to take no more segments: at its budget, or large enough and padded too much."""
    whole = lengths[0] * len(lengths)
    wasteful = whole >= budget / _PARTS and whole > _PADDED * sum(lengths)
    return wasteful or whole + lengths[0] > budget or len(lengths) >= most


def columns(
    segments: Sequence[Segment],
    group: Sequence[int],
    places: dict[int, int],
    new: np.ndarray,
    device: Any,
    *,
    free: int,
) -> tuple[Columns, np.ndarray]:
    """Return where the tokens of a forward stand in the pool, and which columns before the new ones hold a token.

    Args:
        segments: All segments.
        group: The rows.
        places: Place of every segment that others build on.
        new: Shape (rows, new columns): True for the tokens of the segments themselves, in order.
        device: Where the model is.
        free: Where the pool's stretch for tokens that nothing builds on begins.
    """
    before = max(segments[i].start for i in group)
    past, seen = np.zeros((len(group), before), np.int64), np.zeros((len(group), before), bool)
    at = free + np.arange(new.size).reshape(new.shape)
    for r, i in enumerate(group):
        gap, above = before - segments[i].start, segments[i].parent
        while above >= 0:
            p = segments[above]
            past[r, gap + p.start : gap + p.end] = places[above] + np.arange(p.end - p.start)
            above = p.parent
        seen[r, gap:] = True
        if i in places:
            at[r, new[r]] = places[i] + np.arange(int(new[r].sum()))
    index = np.concatenate([past, at], axis=1)
    kept = any(i in places for i in group)
    return Columns(before, torch.from_numpy(at.ravel()).to(device), torch.from_numpy(index).to(device), kept), seen
