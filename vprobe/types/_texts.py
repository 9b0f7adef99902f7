"""What a model is shown and what it says: prompts, tokens, answers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vprobe.errors import InputError, unknown
from vprobe.types._items import Option

POSITIONS = ("response_mean", "last_prompt", "last_content", "option_span")


@dataclass(frozen=True)
class Message:
    """One chat turn."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Mark:
    """A stretch of one message that a position can name.

    Args:
        name: "content", "response" or "options".
        message: Index of the message.
        start: First character in that message's content.
        end: One past the last character.
    """

    name: str
    message: int
    start: int
    end: int


@dataclass(frozen=True)
class Prompt:
    """What a model is shown for one item.

    Args:
        id: Unique in a run: item id and template name.
        item_id: The item.
        group: The item's query.
        source: The item's source.
        template: "response" (query, then the response as the model's turn) or a rating version.
        messages: Chat turns; when the last is an assistant turn it is what the model is taken to have said.
        marks: Stretches the positions name.
        options: Answers to choose among, in the order shown; empty when none are asked for.
    """

    id: str
    item_id: str
    group: str
    source: str
    template: str
    messages: tuple[Message, ...]
    marks: tuple[Mark, ...] = ()
    options: tuple[Option, ...] = ()

    def __post_init__(self) -> None:
        if not self.messages or not any(m.content.strip() for m in self.messages):
            raise InputError("empty prompt", where=f"prompt {self.id}", expected="at least one message with text")


@dataclass(frozen=True)
class Span:
    """A stretch of tokens: `ids[start:end]`."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Tokens:
    """A prompt as token ids, with the token spans of its marks.

    Args:
        prompt_id: The prompt.
        ids: Token ids, special tokens included, no padding.
        prompt_length: Index of the first token of the assistant turn; `len(ids)` when there is none.
        spans: Token spans of the prompt's marks.
        text: The rendered text the ids were made from.
    """

    prompt_id: str
    ids: tuple[int, ...]
    prompt_length: int
    spans: tuple[Span, ...] = ()
    text: str = ""

    def interval(self, position: str) -> tuple[int, int]:
        """Return the tokens a position averages over, as (start, end).

        Args:
            position: One of `POSITIONS`.

        Raises:
            InputError: Unknown position, or the prompt has no such stretch.
        """
        if position not in POSITIONS:
            raise unknown("position", position, POSITIONS)
        if position == "last_prompt":
            return self.prompt_length - 1, self.prompt_length
        name = {"response_mean": "response", "last_content": "content", "option_span": "options"}[position]
        span = next((s for s in self.spans if s.name == name), None)
        if span is None:
            raise InputError(
                f"no {name} in this prompt",
                where=f"position {position}, prompt {self.prompt_id}",
                do="option_span needs a rating template; choose another position or template",
            )
        return (span.end - 1, span.end) if position == "last_content" else (span.start, span.end)


@dataclass(frozen=True)
class Answers:
    """The options of one prompt as token ids, ready to be scored.

    Args:
        prompt: The tokens all options share.
        options: Per option the tokens that follow, end of turn included.
        labels: The options' words, in the same order.
        ratings: The numbers they stand for.
    """

    prompt: Tokens
    options: tuple[tuple[int, ...], ...]
    labels: tuple[str, ...]
    ratings: tuple[float, ...]


@dataclass(frozen=True)
class Generation:
    """What a model wrote.

    A stop string ends a text as soon as the new text, special tokens left out, holds it: the one that is complete
    first, the longer of two that end together. What the prompt ends with does not count.

    Args:
        prompt_id: The prompt.
        ids: New tokens, the token that ended the turn left out. Where a stop string ended the text, the fewest whose
            text holds all of `text`; the last of them may hold the beginning of the stop string too.
        text: The same, decoded; where a stop string ended it, what stands before that.
        stopped: True when it ended by itself or at a stop string, False when the length limit cut it.
    """

    prompt_id: str
    ids: tuple[int, ...]
    text: str
    stopped: bool


@dataclass(frozen=True)
class Response:
    """A model's answer to one rating prompt, both as log-probabilities and as text.

    Args:
        prompt_id: The prompt.
        item_id: The item.
        group: The item's query.
        source: The item's source.
        template: The rating version.
        ratings: The options' numbers in the order of `logprobs`.
        logprobs: Natural log-probability of each whole option phrase, end of turn included; None when not asked.
        text: Greedy text; None when not asked.
        rating: Number parsed from the text; None when not asked or not parsed.
        reason: Why the rating is None; None when there is one.

    Raises:
        InputError: A rating outside the options' range.
    """

    prompt_id: str
    item_id: str
    group: str
    source: str
    template: str
    ratings: tuple[float, ...]
    logprobs: tuple[float, ...] | None = None
    text: str | None = None
    rating: float | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.rating is not None and not min(self.ratings) <= self.rating <= max(self.ratings):
            raise InputError(
                f"rating {self.rating}",
                where=f"prompt {self.prompt_id}",
                expected=f"{min(self.ratings)} to {max(self.ratings)}",
            )
        if self.logprobs is not None and len(self.logprobs) != len(self.ratings):
            raise InputError("log-probs and options differ in number", where=f"prompt {self.prompt_id}")

    @property
    def expected(self) -> float:
        """Mean rating under the option probabilities, renormalised over the options; NaN without log-probs."""
        if self.logprobs is None:
            return math.nan
        logs = np.asarray(self.logprobs, dtype=np.float64)
        weights = np.exp(logs - logs.max())
        return float(weights @ np.asarray(self.ratings, dtype=np.float64) / weights.sum())

    @property
    def option_mass(self) -> float:
        """Total probability of the options before renormalising; NaN without log-probs."""
        return math.nan if self.logprobs is None else float(np.exp(np.asarray(self.logprobs, dtype=np.float64)).sum())
