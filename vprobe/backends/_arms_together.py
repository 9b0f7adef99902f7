"""Options of many prompts under many steerings as one tree, forked where the first steering acts.

Tokens before the first that is steered run once; so do, for the others, the blocks below the steered one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vprobe import batching
from vprobe.backends._families import Anatomy
from vprobe.backends._fork import Arm, ForkSession
from vprobe.backends._layout import inner
from vprobe.backends._memory import Memory
from vprobe.backends._pool import Pool
from vprobe.backends._steer import Session
from vprobe.backends._together import Tree, forward, keys, options_of, touched
from vprobe.batching import Segment
from vprobe.types import Answers

_WIDE = 4
"""Tokens of one forward after the fork: this many times the budget, where one forward before it is no less than 64."""


def choose_arms(
    model: Any,
    anatomy: Anatomy,
    rows: Sequence[Answers],
    arms: Sequence[Arm],
    budget: int,
    vocab: int,
    memory: Memory,
    *,
    room: int,
) -> list[tuple[tuple[float, ...], ...]]:
    """Return per arm and row the log-probability of every option.

    Args:
        model: A causal language model whose prompts can be one tree and whose batches can be forked.
        anatomy: Its parts.
        rows: Prompts with their options.
        arms: Per arm its changes, none of which depends on the end of a prompt; none is empty.
        budget: Most tokens in one forward, padding counted.
        vocab: Tokens in the vocabulary.
        memory: What is known of the device's memory.
        room: Most columns of one forward: the model's context.
    """
    every = [one for arm in arms for one in arm if one.coefficient != 0]
    tree, early = _tree(rows, every, budget)
    most = max(min(64, budget), min(budget, _WIDE * budget // len(arms)))
    before = tree.groups(early, budget, room)
    after = tree.groups([i for i in tree.places if i not in set(early)], most, room)
    after += tree.groups(tree.ends, most, room, tree.most(vocab, len(arms)))
    session = ForkSession(anatomy, arms=arms, texts=[row.prompt for row in rows])
    found: dict[int, list[tuple[float, ...]]] = {}
    with Session(anatomy) as plain:
        same = sum(tree.segments[i].end - tree.segments[i].start for i in early)
        size = tree.free + max(map(tree.size, [*before, *after]))
        pool = Pool(size, len(arms), session.first_wide, same)

        def early_run(group: Sequence[int]) -> None:
            forward(model, anatomy, plain, tree, pool, group)

        memory.all(before, tree.size, early_run)

    def run(group: Sequence[int]) -> None:
        scores = forward(model, anatomy, session, tree, pool, group)
        for r, text in enumerate(tree.texts(group) if scores else ()):
            found[text] = scores[r :: len(group)]

    with session:
        memory.all(after, lambda group: len(arms) * tree.size(group), run)
    return [tuple(found[i][a] for i in range(len(rows))) for a in range(len(arms))]


def _tree(rows: Sequence[Answers], every: Sequence[Any], budget: int) -> tuple[Tree, list[int]]:
    """Return prompts as a tree, and its segments before the first token that is changed; these come first in a pool."""
    first = []
    for row in rows:
        acts = np.flatnonzero(touched(row, every).any(axis=1)) if every else np.empty(0, int)
        first.append(int(acts[0]) if acts.size else len(row.prompt.ids) - 1)
    whole = batching.pieces(batching.tree(keys(rows, [tuple(every)])), budget)
    segments = _cut(whole, first)
    order = list(inner(segments))
    early = [i for i in order if segments[i].end <= first[segments[i].texts[0]]]
    places: dict[int, int] = {}
    free = 0
    for i in [*early, *[i for i in order if i not in set(early)]]:
        places[i] = free
        free += segments[i].end - segments[i].start
    return Tree(rows, options_of(rows), segments, places, free), early


def _cut(segments: Sequence[Segment], first: Sequence[int]) -> list[Segment]:
    """Cut every segment in two before the first token that is changed, and before a prompt's last."""
    out: list[Segment] = []
    last: list[int] = []
    for segment in segments:
        parent = last[segment.parent] if segment.parent >= 0 else -1
        at = first[segment.texts[0]]
        for start, end in ((segment.start, min(at, segment.end)), (max(at, segment.start), segment.end)):
            if start < end:
                level = out[parent].level + 1 if parent >= 0 else 0
                out.append(replace(segment, parent=parent, level=level, start=start, end=end))
                parent = len(out) - 1
        last.append(parent)
    return out
