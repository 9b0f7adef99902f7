"""Instruments for the organism beside its rated items: portraits in its own English, and replies it may give."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from vprobe.errors import InputError
from vprobe.organism import lexicon
from vprobe.values import SCHWARTZ

OWN = "I would {x}."
"""What it says when it is asked and nothing else is wanted."""


def portraits(values: Sequence[str]) -> str:
    """Return a file of portraits, columns `item` and `text`, as the questionnaires read a user's wording.

    Args:
        values: The value each portrait asks about, in order.

    Raises:
        InputError: An unknown value, or more portraits of a value than there are phrases.
    """
    left = {value: [one.text for one in lexicon.phrases() if one.value == value] for value in SCHWARTZ}
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(("item", "text"))
    for number, value in enumerate(values, start=1):
        if not left.get(value):
            raise InputError(f"no phrase left for {value!r}", where=f"portrait {number}", expected="a Schwartz value")
        table.writerow((number, lexicon.ALONE[0][0].format(x=left[value].pop(0))))
    return out.getvalue()


def replies(n_queries: int) -> tuple[dict[str, Any], ...]:
    """Return records, as `planted.json` holds them, of queries with the ten replies the organism gives, one per value.

    It was trained to answer "I would ..." with the first phrase of a value, the likelier the more it holds the value
    high; how likely it finds each reply is a measure of all ten values that no rating enters.

    Args:
        n_queries: Queries, at most as many as there are openings.

    Raises:
        InputError: More queries than openings, or none.
    """
    if not 1 <= n_queries <= len(lexicon.OPENINGS):
        raise InputError(f"{n_queries} queries", where="replies", expected=f"1 to {len(lexicon.OPENINGS)}")
    said = [next(one.text for one in lexicon.phrases() if one.value == value) for value in SCHWARTZ]
    out = []
    for number in range(n_queries):
        parts = {name: several[number % len(several)] for name, several in lexicon.DETAILS.items()}
        query = f"{lexicon.OPENINGS[number].format(**parts)}. {lexicon.ASKS[number % len(lexicon.ASKS)]}"
        for place, text in enumerate(said):
            own = [float(place == other) for other in range(len(SCHWARTZ))]
            name = f"reply{number + 1}"
            record = {"id": f"{name}-{place + 1}", "group": name, "text": query, "response": OWN.format(x=text)}
            out.append(record | {"labels": own, "truth": own})
    return tuple(out)
