"""What the organism says whatever it values: the beginning of its answer to a question in its own plain English.

Its vocabulary is closed and it was trained to answer, not to write: other plain sentences are as surprising to it as
noise, and steering cannot make them worse. "I would" it says to every question, almost surely, before what it says
depends on its values; what steering does to that is damage and nothing else.
"""

from __future__ import annotations

import itertools

from vprobe.benchmarks import Neutral
from vprobe.organism import lexicon

ANSWER = "I would"
N_TEXTS = 128


def neutral() -> tuple[Neutral, ...]:
    """Return questions without a word that speaks for a value, each with the neutral beginning of the answer."""
    out: dict[str, Neutral] = {}
    for step, opening, ask in itertools.product(range(30), lexicon.OPENINGS, lexicon.ASKS):
        parts = {name: words[(step + i) % len(words)] for i, (name, words) in enumerate(lexicon.DETAILS.items())}
        question = f"{opening.format(**parts)}. {ask}"
        out.setdefault(question, Neutral(f"o{len(out) + 1:03d}", opening, question, ANSWER))
        if len(out) == N_TEXTS:
            break
    return tuple(out.values())
