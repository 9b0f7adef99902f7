"""Answers on the portrait scale, "very much like me" to "not like me at all", read as numbers."""

from __future__ import annotations

import functools
import math

from vprobe import benchmarks, prompts
from vprobe.types import Option

SCALE = (1.0, 6.0)
_ALSO = (
    ("likes me very much", 6.0),
    ("like me very much", 6.0),
    ("likes me", 5.0),
    ("somewhat likes me", 4.0),
    ("some what like me", 4.0),
    ("some what likes me", 4.0),
    ("little like me", 3.0),
    ("does not like me", 2.0),
    ("doesn't like me", 2.0),
    ("is not like me", 2.0),
    ("not at all like me", 1.0),
    ("does not like me at all", 1.0),
    ("isn't like me at all", 1.0),
)
"""Other ways of saying a label that the released parser takes: "very little like me" is 3 because of them."""


@functools.lru_cache(maxsize=100_000)
def number(text: str) -> float:
    """Return what an answer says from 1 to 6; NaN where it holds none of the six labels, nor another way of saying one.

    Case and spacing do not count. The longest phrase found in the answer holds, among equally long ones the more alike.

    Args:
        text: The answer.

    Source: Han et al. (2025), Value Portrait, released answer parser.
    """
    rating = prompts.parse(text, _phrases()).rating
    return math.nan if rating is None else rating


def parse(text: str, version: str, item_id: str) -> float:
    """Read an answer in words as a number from 1 to 6; NaN where it names none of the six answers.

    Args:
        text: The answer.
        version: Not used: an answer means the same in every wording and order.
        item_id: Not used: all items have the same answers.
    """
    return number(text)


@functools.cache
def _phrases() -> tuple[Option, ...]:
    """Return all phrases, from most to least alike; the labels are those of our own items, which need no download."""
    labels = benchmarks.load("everyday", limit=1).templates[0].options
    return tuple(sorted((*labels, *(Option(*one) for one in _ALSO)), key=lambda option: -option.rating))
