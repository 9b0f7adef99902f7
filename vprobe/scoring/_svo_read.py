"""Slider answers in words: a letter, or both amounts, become the official option number."""

from __future__ import annotations

import math
import re

import numpy as np

from vprobe.benchmarks._svo_payoffs import payoffs
from vprobe.benchmarks.svo import LETTERS
from vprobe.scoring._numbered import numbers

REVERSED = "_reversed"
PHRASES = "v3"
"""The version that shows no letters."""
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_OTHER = re.compile(r"\b(?:other|they|them|their)\b", re.IGNORECASE)
_OWN = re.compile(r"\b(?:i|me|my|myself|you|your|self)\b", re.IGNORECASE)
_ENDS = r"(?=\W*$|[.:;)\]*\"]|\s*:|\s*\n)"
_OPENING = re.compile(
    r"^\W*(?:(?:my|the|your)\s+)?(?:(?:answer|option|choice|letter)\b(?:\s+is\b)?\W*)?"
    rf"(?:([a-i]){_ENDS}|([a-h])(?=,|\s+(?:because|since|as)\b|\s+[-\u2013\u2014=(]))",
    re.IGNORECASE,
)
_VERB = r"(?i:option|answer is|choice is|choose|pick|select|take|go with|letter)\W+"
_LATER = re.compile(rf"\b{_VERB}(?:([A-H])\b|(I){_ENDS})")
"""I is a word as well as a letter: it counts only where nothing follows that would make it the word."""


def parse(text: str, version: str, item_id: str) -> float:
    """Read an answer as the official option number, 1 to 9; NaN when it names no option, several, or two that differ.

    Amounts count before letters. A letter stands for the option that is shown beside it: in a version whose name ends
    in "_reversed", A is option 9. "I think ..." is not option I.

    Args:
        text: What was answered.
        version: Name of the version; one not of ours counts as lettered, in official order unless it ends so.
        item_id: The item.
    """
    lettered = version.removesuffix(REVERSED) != PHRASES
    letter = _letter(text) if lettered else ""
    place = LETTERS.index(letter) + 1 if letter else math.nan
    from_letter = len(LETTERS) + 1 - place if version.endswith(REVERSED) else place
    found = _amounts(text)
    if not found:
        return float(from_letter)
    own, other = found
    table, item = payoffs(), int(numbers((item_id,))[0]) - 1
    match = np.flatnonzero((table.own[item] == own) & (table.other[item] == other)) + 1.0
    if not len(match) or (letter and match[0] != from_letter):
        return math.nan
    return float(match[0])


def _amounts(text: str) -> tuple[float, ...]:
    """Return (own, other) when a text names each once; a number belongs to whoever was named last before it."""
    own: set[float] = set()
    other: set[float] = set()
    start = 0
    for one in _NUMBER.finditer(text):
        before, start = text[start : one.start()], one.end()
        if _OTHER.search(before):
            other.add(float(one.group()))
        elif _OWN.search(before):
            own.add(float(one.group()))
    return (own.pop(), other.pop()) if len(own) == len(other) == 1 else ()


def _letter(text: str) -> str:
    """Return the one letter an answer names, upper case; empty when it names none or several."""
    opening = _OPENING.match(text)
    if opening:
        return (opening.group(1) or opening.group(2)).upper()
    found = {first or second for first, second in _LATER.findall(text)}
    return found.pop() if len(found) == 1 else ""
