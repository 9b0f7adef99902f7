"""Where a text that a model is writing ends: at a token that ends its turn, or where the text reaches a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, final

from vprobe.errors import InputError

Decode = Callable[[Sequence[int]], str]
UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What tokens that end inside a character are decoded as."""
_SLACK = 4
"""Characters by which the end of a text, decoded alone, may begin otherwise: some tokenizers drop a leading space."""


@dataclass(frozen=True)
class Stops:
    """What ends a text.

    Args:
        tokens: Tokens that end a turn.
        strings: Stop strings.
        decode: Makes text of new tokens, without special tokens.
    """

    tokens: tuple[int, ...]
    strings: tuple[str, ...]
    decode: Decode


def of(tokenizer: Any, tokens: Sequence[int], strings: Sequence[str]) -> Stops:
    """Put together what ends a text; a stop string that is a special token, no part of any text, ends it as a token.

    Args:
        tokenizer: The model's.
        tokens: Tokens that end a turn.
        strings: Stop strings.

    Raises:
        InputError: An empty stop string, or one string in place of several.
    """
    if isinstance(strings, str) or not all(strings):
        raise InputError(
            f"stop {strings!r}", where="generate", expected="a list of stop strings, none of them empty",
            do='give a list such as ["\\n\\n"]; without stop strings an empty one',
        )  # fmt: skip
    known = tokenizer.added_tokens_decoder.items() if strings else ()
    named = [i for i, token in known if token.special and token.content in strings]
    return Stops((*tokens, *named), tuple(strings), partial(tokenizer.decode, skip_special_tokens=True))


def before(text: str, strings: Sequence[str]) -> str | None:
    """Return what stands before the stop string that is complete first, before the longer of two that end together.

    That is what a model that writes single characters would have been stopped at, however tokens divide the text.

    Args:
        text: The text.
        strings: Stop strings.

    Returns:
        None where the text holds none.
    """
    found = [(text.find(one) + len(one), text.find(one)) for one in strings if one in text]
    return text[: min(found)[1]] if found else None


def settled(text: str, strings: Sequence[str]) -> str:
    """Return what of a text that still grows will stay: no stop string, nor what may become one.

    Args:
        text: The text so far.
        strings: Stop strings.
    """
    ended = before(text, strings)
    held = max((k for one in strings for k in range(1, len(one)) if text.endswith(one[:k])), default=0)
    return text[: len(text) - held] if ended is None else ended


def holding(text: str, ids: Sequence[int], decode: Decode) -> tuple[int, ...]:
    """Return the fewest of the first tokens whose text holds all of a text that it begins with.

    Args:
        text: The text.
        ids: Tokens whose text begins with it.
        decode: Makes text of tokens.
    """
    n = len(ids)
    while n and decode(ids[: n - 1]).startswith(text):
        n -= 1
    return tuple(ids[:n])


@final
class Watch:
    """Follows one text as it grows, and finds the first stop string in it.

    Only the end of the text is decoded, from a token at which characters are whole: what is new, and before it as much
    as a stop string is long. So a step costs the same however long the text is.

    Args:
        stops: What ends the text.
    """

    def __init__(self, stops: Stops) -> None:
        self._stops = stops
        self._reach = max(map(len, stops.strings), default=0) + _SLACK
        self._start = self._next = self._passed = 0

    def reached(self, ids: Sequence[int]) -> str | None:
        """Return the text before the first stop string, or None where there is none; asked after every token.

        Args:
            ids: All tokens of the text so far.
        """
        if not self._stops.strings:
            return None
        end = self._stops.decode(ids[self._start :])
        whole = end.rstrip(UNFINISHED)
        if before(whole, self._stops.strings) is not None:
            return before(self._stops.decode(ids).rstrip(UNFINISHED), self._stops.strings)
        if whole == end and len(end) - self._passed >= self._reach:
            self._start, self._next = self._next, len(ids)
            self._passed = len(self._stops.decode(ids[self._start :]))
        return None
