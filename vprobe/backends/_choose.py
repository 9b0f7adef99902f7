"""Log-probabilities of whole option phrases: the shared prompt runs once, its cache is repeated over the options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from vprobe import batching
from vprobe.backends import _together
from vprobe.backends._branches import branches, score, sizes
from vprobe.backends._families import Anatomy
from vprobe.backends._memory import Memory, short
from vprobe.backends._run import Batch, inputs, pad
from vprobe.backends._steer import Rows, Session
from vprobe.types import Answers, Tokens

_CLOSE, _COARSE = 1e-4, 5e-2
"""Largest relative difference in log-probability that float32, and a shorter format, explain."""
_LARGEST = 2**27
"""Most logits held at once, about half a gigabyte in float32."""
WINDOW = "it looks back through a window of tokens"
PACKED = "it does not read options packed into one row as it reads them apart"


@dataclass(frozen=True)
class Limits:
    """What bounds the batches of a loaded model.

    Args:
        vocab: Tokens in the vocabulary.
        context: Most columns a batch may have; some models count padding.
        tokens: Most tokens in a batch, padding counted.
        packed: Most tokens in a forward where prompts are one tree; 0 where the model does not allow that.
        memory: What is known of the device's memory.
    """

    vocab: int
    context: int
    tokens: int
    packed: int
    memory: Memory


def choose(
    model: Any, anatomy: Anatomy, session: Session, rows: Sequence[Answers], limits: Limits
) -> tuple[tuple[float, ...], ...]:
    """Return per row the log-probability of every option; prompts are one tree where the model allows it.

    Args:
        model: The causal language model.
        anatomy: Its parts.
        session: Hooks in place.
        rows: Prompts with their options.
        limits: What bounds a batch.
    """
    longest = max(len(o) for r in rows for o in r.options)
    columns = max(len(r.prompt.ids) for r in rows) + max(longest, sizes(rows))
    fits = anatomy.forkable and columns <= limits.context
    if fits and limits.packed and not _together.apart(session.steering):
        return _together.choose(
            model, anatomy, session, rows, limits.packed, limits.vocab, limits.memory, room=limits.context
        )
    cost = max(len(r.options) for r in rows) * longest * limits.vocab
    step = max(1, _LARGEST // cost) if fits else 1
    way = _forked if anatomy.forkable else None
    if fits and branches_hold(model, session, rows[:2]):
        way = _branched
    found: dict[int, tuple[float, ...]] = {}

    def run(group: Sequence[int]) -> None:
        some, scores = [rows[i] for i in group], None
        if way is not None:
            scores = _tried(partial(way, model, session, some, group), last=len(group) > 1)
        if scores is None:
            scores = _whole(model, session, some, group, limits)
        found.update(zip(group, scores, strict=True))

    lengths = [len(row.prompt.ids) for row in rows]
    groups = batching.plan(lengths, limits.tokens, max_rows=step)
    limits.memory.all(groups, lambda group: len(group) * max(lengths[i] for i in group), run)
    return tuple(found[i] for i in range(len(rows)))


def _tried(run: Callable[[], list[tuple[float, ...]]], *, last: bool) -> list[tuple[float, ...]] | None:
    """Return what a run gives; None when memory ran out, unless there is nothing else to try."""
    try:
        return run()
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if last or not short(error):
            raise
    return None


def unshared(model: Any, anatomy: Anatomy, vocab: int) -> str:
    """Return why prompts with options cannot be one tree; empty when a trial on a few tokens was exact.

    Args:
        model: A causal language model on its device.
        anatomy: Its parts.
        vocab: Tokens in the vocabulary.
    """
    if getattr(model.config, "window_size", None):
        return WINDOW
    ids = [int(i) for i in torch.arange(1, 41) * max(1, vocab // 41) % vocab]
    prompts = (ids[:20], ids[:12] + ids[30:37], ids[20:29])
    options = tuple(tuple(one) for one in (ids[:3], ids[5:8], ids[:1] + ids[8:10], ids[9:10]))
    rows = [
        Answers(Tokens(str(i), tuple(one), len(one)), options, ("",) * 4, (0.0,) * 4) for i, one in enumerate(prompts)
    ]
    with torch.inference_mode(), Session(anatomy, (), texts=[row.prompt for row in rows]) as session:
        try:
            found = _together.choose(model, anatomy, session, rows, 48, vocab, Memory(), room=48, least=4)
        except (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
            if short(error):
                raise
            return PACKED  # masks of another shape
        return "" if close(found, _forked(model, session, rows, range(3)), model.dtype) else PACKED


_HOLDS: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
"""Whether a model reads options as branches of a tree rightly; found out once per model."""


def branches_hold(model: Any, session: Session, rows: Sequence[Answers]) -> bool:
    """Tell, by one or two rows, whether branches give what options of their own give.

    Some models take positions from the order of tokens, or look back through a window of them.
    """
    if model not in _HOLDS:
        try:
            _HOLDS[model] = not getattr(model.config, "window_size", None) and _alike(model, session, rows)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not short(error):
                raise
            return False  # not known yet
    return _HOLDS[model]


def _alike(model: Any, session: Session, rows: Sequence[Answers]) -> bool:
    tried = []
    for row in rows:
        a, b = row.prompt.ids[0], row.prompt.ids[-1]
        tried.append(replace(row, options=((a, b, a), (b, a, b), (a, a)), labels=("",) * 3, ratings=(0.0,) * 3))
    rows = tried
    try:
        found = _branched(model, session, rows, range(len(rows)))
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        if short(error):
            raise
        return False  # masks of another shape
    return close(found, _forked(model, session, rows, range(len(rows))), model.dtype)


def close(found: Sequence[Sequence[float]], wanted: Sequence[Sequence[float]], dtype: torch.dtype) -> bool:
    """Tell whether log-probabilities differ by no more than a number format explains."""
    limit = _CLOSE if dtype == torch.float32 else _COARSE
    pairs = [pair for f, w in zip(found, wanted, strict=True) for pair in zip(f, w, strict=True)]
    return all(abs(a - b) <= limit * max(1.0, abs(b)) for a, b in pairs)


def _branched(model: Any, session: Session, rows: Sequence[Answers], owners: Sequence[int]) -> list[tuple[float, ...]]:
    """Run each prompt once, then its options as one tree on its cache."""
    borders = [r.prompt.prompt_length for r in rows]
    prompts = pad([r.prompt.ids for r in rows], borders, model.device, left=True, owners=owners)
    given = inputs(model, prompts, prompts.mask, cached=True, keep=1)
    start = session.forward(lambda: model(**given), prompts.rows)
    trees = [branches(row.options) for row in rows]
    found = score(model, session, prompts, trees, start.logits[:, -1], start.past_key_values).tolist()
    return [tuple(one[: len(r.options)]) for one, r in zip(found, rows, strict=True)]


def picked(logits: Tensor, ids: Tensor) -> Tensor:
    """Return the log-probability of each token, computed in float32."""
    return torch.log_softmax(logits.float(), dim=-1).gather(-1, ids[..., None])[..., 0]


def _forked(model: Any, session: Session, rows: Sequence[Answers], owners: Sequence[int]) -> list[tuple[float, ...]]:
    """Run each prompt once, then all its options as short continuations of one repeated cache."""
    borders = [r.prompt.prompt_length for r in rows]
    prompts = pad([r.prompt.ids for r in rows], borders, model.device, left=True, owners=owners)
    given = inputs(model, prompts, prompts.mask, cached=True, keep=1)
    start = session.forward(lambda: model(**given), prompts.rows)
    most = max(len(r.options) for r in rows)
    options = [list(r.options) + [r.options[0]] * (most - len(r.options)) for r in rows]
    flat = [option for per_row in options for option in per_row]
    owner = torch.arange(len(rows), device=model.device).repeat_interleave(most)
    firsts = torch.tensor([o[0] for o in flat], device=model.device)
    total = torch.log_softmax(start.logits[:, -1].float(), dim=-1)[owner, firsts]
    if max(len(o) for o in flat) > 1:
        start.past_key_values.batch_repeat_interleave(most)
        total = total + tails(model, session, prompts, flat, most, start.past_key_values)
    scores = total.reshape(len(rows), most).tolist()
    return [tuple(one[: len(r.options)]) for one, r in zip(scores, rows, strict=True)]


def tails(
    model: Any,
    session: Session,
    prompts: Batch,
    flat: Sequence[tuple[int, ...]],
    most: int,
    cache: Any,
    *,
    copies: int = 1,
) -> Tensor:
    """Return the summed log-probability of every option's tokens after its first, copy by copy.

    Args:
        model: The causal language model.
        session: Hooks in place.
        prompts: The prompts as a batch.
        flat: Options of all prompts, `most` each.
        most: Options per prompt.
        cache: Keys and values of the prompts, repeated over the options.
        copies: How often the session repeats the batch on its way.
    """
    device = model.device
    owner = torch.arange(len(prompts.ids), device=device).repeat_interleave(most)
    wide = pad([o[:-1] or o[:1] for o in flat], prompts.rows.prompt_length[owner].tolist(), device, left=False)
    lengths = prompts.rows.real.sum(dim=1)[owner][:, None]
    real = wide.rows.real & torch.tensor([len(o) > 1 for o in flat], device=device)[:, None]
    at = torch.where(real, wide.rows.positions + lengths, lengths - 1)
    batch = Batch(wide.ids, Rows(at, real, wide.rows.prompt_length, prompts.rows.owner[owner]))
    mask = torch.cat([prompts.mask[owner], batch.mask], dim=1)
    given = inputs(model, batch, mask, cached=True, cache=cache)
    logits = session.forward(lambda: model(**given), batch.rows).logits
    longest = wide.ids.shape[1]
    targets = torch.tensor([list(o[1:]) + [0] * (longest - len(o) + 1) for o in flat], device=device)
    return torch.where(real.repeat(copies, 1), picked(logits, targets.repeat(copies, 1)), 0.0).sum(dim=1)


def _whole(
    model: Any, session: Session, rows: Sequence[Answers], owners: Sequence[int], limits: Limits
) -> list[tuple[float, ...]]:
    """Run every option as a full row; for models whose cache forgets, such as sliding windows."""
    return [_options(model, session, row, owner, limits) for row, owner in zip(rows, owners, strict=True)]


def _options(model: Any, session: Session, row: Answers, owner: int, limits: Limits) -> tuple[float, ...]:
    """Run a prompt with each of its options, as many at once as the limits allow."""
    n = len(row.prompt.ids)
    found: dict[int, float] = {}

    def run(group: Sequence[int]) -> None:
        some = [row.options[k] for k in group]
        borders, mine = [row.prompt.prompt_length] * len(some), [owner] * len(some)
        batch = pad([(row.prompt.ids + one)[:-1] for one in some], borders, model.device, left=False, owners=mine)
        keep = batch.ids.shape[1] - n + 1
        given = inputs(model, batch, batch.mask, keep=keep)
        logits = session.forward(lambda: model(**given), batch.rows).logits[:, -keep:]
        targets = torch.tensor([list(o) + [0] * (keep - len(o)) for o in some], device=model.device)
        real = torch.tensor([[j < len(o) for j in range(keep)] for o in some], device=model.device)
        found.update(zip(group, torch.where(real, picked(logits, targets), 0.0).sum(dim=1).tolist(), strict=True))

    lengths = [n + len(option) for option in row.options]
    groups = batching.plan(lengths, limits.tokens)
    limits.memory.all(groups, lambda group: len(group) * max(lengths[k] for k in group), run)
    return tuple(found[k] for k in range(len(row.options)))
