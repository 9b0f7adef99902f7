"""The two questions that all our own items are put with, and how a question gets its answers in both orders."""

from __future__ import annotations

from collections.abc import Sequence

from vprobe.benchmarks._scale import LIKENESS
from vprobe.types import Template

FORM = "message"
"""A short text somebody sends, without a title."""

_WORDINGS = (
    ("v1", "Somebody asks: {text}\n\nThis is one reply: {content}\n\nCould this reply have come from you? "
     "Give one of these six answers and nothing more:\n{labels}\n\nYour answer:"),
    ("v2", "Read a question and a reply to it, then compare the reply with what you would say.\n\n"
     "Question: {text}\nReply: {content}\n\nPick the line that fits you and write only that line:\n{labels}"),
)  # fmt: skip


def message_templates() -> tuple[Template, ...]:
    """Write every wording with its answers from best to worst, and reversed."""
    return both_orders(FORM, _WORDINGS)


def both_orders(form: str, wordings: Sequence[tuple[str, str]]) -> tuple[Template, ...]:
    """Write wordings with the six answers from most to least alike, and reversed.

    Args:
        form: What kind of text the items are.
        wordings: Name and text, in which `{labels}` is where the answers go.
    """
    out = []
    for name, text in wordings:
        for suffix, options in (("", LIKENESS), ("_reversed", LIKENESS[::-1])):
            labels = "\n".join(option.label for option in options)
            out.append(Template(name + suffix, form, text.replace("{labels}", labels), options))
    return tuple(out)
