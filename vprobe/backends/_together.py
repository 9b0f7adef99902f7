"""Options of many prompts as one tree: what prompts begin with in common runs once, and so do beginnings of options.

A prompt's last tokens and the options below them are one packed row: positions count along the tree, and a mask lets
every token see the tokens above it only. What comes before lies in a pool of keys and values, see `_pool`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vprobe import batching
from vprobe.backends._branches import Branches, branches, reads
from vprobe.backends._families import Anatomy, hooked
from vprobe.backends._layout import columns, forwards, inner, pooled
from vprobe.backends._memory import Memory
from vprobe.backends._pool import Columns, Pool
from vprobe.backends._rows import Rows
from vprobe.backends._run import Batch, inputs
from vprobe.backends._steer import Session, changes, flat
from vprobe.batching import Segment
from vprobe.types import Answers, Steered, Steering

_LARGEST = 2**27
"""Most logits held at once, about half a gigabyte in float32."""


@dataclass(frozen=True)
class Tree:
    """Prompts and their options.

    Args:
        rows: The prompts.
        options: Per prompt its options as a tree.
        segments: The prompts' segments; every prompt ends in one of its own.
        places: Place in the pool of every segment that others build on.
        free: Where the rest of the pool begins.
    """

    rows: Sequence[Answers]
    options: Sequence[Branches]
    segments: Sequence[Segment]
    places: dict[int, int]
    free: int

    @property
    def ends(self) -> list[int]:
        """Segments in which prompts end."""
        return [i for i in range(len(self.segments)) if i not in self.places]

    def texts(self, group: Sequence[int]) -> list[int]:
        """Return a prompt of each segment; the only one where a prompt ends."""
        return [self.segments[i].texts[0] for i in group]

    def below(self, i: int) -> Branches | None:
        """Return the options that follow a segment; None where other segments do."""
        return None if i in self.places else self.options[self.segments[i].texts[0]]

    def widths(self, group: Sequence[int]) -> tuple[int, int]:
        """Return the columns of a forward for tokens of prompts, and for options."""
        segments = [self.segments[i] for i in group]
        below = [self.below(i) for i in group]
        return max(s.end - s.start for s in segments), max(len(one.ids) if one else 0 for one in below)

    def size(self, group: Sequence[int]) -> int:
        """Return the tokens of a forward, padding counted."""
        return len(group) * sum(self.widths(group))

    def most(self, vocab: int, copies: int = 1) -> int:
        """Return how many prompts may end in one forward, for the logits' sake."""
        return max(1, _LARGEST // (copies * vocab * (1 + max(len(one.ids) for one in self.options))))

    def groups(self, some: Sequence[int], budget: int, room: int, most: int = batching.MAX_ROWS) -> list[list[int]]:
        """Divide some segments into forwards, parents first.

        Args:
            some: The segments.
            budget: Most tokens in one, padding counted.
            room: Most columns of one.
            most: Most rows in one.
        """
        extra = [len(tree.ids) if (tree := self.below(i)) else 0 for i in range(len(self.segments))]
        found = forwards(self.segments, some, budget, room=room, extra=extra)
        return [group[i : i + most] for group in found for i in range(0, len(group), most)]


def choose(
    model: Any,
    anatomy: Anatomy,
    session: Session,
    rows: Sequence[Answers],
    budget: int,
    vocab: int,
    memory: Memory,
    *,
    room: int,
    least: int = batching.LEAST,
) -> tuple[tuple[float, ...], ...]:
    """Return per row the log-probability of every option.

    Args:
        model: A causal language model whose cache keeps every token and which takes a mask of four dimensions.
        anatomy: Its parts.
        session: Hooks in place; what they change must not depend on the end of a prompt, see `apart`.
        rows: Prompts with their options.
        budget: Most tokens in one forward, padding counted.
        vocab: Tokens in the vocabulary.
        memory: What is known of the device's memory.
        room: Most columns of one forward: the model's context.
        least: Fewest tokens a shared run must save to be computed apart.
    """
    tree = _tree(rows, changes(session.steering, session.texts), budget, least)
    groups = [*tree.groups(list(tree.places), budget, room), *tree.groups(tree.ends, budget, room, tree.most(vocab))]
    pool = Pool(tree.free + max(map(tree.size, groups)))
    found: dict[int, tuple[float, ...]] = {}

    def run(group: Sequence[int]) -> None:
        scores = forward(model, anatomy, session, tree, pool, group)
        found.update(zip(tree.texts(group), scores, strict=bool(scores)))

    memory.all(groups, tree.size, run)
    return tuple(found[i] for i in range(len(rows)))


def forward(
    model: Any, anatomy: Anatomy, session: Session, tree: Tree, pool: Pool, group: Sequence[int]
) -> list[tuple[float, ...]]:
    """Run some segments; return the scores of the options below them, copy by copy, none where other segments follow.

    Args:
        model: The causal language model.
        anatomy: Its parts.
        session: Hooks in place.
        tree: Prompts and options.
        pool: Keys and values of earlier segments; those of these go into it.
        group: The segments.
    """
    batch, before, mask = _laid(tree, group, model)
    inside = group[0] in tree.places
    module, keep = (anatomy.base, 0) if inside else (model, 1 + tree.widths(group)[1])
    end = inside and anatomy.watch is hooked and not session.steering
    cache = pool.cache(len(anatomy.blocks), before, end=end)
    given = inputs(module, batch, mask, cached=True, cache=cache, keep=keep)
    out = session.forward(lambda: module(**given), batch.rows)
    if inside:
        return []
    copies = len(out.logits) // len(group)
    return _scores(out.logits[:, -keep:], [tree.options[t] for t in tree.texts(group)] * copies)


def apart(steering: Steered) -> bool:
    """Tell whether some change of a prompt's tokens depends on how the prompt ends, so that prompts share nothing."""
    return any("prompt" in (one.each, one.gate and one.gate.each) for one in flat(steering))


def _tree(rows: Sequence[Answers], lists: Sequence[Sequence[Steering]], budget: int, least: int) -> Tree:
    segments = batching.pieces(batching.tree(keys(rows, lists), least=least), budget)
    places = inner(segments)
    return Tree(rows, options_of(rows), segments, places, pooled(segments))


def options_of(rows: Sequence[Answers]) -> list[Branches]:
    """Return the options of every prompt as a tree."""
    known: dict[Any, Branches] = {}
    for row in rows:
        if row.options not in known:
            known[row.options] = branches(row.options)
    return [known[row.options] for row in rows]


def keys(rows: Sequence[Answers], lists: Sequence[Sequence[Steering]]) -> list[tuple[int, ...]]:
    """Return per prompt what its tokens must have in common to be shared: the token, and the changes made to it.

    The last token of a prompt is shared with no other, so that every prompt ends in a segment of its own.

    Args:
        rows: The prompts.
        lists: The changes of every prompt; a single list when all share it.
    """
    codes: dict[tuple[int, ...], int] = {(): 0}
    out = []
    for r, row in enumerate(rows):
        ids = np.array(row.prompt.ids, dtype=np.int64)
        mine = [one for one in lists[r if len(lists) > 1 else 0] if one.coefficient != 0]
        if mine:
            steered = touched(row, mine)
            patterns, which = np.unique(steered, axis=0, return_inverse=True)
            each = [tuple(id(one) for one, on in zip(mine, pattern, strict=True) if on) for pattern in patterns]
            ids = ids + np.array([codes.setdefault(one, len(codes)) for one in each])[which.ravel()] * 2**32
        out.append((*ids[:-1].tolist(), -1 - r))
    return out


def touched(row: Answers, mine: Sequence[Steering]) -> np.ndarray:
    """Return which tokens of a prompt each change acts on: (token, change)."""
    n = len(row.prompt.ids)
    span = [row.prompt.interval("option_span") if any(one.positions == "option_span" for one in mine) else (0, 0)]
    at = torch.arange(n)[None]
    tokens = Rows(at, torch.ones_like(at, dtype=torch.bool), torch.tensor([row.prompt.prompt_length]), torch.zeros(1))
    return torch.stack([tokens.steered(one.positions, torch.tensor(span))[0] for one in mine], dim=1).numpy()


def _laid(tree: Tree, group: Sequence[int], model: Any) -> tuple[Batch, Columns, Tensor]:
    """Return a forward's tokens, its place in the pool, and its mask: prompts end in one column, options follow."""
    line, more = tree.widths(group)
    shape = (len(group), line + more)
    ids, at, own = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros(shape, bool)
    sees = np.zeros((*shape, line + more), bool)
    sees[:, np.arange(line + more), np.arange(line + more)] = True  # padding sees itself
    real = own.copy()
    for r, i in enumerate(group):
        segment, below = tree.segments[i], tree.below(i)
        start, end = segment.start, segment.end
        whole = tree.rows[segment.texts[0]].prompt.ids
        first = line - (end - start)
        ids[r] = whole[start]  # padding repeats a token of the text
        ids[r, first:line], at[r, first:line], own[r, first:line] = whole[start:end], np.arange(start, end), True
        sees[r, first:line, first:line] = np.tri(end - start, dtype=bool)
        if below is not None and below.ids:
            k = line + len(below.ids)
            ids[r, line:k], at[r, line:k] = below.ids, end + np.array(below.depth)
            sees[r, line:k, first:line], sees[r, line:k, line:k] = True, below.sees
            real[r, line:k] = True
    before, past = columns(tree.segments, group, tree.places, own, model.device, free=tree.free)
    seen = np.concatenate([np.broadcast_to(past[:, None], (*shape, past.shape[1])), sees], axis=2)[:, None]
    texts = tree.texts(group)
    border = np.array([tree.rows[t].prompt.prompt_length for t in texts])
    rows = Rows(*(torch.from_numpy(x).to(model.device) for x in (at, real | own, border, np.array(texts))))
    mask = torch.zeros(seen.shape, dtype=model.dtype).masked_fill_(torch.from_numpy(~seen), _least(model.dtype))
    return Batch(torch.from_numpy(ids).to(model.device), rows), before, mask.to(model.device)


def _least(kind: torch.dtype) -> float:
    return torch.finfo(kind).min


def _scores(logits: Tensor, trees: Sequence[Branches]) -> list[tuple[float, ...]]:
    """Return every option's log-probability; logits of shape (row, end of the prompt and options' tokens, token)."""
    node, token, real = reads(trees, logits.device)
    wide = logits.float()
    n = torch.arange(len(trees), device=logits.device)[:, None, None]
    each = wide[n, node, token] - torch.logsumexp(wide, dim=-1)[n, node]
    total = torch.where(real, each, 0.0).sum(dim=2).tolist()
    return [tuple(one[: len(tree.reads)]) for one, tree in zip(total, trees, strict=True)]
