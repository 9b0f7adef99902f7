"""Contrast-moods: 36 pairs of our own, a happy and a sad reply to one everyday question, of about the same build.

A mood is no value. It is what very small models can be steered towards at all, so that steering can be tried on them.
Words tell the replies apart, unlike in the other contrast sets: a probe of these shows nothing about a model.
"""

from __future__ import annotations

import json
from pathlib import Path

from vprobe.benchmarks._contrast import Pair, benchmark
from vprobe.benchmarks._pinned import DataSet
from vprobe.types import Benchmark
from vprobe.values import MOOD

DATA = DataSet(
    name="contrast-moods",
    what="36 pairs of a happy and a sad reply to one question, to try steering on very small models",
    licence="Apache-2.0",
    citation="The vprobe authors. Contrast pairs, shipped with vprobe.",
    shipped=Path(__file__).with_name("contrast_moods.json"),
)


def load(folder: Path | None = None, limit: int | None = None) -> Benchmark:
    """Load the pairs: each is a group of two items, loading +1 for the happy reply and 0 for the sad one.

    Args:
        folder: Not used: the items are part of the package.
        limit: Keep only this many pairs; None keeps all.
    """
    pairs = [
        Pair(one["id"], one["id"], one["id"], one["value"], one["situation"], one["more"], one["less"])
        for one in json.loads(Path(DATA.shipped or "").read_text(encoding="utf-8"))["pairs"]
    ]
    return benchmark(DATA, pairs, limit, values=MOOD)
