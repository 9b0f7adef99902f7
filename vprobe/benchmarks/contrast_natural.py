"""Contrast-natural: 200 twins of our own, two replies whose roles change with the situation they are given to.

A twin has two replies and two situations. In the first situation one reply speaks more for the value, in the second the
other does, word for word as before. So nothing in the replies alone, words, order or length, can tell which is which.
"""

from __future__ import annotations

import json
from pathlib import Path

from vprobe.benchmarks._contrast import Pair, benchmark
from vprobe.benchmarks._pinned import DataSet
from vprobe.types import Benchmark

DATA = DataSet(
    name="contrast-natural",
    what="400 pairs of replies in 200 twins that change roles with the situation, keyed to the ten Schwartz values by "
    "the authors of vprobe",
    licence="Apache-2.0",
    citation="The vprobe authors. Contrast pairs, shipped with vprobe.",
    shipped=Path(__file__).with_name("contrast_natural.json"),
)


def load(folder: Path | None = None, limit: int | None = None) -> Benchmark:
    """Load the twins: each is a group and a block of four items, two replies to each of two situations.

    The loading is +1 for the reply that speaks more for the twin's value in its situation and 0 for the other; no other
    value is known. It is the authors' keying, not human data: p and reliability are NaN.

    Args:
        folder: Not used: the items are part of the package.
        limit: Keep only this many twins, whole, the values taking turns; None keeps all.
    """
    twins = json.loads(Path(DATA.shipped or "").read_text(encoding="utf-8"))["twins"]
    pairs = []
    for twin in twins:
        for number, (situation, more, less) in enumerate(
            (("a_situation", "a", "b"), ("b_situation", "b", "a")), start=1
        ):
            name, value = twin["id"], twin["value"]
            pairs.append(Pair(f"{name}-{number}", name, name, value, twin[situation], twin[more], twin[less]))
    return benchmark(DATA, pairs, limit)
