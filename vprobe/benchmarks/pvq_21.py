"""PVQ-21: the twenty-one portraits of the European Social Survey; the wording is the user's to supply."""

from __future__ import annotations

from pathlib import Path

from vprobe.benchmarks import _pvq
from vprobe.benchmarks._pvq_keys import PVQ_21
from vprobe.types import Benchmark

DATA = _pvq.data(
    PVQ_21,
    "Portrait Values Questionnaire of the European Social Survey",
    "Schwartz (2003). A proposal for measuring value orientations across nations. "
    "European Social Survey core questionnaire development, chapter 7, 259-290.",
)


def load(folder: Path | None = None, limit: int | None = None) -> Benchmark:
    """Load the portraits from `pvq_21.csv` in a folder of the user's: columns `item` (1 to 21) and `text`.

    Args:
        folder: The folder.
        limit: Keep only this many portraits, in order; None keeps all.

    Raises:
        DataError: No folder, no file, or one that does not hold each portrait once.
    """
    return _pvq.load(PVQ_21, DATA, folder, limit)
