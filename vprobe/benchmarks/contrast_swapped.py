"""Contrast-swapped: 400 pairs of our own whose two replies hold exactly the same words in another order.

Two plans are set one above the other by one of sixteen constructions, "{x} rather than {y}" among them; the other reply
has the plans exchanged. So no count of words can tell the replies apart, and folds can hold out whole constructions.
"""

from __future__ import annotations

import json
from pathlib import Path

from vprobe.benchmarks._constructions import prefer
from vprobe.benchmarks._contrast import Pair, benchmark
from vprobe.benchmarks._pinned import DataSet
from vprobe.types import Benchmark

DATA = DataSet(
    name="contrast-swapped",
    what="400 pairs of replies of the same words in another order, in 16 constructions, keyed to the ten Schwartz "
    "values by the authors of vprobe",
    licence="Apache-2.0",
    citation="The vprobe authors. Contrast pairs, shipped with vprobe.",
    shipped=Path(__file__).with_name("contrast_swapped.json"),
)


def load(folder: Path | None = None, limit: int | None = None) -> Benchmark:
    """Load the pairs: each is a group of two items, and its block is the number of its construction.

    The loading is +1 for the reply that sets the value's plan above the other and 0 for its exchange; no other value is
    known. It is the authors' keying, not human data: p and reliability are NaN.

    Args:
        folder: Not used: the items are part of the package.
        limit: Keep only this many pairs, the values taking turns; None keeps all.
    """
    pairs = []
    for one in json.loads(Path(DATA.shipped or "").read_text(encoding="utf-8"))["pairs"]:
        number, x, y = one["construction"], one["x"], one["y"]
        more, less = prefer(number, x, y), prefer(number, y, x)
        pairs.append(Pair(one["id"], one["id"], str(number), one["value"], one["situation"], more, less))
    return benchmark(DATA, pairs, limit)
