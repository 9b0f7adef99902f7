"""Batches of similar length, or of texts that begin alike, within a token budget; knows no model."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from vprobe.errors import InputError

MAX_ROWS = 256
HELD = 4
"""Batches' worth of distinct tokens that run together where texts share what they begin with."""


def plan(lengths: Sequence[int], budget: int, *, max_rows: int = MAX_ROWS) -> tuple[tuple[int, ...], ...]:
    """Divide samples into batches whose padded size stays within a budget, longest batches first.

    The plan depends on the lengths and the budget only, so a resumed run makes the same batches and the same bytes.

    Args:
        lengths: Tokens per sample.
        budget: Most tokens in a batch, padding counted; a single longer sample makes a batch of its own.
        max_rows: Most samples in a batch.

    Returns:
        Sample indices per batch; every sample in exactly one.

    Raises:
        InputError: A budget or row limit below 1.
    """
    if budget < 1 or max_rows < 1:
        raise InputError(f"batch budget {budget}, {max_rows} rows", where="batching", expected="at least 1")
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batches: list[tuple[int, ...]] = []
    current: list[int] = []
    for i in order:
        widest = lengths[current[0]] if current else lengths[i]
        if current and (widest * (len(current) + 1) > budget or len(current) >= max_rows):
            batches.append(tuple(current))
            current = []
        current.append(i)
    if current:
        batches.append(tuple(current))
    return tuple(batches)


def shards(costs: Sequence[int], count: int) -> tuple[tuple[int, ...], ...]:
    """Divide batches among several processes so that each has about as much to do; the same division every time.

    Args:
        costs: What each batch costs, in tokens.
        count: How many processes.

    Returns:
        Batch indices per process, in order; every batch in exactly one. The costliest batch left always goes to
        whoever has least, so that two shards differ by no more than one batch.

    Raises:
        InputError: Less than one process.

    Source: Graham (1969), Bounds on Multiprocessing Timing Anomalies, SIAM J. Appl. Math. 17.
    """
    if count < 1:
        raise InputError(f"{count} processes", where="batching", expected="at least 1")
    heap = [(0, process) for process in range(count)]
    found: list[list[int]] = [[] for _ in range(count)]
    for batch in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        load, process = heapq.heappop(heap)
        found[process].append(batch)
        heapq.heappush(heap, (load + costs[batch], process))
    return tuple(tuple(sorted(one)) for one in found)


LEAST = 64
"""Tokens a shared run must save to be computed apart: shorter ones cost more in another forward than they save."""


@dataclass(frozen=True)
class Segment:
    """A run of tokens that the same texts share.

    Args:
        parent: Index of the segment before it; -1 when it begins its texts.
        level: Segments before it.
        texts: Indices of the texts it is part of.
        start: Its first token, counted in these texts.
        end: One past its last.
    """

    parent: int
    level: int
    texts: tuple[int, ...]
    start: int
    end: int


def tree(texts: Sequence[Sequence[int]], *, least: int = LEAST) -> tuple[Segment, ...]:
    """Divide texts into segments, so that every run that texts begin with in common stands once.

    Args:
        texts: Token ids.
        least: A run of n tokens common to k texts stands once when (k - 1) n is at least this.

    Returns:
        Segments, each after its parent.
    """
    found: list[Segment] = []
    order = sorted(range(len(texts)), key=lambda i: (tuple(texts[i]), i))
    waiting = [(part, 0, -1) for part in reversed(_parted(texts, order, 0))]
    while waiting:
        group, start, parent = waiting.pop()
        end = _common(texts, group)
        level = found[parent].level + 1 if parent >= 0 else 0
        shared = end > start and (len(group) == 1 or (len(group) - 1) * (end - start) >= least)
        if shared:
            found.append(Segment(parent, level, tuple(sorted(group)), start, end))
            start, parent = end, len(found) - 1
        ended = [i for i in group if len(texts[i]) == end]
        if not shared:
            found += [Segment(parent, level, (i,), start, end) for i in ended if end > start]
        rest = [i for i in group if len(texts[i]) > end]
        waiting += [(part, start, parent) for part in reversed(_parted(texts, rest, end))]
    return tuple(found)


def pieces(segments: Sequence[Segment], most: int) -> tuple[Segment, ...]:
    """Cut segments into runs of at most some number of tokens, one after another.

    Args:
        segments: As `tree` returns them.
        most: Tokens of the longest run, from 1.
    """
    out: list[Segment] = []
    last: list[int] = []
    for segment in segments:
        parent = last[segment.parent] if segment.parent >= 0 else -1
        for start in range(segment.start, segment.end, most):
            level = out[parent].level + 1 if parent >= 0 else 0
            out.append(Segment(parent, level, segment.texts, start, min(start + most, segment.end)))
            parent = len(out) - 1
        last.append(parent)
    return tuple(out)


def _parted(texts: Sequence[Sequence[int]], group: Sequence[int], at: int) -> list[list[int]]:
    """Divide sorted texts by their token at a place; texts without one are left out."""
    parts: dict[int, list[int]] = {}
    for i in group:
        if len(texts[i]) > at:
            parts.setdefault(texts[i][at], []).append(i)
    return list(parts.values())


def _common(texts: Sequence[Sequence[int]], group: Sequence[int]) -> int:
    """Return how many tokens sorted texts begin with in common."""
    a, b = texts[group[0]], texts[group[-1]]
    most = min(len(a), len(b))
    return next((n for n in range(most) if a[n] != b[n]), most)


def plan_shared(
    texts: Sequence[Sequence[int]], budget: int, *, least: int = LEAST, max_rows: int = 4 * MAX_ROWS
) -> tuple[tuple[int, ...], ...]:
    """Divide texts into batches whose distinct tokens stay within a budget; texts that begin alike stand together.

    The plan depends on the tokens and the budget only. Batches of the longest texts come first.

    Args:
        texts: Token ids.
        budget: About the most distinct tokens in a batch; a longer text makes a batch of its own.
        least: As for `tree`.
        max_rows: Most texts in a batch.

    Returns:
        Text indices per batch; every text in exactly one.

    Raises:
        InputError: A budget or row limit below 1.
    """
    if budget < 1 or max_rows < 1:
        raise InputError(f"batch budget {budget}, {max_rows} rows", where="batching", expected="at least 1")
    segments = tree(texts, least=least)
    units = sorted(_units(texts, segments, budget, max_rows), key=lambda unit: (-unit.longest, unit.texts[0]))
    batches: list[tuple[int, ...]] = []
    current: list[int] = []
    size, held = 0, frozenset()
    for unit in units:
        more = unit.own + sum(segments[i].end - segments[i].start for i in unit.before - held)
        if current and (size + more > budget or len(current) + len(unit.texts) > max_rows):
            batches.append(tuple(current))
            current, size, held = [], 0, frozenset()
            more = unit.own + sum(segments[i].end - segments[i].start for i in unit.before)
        current += unit.texts
        size, held = size + more, held | unit.before
    if current:
        batches.append(tuple(current))
    return tuple(batches)


@dataclass(frozen=True)
class _Unit:
    """Texts that stay together.

    Args:
        texts: Their indices.
        own: Their distinct tokens, those of `before` left out.
        before: Segments they share with other units.
        longest: Tokens of the longest.
    """

    texts: tuple[int, ...]
    own: int
    before: frozenset[int]
    longest: int


def _units(texts: Sequence[Sequence[int]], segments: Sequence[Segment], budget: int, max_rows: int) -> list[_Unit]:
    """Cut the tree into the largest parts that fit a batch."""
    below = [segment.end - segment.start for segment in segments]
    for i in range(len(segments) - 1, -1, -1):
        if segments[i].parent >= 0:
            below[segments[i].parent] += below[i]
    before: list[frozenset[int]] = []
    out: list[_Unit] = []
    taken: set[int] = set()
    for i, segment in enumerate(segments):
        above = before[segment.parent] | {segment.parent} if segment.parent >= 0 else frozenset()
        before.append(above)
        size = below[i] + sum(segments[j].end - segments[j].start for j in above)
        kept = tuple(j for j in segment.texts if j not in taken)
        if kept and ((size <= budget and len(kept) <= max_rows) or len(segment.texts) == 1):
            out.append(_Unit(kept, below[i], above, max(len(texts[j]) for j in kept)))
            taken.update(kept)
    return out + _ended(texts, segments, before, taken)


def _ended(
    texts: Sequence[Sequence[int]], segments: Sequence[Segment], before: Sequence[frozenset[int]], taken: set[int]
) -> list[_Unit]:
    """Return texts that end where a segment too large for one batch ends, one unit each."""
    out = []
    for i in range(len(segments) - 1, -1, -1):
        for j in segments[i].texts:
            if j not in taken and len(texts[j]) == segments[i].end:
                taken.add(j)
                out.append(_Unit((j,), 0, before[i] | {i}, len(texts[j])))
    return out


def distinct(texts: Sequence[Sequence[int]], batches: Sequence[Sequence[int]], *, least: int = LEAST) -> int:
    """Return the tokens that are computed when every batch computes what its texts share once.

    Args:
        texts: Token ids.
        batches: Text indices per batch.
        least: As for `tree`.
    """
    parts = (tree([texts[i] for i in batch], least=least) for batch in batches)
    return sum(segment.end - segment.start for part in parts for segment in part)
