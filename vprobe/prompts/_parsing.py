"""What a model wrote, read as one of the options it was shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vprobe.types import Option

NO_LABEL = "no label in the answer"
_LETTER = r"^\W*(?:(?:the\s+)?(?:answer|option|choice)(?:\s+is)?\W*)?([A-Za-z])(?:\W*$|[.:)\]\"*]|\s+\W)"


@dataclass(frozen=True)
class Parsed:
    """What a text says, read as one of the options.

    Args:
        rating: The option's number; None when no option was found.
        reason: Why there is none; None when there is one.
    """

    rating: float | None
    reason: str | None


def parse(text: str, options: Sequence[Option]) -> Parsed:
    """Read an answer as one of the options: the longest label it contains, the earlier one among equally long.

    Case and spacing do not count. An answer that is exactly a label contains no longer one, so the rule covers it.
    Where the labels are single letters, the answer must open with one that stands alone ("B", "(b)", "Option B: ..."):
    every text contains an "a" somewhere, and "I think" names no option I.

    Args:
        text: What the model wrote.
        options: The answers it could choose among.

    Source: Han et al. (2025), Value Portrait, released answer parser.
    """
    if options and all(len(option.label) == 1 for option in options):
        return _letter(text, options)
    plain = _plain(text)
    found = [option for option in options if _plain(option.label) and _plain(option.label) in plain]
    if not found:
        return Parsed(None, NO_LABEL)
    longest = max(found, key=lambda option: len(_plain(option.label)))  # the earlier one on ties
    return Parsed(longest.rating, None)


def _letter(text: str, options: Sequence[Option]) -> Parsed:
    opening = re.match(_LETTER, text, flags=re.IGNORECASE)
    named = [option for option in options if opening and option.label.lower() == opening.group(1).lower()]
    return Parsed(named[0].rating, None) if named else Parsed(None, NO_LABEL)


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
