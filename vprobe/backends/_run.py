"""Batches on the device: padding, positions, masks, and generation one token at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vprobe.backends._families import Anatomy, accepts
from vprobe.backends._memory import Memory
from vprobe.backends._steer import Rows, Session
from vprobe.errors import ModelError
from vprobe.stops import Stops, Watch, holding
from vprobe.types import Generation, Tokens


@dataclass(frozen=True)
class Batch:
    """Rows padded to one width.

    Args:
        ids: Token ids, padding included.
        rows: What the tokens are.
    """

    ids: Tensor
    rows: Rows

    @property
    def mask(self) -> Tensor:
        """Attention mask, 1 for real tokens."""
        return self.rows.real.long()


def pad(
    texts: Sequence[Sequence[int]],
    borders: Sequence[int],
    device: Any,
    *,
    left: bool,
    owners: Sequence[int] | None = None,
) -> Batch:
    """Put texts of different length into one batch.

    Padding repeats a token of the text itself, so that any vocabulary has it; it is masked out everywhere.

    Args:
        texts: Token ids.
        borders: Per text the index of the first token of the answer.
        device: Where the batch goes.
        left: Pad on the left, as generation needs; otherwise on the right.
        owners: Per text the row of the call it belongs to; in order when None.
    """
    width = max(len(ids) for ids in texts)
    ids, at, real = [], [], []
    for text in texts:
        gap, n = width - len(text), len(text)
        ids.append([text[0]] * gap + list(text) if left else list(text) + [text[0]] * gap)
        at.append([0] * gap + list(range(n)) if left else list(range(n)) + [0] * gap)
        real.append([False] * gap + [True] * n if left else [True] * n + [False] * gap)
    mine = list(range(len(texts)) if owners is None else owners)
    rows = Rows(*(torch.tensor(part, device=device) for part in (at, real, list(borders), mine)))
    return Batch(torch.tensor(ids, device=device), rows)


def inputs(
    module: Any, batch: Batch, mask: Tensor, *, cached: bool = False, cache: Any = None, keep: int = 0
) -> dict[str, Any]:
    """Return a forward's keywords; positions are explicit wherever the model takes them.

    Args:
        module: The model that will run.
        batch: Its tokens.
        mask: Attention mask over the cache and the tokens.
        cached: Return a cache.
        cache: Keys and values of the columns before these.
        keep: Last columns to compute logits for, where the model can do so; 0 is all.
    """
    given: dict[str, Any] = {"input_ids": batch.ids, "attention_mask": mask, "use_cache": cached}
    if cache is not None:
        given["past_key_values"] = cache
    if accepts(module, "position_ids"):
        given["position_ids"] = batch.rows.positions
    if keep and accepts(module, "logits_to_keep"):
        given["logits_to_keep"] = keep
    return given


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen: temperature 0 is the likeliest; otherwise one random stream per row."""

    temperature: float
    streams: tuple[torch.Generator, ...]

    def of(self, rows: Sequence[int]) -> Sampling:
        """Return the choice for some of the rows."""
        return Sampling(self.temperature, tuple(self.streams[i] for i in rows))

    def pick(self, logits: Tensor) -> list[int]:
        """Choose a token per row."""
        if self.temperature == 0:
            return logits.argmax(dim=-1).tolist()
        chances = torch.softmax(logits.double().cpu() / self.temperature, dim=-1)
        return [int(torch.multinomial(p, 1, generator=g)) for p, g in zip(chances, self.streams, strict=True)]


def sampling(temperature: float, seed: int, names: Sequence[str]) -> Sampling:
    """Give each row its own stream of random numbers, so that a row's text does not depend on its batch.

    Args:
        temperature: 0 is greedy.
        seed: Seed of the run.
        names: Prompt ids; a name that comes again gets another stream.
    """
    seen: dict[str, int] = {}
    streams = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        digest = hashlib.sha256(f"{seed}/{seen[name]}/{name}".encode()).digest()
        streams.append(torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1))
    return Sampling(temperature, tuple(streams))


Tell = Callable[[Sequence[Sequence[int]]], None]
"""Told after every step what the rows of a batch have so far."""


@dataclass
class _Growth:
    """Rows while they grow."""

    new: list[list[int]]
    room: list[int]
    stops: Stops
    tell: Tell | None = None

    def __post_init__(self) -> None:
        self.ended, self.stopped = [False for _ in self.new], [False for _ in self.new]
        self.texts: list[str | None] = [None for _ in self.new]
        self.watches = [Watch(self.stops) for _ in self.new]

    def add(self, tokens: Sequence[int]) -> None:
        for i, token in enumerate(tokens):
            if self.ended[i]:
                continue
            self.stopped[i] = token in self.stops.tokens
            if not self.stopped[i]:
                self._append(i, token)
            self.ended[i] = self.stopped[i] or len(self.new[i]) >= self.room[i]
        if self.tell is not None:
            self.tell(self.new)

    def _append(self, i: int, token: int) -> None:
        """Give a row a token; where its text reaches a stop string, tokens beyond what stands before it are dropped."""
        self.new[i].append(token)
        text = self.texts[i] = self.watches[i].reached(self.new[i])
        if text is not None:
            self.stopped[i], self.new[i] = True, list(holding(text, self.new[i], self.stops.decode))

    def written(self, i: int, name: str) -> Generation:
        text = self.texts[i]
        return Generation(
            name, tuple(self.new[i]), self.stops.decode(self.new[i]) if text is None else text, self.stopped[i]
        )


def write(
    model: Any,
    anatomy: Anatomy,
    session: Session,
    texts: Sequence[Tokens],
    *,
    room: Sequence[int],
    stops: Stops,
    choice: Sampling,
    memory: Memory,
    tell: Tell | None = None,
) -> tuple[Generation, ...]:
    """Continue every text until it ends its turn or has no room left.

    Args:
        model: The causal language model.
        anatomy: Its parts.
        session: Hooks in place.
        texts: Prompts.
        room: Per text the most new tokens.
        stops: What ends a text.
        choice: How tokens are chosen.
        memory: What is known of the device's memory.
        tell: Told after every step.
    """
    done: dict[int, Generation] = {}
    fresh = [stream.get_state() for stream in choice.streams]

    def run(group: Sequence[int]) -> None:
        part, own = [texts[i] for i in group], [room[i] for i in group]
        for i in group:
            choice.streams[i].set_state(fresh[i])  # also when what was drawn is lost
        batch = pad([t.ids for t in part], [t.prompt_length for t in part], model.device, left=True, owners=group)
        grown = _Growth([[] for _ in group], own, stops, tell)
        _grow(model, anatomy, session, batch, grown, choice.of(group))
        done.update((i, grown.written(k, texts[i].prompt_id)) for k, i in enumerate(group))

    whole = [len(text.ids) + one for text, one in zip(texts, room, strict=True)]
    groups = _groups([len(text.ids) for text in texts], room)
    memory.all(groups, lambda group: len(group) * max(whole[i] for i in group), run)
    return tuple(done[i] for i in range(len(texts)))


def _groups(lengths: Sequence[int], room: Sequence[int]) -> list[list[int]]:
    """Divide rows so that padding never pushes a batch beyond the context: some models count padded columns.

    Rows whose room is cut short by the context stand with rows of the same length only.
    """
    full = max(room)
    groups: dict[int, list[int]] = {}
    for i, (length, free) in enumerate(zip(lengths, room, strict=True)):
        groups.setdefault(length if free < full else 0, []).append(i)
    return list(groups.values())


def _grow(model: Any, anatomy: Anatomy, session: Session, batch: Batch, grown: _Growth, choice: Sampling) -> None:
    """Add tokens to a left-padded batch until every row has ended."""
    now, mask, cache, whole = batch, batch.mask, None, batch
    while not all(grown.ended):
        now = now if anatomy.cached else whole
        given = inputs(model, now, mask, cached=anatomy.cached, cache=cache, keep=1)
        out = session.forward(lambda given=given: model(**given), now.rows)
        cache = out.past_key_values if anatomy.cached else None
        last = out.logits[:, -1].float()
        if not bool(torch.isfinite(last).any(dim=-1).all()):
            raise ModelError(
                "the model's logits are not finite",
                where="generate",
                do="steer with a smaller strength, or run the model with --dtype float32",
            )
        tokens = choice.pick(last)
        grown.add(tokens)
        now = _next(whole, tokens, grown.ended)
        mask = torch.cat([mask, now.mask], dim=1)
        whole = _joined(whole, now)


def _next(whole: Batch, tokens: Sequence[int], ended: Sequence[bool]) -> Batch:
    """Return the batch of one new token per row; a row that has ended repeats its last place as padding."""
    device = whole.ids.device
    going = torch.tensor([not one for one in ended], device=device)[:, None]
    at = whole.rows.positions.max(dim=1, keepdim=True).values
    ids = torch.tensor(tokens, device=device)[:, None]
    return Batch(ids, Rows(torch.where(going, at + 1, at), going, whole.rows.prompt_length, whole.rows.owner))


def _joined(whole: Batch, now: Batch) -> Batch:
    rows = Rows(
        torch.cat([whole.rows.positions, now.rows.positions], dim=1),
        torch.cat([whole.rows.real, now.rows.real], dim=1),
        whole.rows.prompt_length,
        whole.rows.owner,
    )
    return Batch(torch.cat([whole.ids, now.ids], dim=1), rows)
