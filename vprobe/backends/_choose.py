"""Log-probabilities of whole option phrases: the shared prompt runs once, its cache is repeated over the options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vprobe.backends._families import Anatomy
from vprobe.backends._run import Batch, inputs, pad
from vprobe.backends._steer import Rows, Session
from vprobe.types import Answers

_LARGEST = 2**27
"""Most logits held at once, about half a gigabyte in float32."""


def choose(
    model: Any, anatomy: Anatomy, session: Session, rows: Sequence[Answers], vocab: int, context: int
) -> tuple[tuple[float, ...], ...]:
    """Return per row the log-probability of every option.

    Args:
        model: The causal language model.
        anatomy: Its parts.
        session: Hooks in place.
        rows: Prompts with their options.
        vocab: Tokens in the vocabulary.
        context: Most columns a batch may have; some models count padding.
    """
    columns = max(len(r.prompt.ids) for r in rows) + max(len(o) for r in rows for o in r.options)
    cost = max(len(r.options) for r in rows) * max(len(o) for r in rows for o in r.options) * vocab
    step = max(1, _LARGEST // cost) if anatomy.forkable and columns <= context else 1
    score = _forked if anatomy.forkable else _whole
    out: list[tuple[float, ...]] = []
    for i in range(0, len(rows), step):
        out += score(model, session, rows[i : i + step], i)
    return tuple(out)


def picked(logits: Tensor, ids: Tensor) -> Tensor:
    """Return the log-probability of each token, computed in float32."""
    return torch.log_softmax(logits.float(), dim=-1).gather(-1, ids[..., None])[..., 0]


def _forked(model: Any, session: Session, rows: Sequence[Answers], first: int) -> list[tuple[float, ...]]:
    """Run each prompt once, then all its options as short continuations of one repeated cache."""
    borders, owners = [r.prompt.prompt_length for r in rows], range(first, first + len(rows))
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


def _whole(model: Any, session: Session, rows: Sequence[Answers], first: int) -> list[tuple[float, ...]]:
    """Run every option as a full row; for models whose cache forgets, such as sliding windows."""
    out = []
    for i, row in enumerate(rows, first):
        texts = [row.prompt.ids + option for option in row.options]
        borders, owners = [row.prompt.prompt_length] * len(texts), [i] * len(texts)
        batch = pad([t[:-1] for t in texts], borders, model.device, left=False, owners=owners)
        keep = batch.ids.shape[1] - len(row.prompt.ids) + 1
        given = inputs(model, batch, batch.mask, keep=keep)
        logits = session.forward(lambda given=given: model(**given), batch.rows).logits[:, -keep:]
        targets = torch.tensor([list(o) + [0] * (keep - len(o)) for o in row.options], device=model.device)
        real = torch.tensor([[j < len(o) for j in range(keep)] for o in row.options], device=model.device)
        out.append(tuple(torch.where(real, picked(logits, targets), 0.0).sum(dim=1).tolist()))
    return out
