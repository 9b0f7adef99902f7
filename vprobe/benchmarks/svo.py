"""SVO: the Social Value Orientation slider, fifteen choices of how many points oneself and another person receive.

The payoffs are those of Murphy, Ackermann and Handgraaf (2011); every word is ours. An option's number is always its
number in the official item, 1 to 9, in whatever order the options are shown, so reversed versions need no re-mapping.
Versions: v1 has lettered lines that name one's own points first; v2 has lettered lines that name the other's first;
v3 has no letters, the lines themselves are the answers. Each also comes with its options reversed.
"""

from __future__ import annotations

from pathlib import Path

from vprobe.benchmarks._pinned import DataSet
from vprobe.benchmarks._svo_induce import KINDS, NONE, WAYS, arms, ask_goal, ask_traits, induce
from vprobe.benchmarks._svo_payoffs import FILE, N_OPTIONS, PRIMARY, TYPES, payoffs
from vprobe.types import Benchmark, Item, Option, Template

__all__ = [
    "DATA",
    "KINDS",
    "NONE",
    "TYPES",
    "WAYS",
    "arms",
    "ask_goal",
    "ask_traits",
    "induce",
    "load",
    "shown",
    "templates",
]

DATA = DataSet(
    name="svo",
    what="15 choices of how many points oneself and another person receive; payoffs of the SVO slider, our own words",
    licence="Apache-2.0 (wording); the payoffs are published facts, from a paper under CC BY",
    citation="Murphy, Ackermann and Handgraaf (2011). Measuring Social Value Orientation. Judgment and Decision Making "
    "6(8), 771-781.",
    shipped=FILE,
)
LETTERS = "ABCDEFGHI"
OWN_FIRST = "I receive {own:g} points and the other receives {other:g} points"
OTHER_FIRST = "The other receives {other:g} points and I receive {own:g} points"
_WORDINGS = (
    ("v1", OWN_FIRST, True, "{text}\n\nThe nine possible answers:\n{lines}\n\n"
     "Reply with the letter of your answer and nothing more.\n\nYour answer:"),
    ("v2", OTHER_FIRST, True, "{text}\n\nThese nine splits are on the table:\n{lines}\n\n"
     "Which of them do you take? Write its letter only:"),
    ("v3", OWN_FIRST, False, "{text}\n\nYou may give one of these nine answers:\n{lines}\n\n"
     "Copy the one you take, word for word, and add nothing:"),
)  # fmt: skip


def load(folder: Path | None = None, limit: int | None = None) -> Benchmark:
    """Load the fifteen choices; they ship with vprobe, so there is nothing to download.

    The items have no response of their own (the model answers) and no loadings: what a choice says of values other
    than the four types of the slider is not known.

    Args:
        folder: Not used: the items are part of the package.
        limit: Keep only this many items in official order; 6 keeps those that give the angle. None keeps all.
    """
    table = payoffs()
    return Benchmark(
        name=DATA.name,
        items=tuple(
            Item(
                id=name,
                group=name,
                source="primary" if number < PRIMARY else "secondary",
                form=name,
                text=table.question,
                response="",
                scale=(1.0, float(N_OPTIONS)),
                licence=DATA.licence,
            )
            for number, name in enumerate(table.ids[:limit])
        ),
        templates=templates(limit),
        values=(),
        reliability=(),
        licence=DATA.licence,
        citation=DATA.citation,
        sha256=DATA.sha256,
        labels="none: a choice is scored as an angle, not by loadings on values",
    )


def templates(limit: int | None = None) -> tuple[Template, ...]:
    """Write every version of every item.

    Args:
        limit: Keep only this many items; None keeps all.
    """
    out = []
    for name, line, lettered, text in _WORDINGS:
        for suffix, step in (("", 1), ("_reversed", -1)):
            for item, form in enumerate(payoffs().ids[:limit]):
                lines, options = shown(item, line, lettered=lettered, step=step)
                out.append(Template(name + suffix, form, text.replace("{lines}", lines), options))
    return tuple(out)


def shown(item: int, line: str, *, lettered: bool, step: int) -> tuple[str, tuple[Option, ...]]:
    """Return the lines of one item as they are shown, and the answers to choose among.

    Args:
        item: Index of the item, from 0.
        line: How an option is put in words.
        lettered: Whether letters stand before the lines and are the answers; else the lines are the answers.
        step: 1 for the official order, -1 for the reverse.
    """
    table = payoffs()
    numbers = range(1, N_OPTIONS + 1)[::step]
    said = [line.format(own=table.own[item, i - 1], other=table.other[item, i - 1]) for i in numbers]
    labels = list(LETTERS) if lettered else said
    lines = [f"{letter}: {words}" for letter, words in zip(LETTERS, said)] if lettered else said
    return "\n".join(lines), tuple(Option(label, float(i)) for label, i in zip(labels, numbers, strict=True))
