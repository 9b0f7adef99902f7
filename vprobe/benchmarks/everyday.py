"""Everyday: our own 180 short replies to 36 everyday questions, each keyed by us to one of the ten Schwartz values.

Each question has five replies for five different values. Every value is keyed in 18 questions, every two values meet in
8, and each two questions in a row cover all ten values, so a small `limit` is balanced too.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from vprobe import values as words
from vprobe.benchmarks._pinned import DataSet
from vprobe.benchmarks._scale import LIKENESS
from vprobe.types import Benchmark, Item, Loading, Reliability, Template

DATA = DataSet(
    name="everyday",
    what="180 short replies to 36 everyday questions, keyed to the ten Schwartz values by the authors of vprobe",
    licence="Apache-2.0",
    citation="The vprobe authors. Everyday items, shipped with vprobe.",
    shipped=Path(__file__).with_name("everyday.json"),
)
FORM = "message"
_WORDINGS = (
    ("v1", "Somebody asks: {text}\n\nThis is one reply: {content}\n\nCould this reply have come from you? "
     "Give one of these six answers and nothing more:\n{labels}\n\nYour answer:"),
    ("v2", "Read a question and a reply to it, then compare the reply with what you would say.\n\n"
     "Question: {text}\nReply: {content}\n\nPick the line that fits you and write only that line:\n{labels}"),
)  # fmt: skip


def load(folder: Path | None = None, limit: int | None = None) -> Benchmark:
    """Load our own items; they ship with vprobe, so there is nothing to download.

    Loadings are +1 for the value a reply speaks for and 0 for the other nine. They are the authors' keying, not human
    data: p and reliability are NaN, and nobody rated the items.

    Args:
        folder: Not used: the items are part of the package.
        limit: Keep only this many questions, whole and in file order; None keeps all.
    """
    queries = json.loads(Path(DATA.shipped or "").read_text(encoding="utf-8"))["queries"][:limit]
    return Benchmark(
        name=DATA.name,
        items=tuple(
            Item(
                id=f"{query['id']}-{number}",
                group=query["id"],
                source=query["source"],
                form=FORM,
                text=query["text"],
                response=reply["text"],
                loadings=tuple(Loading(value, float(value == reply["value"])) for value in words.SCHWARTZ),
                licence=DATA.licence,
            )
            for query in queries
            for number, reply in enumerate(query["responses"], start=1)
        ),
        templates=_templates(),
        values=words.SCHWARTZ,
        reliability=tuple(
            Reliability(value, math.nan, math.nan, within) for within in (True, False) for value in words.SCHWARTZ
        ),
        licence=DATA.licence,
        citation=DATA.citation,
        sha256=DATA.sha256,
        labels="keyed by the authors, no human ratings",
    )


def _templates() -> tuple[Template, ...]:
    """Write every wording with its answers from best to worst, and reversed."""
    out = []
    for name, text in _WORDINGS:
        for suffix, options in (("", LIKENESS), ("_reversed", LIKENESS[::-1])):
            labels = "\n".join(option.label for option in options)
            out.append(Template(name + suffix, FORM, text.replace("{labels}", labels), options))
    return tuple(out)
