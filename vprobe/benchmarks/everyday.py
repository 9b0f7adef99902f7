"""Everyday: our own 360 short replies to 72 everyday questions, each keyed by us to one of the ten Schwartz values.

Each question has five replies for five different values. Every value is keyed in 36 questions, every two values meet in
16, and each two questions in a row cover all ten values, so a small `limit` is balanced too.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from vprobe import values as words
from vprobe.benchmarks._pinned import DataSet
from vprobe.benchmarks._wordings import FORM, message_templates
from vprobe.types import Benchmark, Item, Loading, Reliability

DATA = DataSet(
    name="everyday",
    what="360 short replies to 72 everyday questions, keyed to the ten Schwartz values by the authors of vprobe",
    licence="Apache-2.0",
    citation="The vprobe authors. Everyday items, shipped with vprobe.",
    shipped=Path(__file__).with_name("everyday.json"),
)


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
        templates=message_templates(),
        values=words.SCHWARTZ,
        reliability=tuple(
            Reliability(value, math.nan, math.nan, within) for within in (True, False) for value in words.SCHWARTZ
        ),
        licence=DATA.licence,
        citation=DATA.citation,
        sha256=DATA.sha256,
        labels="keyed by the authors, no human ratings",
    )
