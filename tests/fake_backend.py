"""A model made of numpy: the same tokens always give the same numbers. Run as a program it records, to be killed."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from vprobe import activations, ranks, stops
from vprobe.types import (
    Answers,
    Generation,
    Mark,
    Message,
    ModelInfo,
    ModelSize,
    Option,
    Prompt,
    Site,
    Span,
    Steering,
    Tokens,
)

OPTIONS = (
    Option("very much like me", 6.0),
    Option("like me", 5.0),
    Option("somewhat like me", 4.0),
    Option("a little like me", 3.0),
    Option("not like me", 2.0),
    Option("not like me at all", 1.0),
)


class FakeTokenizer:
    """One token per word; ids from the characters."""

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(sum((i + 1) * ord(c) for i, c in enumerate(word)) % 997 for word in text.split())


class FakeBackend:
    """Reads, chooses and generates without a network; counts what it was asked."""

    def __init__(
        self,
        *,
        fingerprint: str = "a" * 64,
        name: str = "fake",
        context: int = 64,
        delay: float = 0.0,
        answer: str = "",
        budget: int = 48,
    ) -> None:
        self.info = ModelInfo(name, "", fingerprint, "fake", 4, 8, context, "float32", True)
        self.tokenizer: Any = FakeTokenizer()
        self.points: tuple[str, ...] = ("embed", "resid_post", "attn_out")
        self.device = "cpu"
        self.default_batch_tokens = budget
        self.size = ModelSize(8.0, 32, 0, 32, budget)
        self.unshared = self.unshared_options = "a table of numbers shares nothing"
        self.halved = 0
        self.delay, self.answer = delay, answer
        self.calls: list[tuple[str, ...]] = []
        self.asked_new_tokens: list[tuple[int, int]] = []
        self.poison: tuple[str, Site] | None = None
        self.stop_after: int | None = None

    def _begin(self, ids: tuple[str, ...]) -> None:
        if self.stop_after is not None and len(self.calls) >= self.stop_after:
            raise KeyboardInterrupt
        time.sleep(self.delay)
        self.calls.append(ids)

    def read(
        self,
        rows: Sequence[Tokens],
        sites: Sequence[Site],
        positions: Sequence[str],
        *,
        steering: Sequence[Steering] = (),
    ) -> np.ndarray:
        self._begin(tuple(row.prompt_id for row in rows))
        x = np.empty((len(positions), len(rows), len(sites), self.info.d_model), np.float32)
        table = np.random.default_rng(7).standard_normal((997, self.info.d_model)).astype(np.float32)
        for p, position in enumerate(positions):
            for r, row in enumerate(rows):
                start, end = row.interval(position)
                for s, site in enumerate(sites):
                    x[p, r, s] = table[list(row.ids[start:end])].mean(axis=0) * (site.layer + 1) + len(site.point)
                    if self.poison == (row.prompt_id, site):
                        x[p, r, s, 3] = np.nan
        return x

    def choose(self, rows: Sequence[Answers], *, steering: Sequence[Steering] = ()) -> tuple[tuple[float, ...], ...]:
        self._begin(tuple(row.prompt.prompt_id for row in rows))
        return tuple(
            tuple(-1.0 - ((sum(row.prompt.ids) + 31 * k) % 7) / 3 for k in range(len(row.labels))) for row in rows
        )

    def choose_arms(
        self, rows: Sequence[Answers], arms: Sequence[Sequence[Steering]]
    ) -> tuple[tuple[tuple[float, ...], ...], ...]:
        return tuple(self.choose(rows, steering=arm) for arm in arms)

    def generate(
        self,
        rows: Sequence[Tokens],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        steering: Sequence[Steering] = (),
        stop: Sequence[str] = (),
    ) -> tuple[Generation, ...]:
        self.asked_new_tokens.append((len(rows), max_new_tokens))
        whole = [self.answer or OPTIONS[sum(row.ids) % 6].label for row in rows]
        ended = [stops.before(text, stop) for text in whole]
        texts = [text if cut is None else cut for text, cut in zip(whole, ended, strict=True)]
        return tuple(Generation(row.prompt_id, (1,), text, True) for row, text in zip(rows, texts, strict=True))

    def drift(self, rows: Sequence[Tokens], *, steering: Sequence[Steering]) -> np.ndarray:
        """KL grows with the square of the coefficients, as it does for small changes of a real model."""
        size = sum(one.coefficient**2 for one in steering)
        n = [max(1, len(row.ids) - 1) for row in rows]
        return np.array([(0.01 * size * k, 2.0, 2.0 + 0.01 * size, k) for k in n], np.float64)

    def neuron_weights(self, layer: int) -> np.ndarray:
        return np.random.default_rng(layer).standard_normal((16, 8)).astype(np.float32)

    def residual_norms(self, rows: Sequence[Tokens], sites: Sequence[Site]) -> np.ndarray:
        return np.full(len(sites), 2.0, np.float32)


def prompts(n: int = 30, *, template: str = "response", words: int = 12) -> list[Prompt]:
    """Make prompts of differing lengths, five to a query, from two sources."""
    rng = np.random.default_rng(3)
    made = []
    for i in range(n):
        query = " ".join(f"q{i // 5}w{j}" for j in range(2 + i % 3))
        said = " ".join(f"i{i}w{j}" for j in range(int(rng.integers(1, words))))
        source, options = ("Reddit", "Abby")[(i // 5) % 2], () if template == "response" else OPTIONS
        messages = (Message("user", query), Message("assistant", said))
        marks = (Mark("response", 1, 0, len(said)),)
        made.append(Prompt(f"i{i}:{template}", f"i{i}", f"q{i // 5}", source, template, messages, marks, options))
    return made


def encode(tokenizer: FakeTokenizer, prompt: Prompt) -> Tokens:
    head, tail = (tokenizer.encode(message.content) for message in prompt.messages[:2])
    n = len(head) + len(tail)
    spans = (Span("content", 0, len(head)), Span("response", len(head), n))
    return Tokens(prompt.id, head + tail, len(head), spans, " ".join(m.content for m in prompt.messages))


def encode_answers(tokenizer: FakeTokenizer, prompt: Prompt) -> Answers:
    options = tuple((*tokenizer.encode(option.label), 0) for option in prompt.options)
    labels, ratings = tuple(o.label for o in prompt.options), tuple(o.rating for o in prompt.options)
    return Answers(encode(tokenizer, prompt), options, labels, ratings)


SITES = tuple(sorted([Site(0), Site(2), Site(1, "attn_out")]))
POSITIONS = ("response_mean", "last_prompt")


def extract(folder: Path, backend: FakeBackend, *, n: int = 30, **changed: Any) -> None:
    """Record the standard little extraction, with some settings changed."""
    made = prompts(n)
    given = {"sites": SITES, "positions": POSITIONS, "folder": folder, "sync_seconds": 0.0} | changed
    activations.record(backend, made, [encode(backend.tokenizer, prompt) for prompt in made], **given)


if __name__ == "__main__":
    slow = FakeBackend(delay=float(sys.argv[2]))
    print("ready", flush=True)
    shared = tuple(("limit", word) for word in sys.argv[3:])
    many = {"batch_tokens": 16} if shared else {}  # ranks want several batches each
    extract(Path(sys.argv[1]), slow, rank=ranks.find(), settings=shared, **many)
    print("finished", flush=True)
