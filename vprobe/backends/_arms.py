"""One batch under many steerings: what no arm changes runs once, then the batch forks into one copy per arm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from vprobe import batching
from vprobe.backends._arms_together import choose_arms as choose_tree
from vprobe.backends._branches import branches, score, sizes
from vprobe.backends._choose import Limits, branches_hold, choose, close, tails
from vprobe.backends._families import Anatomy
from vprobe.backends._fork import Arm, ForkSession, fork_of
from vprobe.backends._memory import TooLarge, short
from vprobe.backends._run import Batch, inputs, pad
from vprobe.backends._steer import Session
from vprobe.backends._together import apart
from vprobe.types import Answers, Site

Chosen = tuple[tuple[float, ...], ...]

_LARGEST = 2**26
"""Most logits held at once."""
_LATE = ("response", "after_prompt")
"""Position rules that leave all tokens before the last of the prompt alone."""


def choose_arms(
    model: Any,
    anatomy: Anatomy,
    rows: Sequence[Answers],
    arms: Sequence[Arm],
    limits: Limits,
    *,
    budget: int,
    known: dict[Site, bool],
) -> tuple[Chosen, ...]:
    """Return per arm what `choose` returns with its steering.

    Args:
        model: The causal language model.
        anatomy: Its parts.
        rows: Prompts with their options.
        arms: Per arm its changes; arms that change nothing share one run.
        limits: What bounds a batch.
        budget: Most tokens of prompts, copies counted, that run at once.
        known: Whether this model can be forked at a place, as found out before; added to.
    """

    def alone(some: Sequence[Answers], arm: Arm) -> Chosen:
        with Session(anatomy, arm, texts=[row.prompt for row in some]) as session:
            return choose(model, anatomy, session, some, limits)

    live = [a for a, arm in enumerate(arms) if arm]
    found: dict[int, Chosen] = {}
    if len(live) < len(arms):
        found = dict.fromkeys([a for a, arm in enumerate(arms) if not arm], alone(rows, ()))
    longest = max(len(o) for r in rows for o in r.options)
    columns = max(len(r.prompt.ids) for r in rows) + max(longest, sizes(rows))
    fits = anatomy.forkable and columns <= limits.context and len(live) > 1
    tree = fits and _tree(model, anatomy, rows[:2])
    if not fits or not _forks(model, anatomy, rows[:2], [arms[live[0]], arms[live[-1]]], alone, known, tree, limits):
        found |= {a: alone(rows, arms[a]) for a in live}
        return tuple(found[a] for a in range(len(arms)))
    held, step = _bounds(rows, columns, longest, limits, packed=not any(map(apart, arms)), budget=budget)

    def run(part: Sequence[int]) -> None:
        found.update(zip(part, _forked(model, anatomy, rows, [arms[a] for a in part], tree, limits), strict=True))

    parts = [live[i : i + step] for i in range(0, len(live), step)]
    limits.memory.all(parts, lambda part: len(part) * held, run)
    return tuple(found[a] for a in range(len(arms)))


def _bounds(
    rows: Sequence[Answers], columns: int, longest: int, limits: Limits, *, packed: bool, budget: int
) -> tuple[int, int]:
    """Return the tokens that one arm holds, and how many arms run at once."""
    if limits.packed and packed:  # its forwards bound logits themselves
        ids = [row.prompt.ids for row in rows]
        held = batching.distinct(ids, [range(len(ids))]) + sum(len(branches(row.options).ids) for row in rows)
        return held, max(1, budget // held)
    each = len(rows) * max(len(r.options) for r in rows) * longest * limits.vocab
    return len(rows) * columns, max(1, min(_LARGEST // each, budget // (len(rows) * columns)))


def _tree(model: Any, anatomy: Anatomy, rows: Sequence[Answers]) -> bool:
    with Session(anatomy, texts=[row.prompt for row in rows]) as session:
        return branches_hold(model, session, rows)


def _forks(
    model: Any,
    anatomy: Anatomy,
    rows: Sequence[Answers],
    arms: Sequence[Arm],
    alone: Callable[[Sequence[Answers], Arm], Chosen],
    known: dict[Site, bool],
    tree: bool,
    limits: Limits,
) -> bool:
    """Tell, by two arms on two rows, whether this model can be forked; some lay out their masks otherwise."""
    place = fork_of(arms)
    if place not in known:
        apart = [alone(rows, arm) for arm in arms]
        try:
            found = _forked(model, anatomy, rows, arms, tree, limits)
            known[place] = all(close(f, w, model.dtype) for f, w in zip(found, apart, strict=True))
        except (RuntimeError, MemoryError, TooLarge) as error:
            if short(error):
                return False  # not known yet
            known[place] = False  # masks of another shape
    return known[place]


def _forked(
    model: Any, anatomy: Anatomy, rows: Sequence[Answers], arms: Sequence[Arm], tree: bool, limits: Limits
) -> list[Chosen]:
    if limits.packed and not any(apart(arm) for arm in arms):
        return choose_tree(model, anatomy, rows, arms, limits.packed, limits.vocab, limits.memory, room=limits.context)
    n, copies = len(rows), len(arms)
    prompts = pad([r.prompt.ids for r in rows], [r.prompt.prompt_length for r in rows], model.device, left=True)
    most = max(len(r.options) for r in rows)
    flat = [o for r in rows for o in list(r.options) + [r.options[0]] * (most - len(r.options))]
    session = ForkSession(anatomy, arms=arms, texts=[row.prompt for row in rows])
    cut = _untouched(rows, arms, prompts.ids.shape[1])
    early = None
    if cut:
        base, part = anatomy.base, _columns(prompts, 0, cut)
        with Session(anatomy) as plain:
            early = plain.forward(lambda: base(**inputs(base, part, prompts.mask[:, :cut], cached=True)), part.rows)
    with session:
        cache = None
        if early is not None:
            cache = early.past_key_values
            _copy(cache, session.first_wide, n, copies, model.device)
        late = _columns(prompts, cut, None)
        given = inputs(model, late, prompts.mask, cached=True, cache=cache, keep=1)
        start = session.forward(lambda: model(**given), late.rows)
        if tree:
            trees = [branches(row.options) for row in rows]
            total = score(model, session, prompts, trees, start.logits[:, -1], start.past_key_values, copies=copies)
        else:
            total = _apart(model, session, prompts, start, flat, most, copies)
    scores = total.reshape(copies, n, most).tolist()
    return [tuple(tuple(one[: len(r.options)]) for one, r in zip(arm, rows, strict=True)) for arm in scores]


def _apart(
    model: Any,
    session: ForkSession,
    prompts: Batch,
    start: Any,
    flat: Sequence[tuple[int, ...]],
    most: int,
    copies: int,
) -> Tensor:
    """Return the log-probability of every option, each a row of its own."""
    n = len(prompts.ids)
    owner = torch.arange(copies * n, device=model.device).repeat_interleave(most)
    firsts = torch.tensor([o[0] for o in flat], device=model.device).repeat(copies)
    total = torch.log_softmax(start.logits[:, -1].float(), dim=-1)[owner, firsts]
    if max(len(o) for o in flat) > 1:
        start.past_key_values.batch_repeat_interleave(most)
        total = total + tails(model, session, prompts, flat, most, start.past_key_values, copies=copies)
    return total


def _untouched(rows: Sequence[Answers], arms: Sequence[Arm], width: int) -> int:
    """Return how many columns of the padded prompts stand before the first token that any arm changes."""
    if any(one.positions not in _LATE for arm in arms for one in arm):
        return 0
    first = [width - len(r.prompt.ids) + max(r.prompt.prompt_length - 1, 0) for r in rows]
    return min(*first, width - 1)


def _columns(batch: Batch, start: int, end: int | None) -> Batch:
    return Batch(batch.ids[:, start:end], batch.rows.columns(start, end))


def _copy(cache: Any, first: int, n: int, copies: int, device: Any) -> None:
    """Repeat the keys and values of the blocks that run on all copies."""
    order = torch.arange(n, device=device).repeat(copies)
    for layer in cache.layers[first:]:
        layer.batch_select_indices(order.to(layer.keys.device))
