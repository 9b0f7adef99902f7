"""Portraits: our own forty short portraits, four for each Schwartz value; the default self-report instrument.

They are new texts in plain English about what somebody does in daily life, no wording of the Portrait Values
Questionnaire. Two of the four portraits of a value speak for it and two against it, so that somebody who finds every
portrait like themselves scores 0 on every value. The keying is the authors'; nobody has tried it on people yet.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from vprobe import values as words
from vprobe.benchmarks import _pvq
from vprobe.benchmarks._pinned import DataSet
from vprobe.benchmarks._pvq_keys import HIGHER, Key, Scale
from vprobe.types import Benchmark

DATA = DataSet(
    name="portraits",
    what="40 short portraits, four for each Schwartz value, half of them keyed the other way, by the authors of vprobe",
    licence="Apache-2.0",
    citation="The vprobe authors. Portraits, shipped with vprobe.",
    shipped=Path(__file__).with_name("portraits.json"),
)


def load(folder: Path | None = None, limit: int | None = None) -> Benchmark:
    """Load our own portraits; they ship with vprobe, so there is nothing to download.

    Loadings are +1 or -1 on the value a portrait is about and 0 on the other nine. The first ten portraits cover every
    value once, the first twenty once in either keying.

    Args:
        folder: Not used: the portraits are part of the package.
        limit: Keep only this many portraits, in file order; None keeps all.
    """
    texts = [one["text"] for one in _read()][:limit]
    return Benchmark(
        name=DATA.name,
        items=_pvq.items(key(), texts, DATA.licence),
        templates=_pvq.portrait_templates(),
        values=words.SCHWARTZ,
        reliability=_pvq.unrated(),
        licence=DATA.licence,
        citation=DATA.citation,
        sha256=DATA.sha256,
        labels="keyed by the authors, no human ratings",
    )


@functools.cache
def key() -> Key:
    """Return which portrait asks about which value, and in which direction."""
    found = _read()
    scales = tuple(
        Scale(value, tuple(i for i, one in enumerate(found, start=1) if one["value"] == value))
        for value in words.SCHWARTZ
    )
    return Key(DATA.name, len(found), scales, scales, HIGHER, tuple(one["keying"] for one in found))


def _read() -> list[dict[str, Any]]:
    return json.loads(Path(DATA.shipped or "").read_text(encoding="utf-8"))["portraits"]
