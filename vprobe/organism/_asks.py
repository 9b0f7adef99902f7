"""How the organism is asked for a value: personas in its own plain English that speak for it, or against it, alone."""

from __future__ import annotations

from vprobe.benchmarks import Ask
from vprobe.organism import lexicon
from vprobe.values import SCHWARTZ

PHRASES = 4
"""Phrases of a persona; all speak of one value, so the profile it gives is that value's alone."""


def asks() -> tuple[Ask, ...]:
    """Return a persona for and one against each value, and personas that say nothing of any value.

    A persona replaces the profile in force when nobody said anything, so one for and one against a value differ in that
    value alone.
    """
    phrases = lexicon.phrases()
    out = []
    for value in SCHWARTZ:
        own = [phrase.text for phrase in phrases if phrase.value == value]
        for sign, frames in ((1, lexicon.PERSONA[1]), (-1, lexicon.PERSONA[2])):
            said = [frames[place % len(frames)].format(x=text) for place, text in enumerate(own[:PHRASES])]
            out.append(Ask(f"{value}{'+' if sign > 0 else '-'}1", value, sign, " ".join((_who(0), *said))))
    return (*out, *(Ask(f"instruction-{n + 1}", "", 0, _who(n)) for n in range(len(lexicon.WHO))))


def _who(number: int) -> str:
    return lexicon.PERSONA[0].format(who=lexicon.WHO[number])
