"""PVQ-RR: the fifty-seven portraits of the nineteen refined values; the wording is the user's to supply."""

from __future__ import annotations

from pathlib import Path

from vprobe.benchmarks import _pvq
from vprobe.benchmarks._pvq_keys import PVQ_RR
from vprobe.types import Benchmark

DATA = _pvq.data(
    PVQ_RR,
    "Revised Portrait Values Questionnaire",
    "Schwartz and Cieciuch (2022). Measuring the refined theory of individual values in 49 cultural groups. "
    "Assessment 29(5), 1005-1019.",
)


def load(folder: Path | None = None, limit: int | None = None) -> Benchmark:
    """Load the portraits from `pvq_rr.csv` in a folder of the user's: columns `item` (1 to 57) and `text`.

    A portrait of face loads on none of the ten values; those of humility count as tradition, as the official key says.

    Args:
        folder: The folder.
        limit: Keep only this many portraits, in order; None keeps all.

    Raises:
        DataError: No folder, no file, or one that does not hold each portrait once.
    """
    return _pvq.load(PVQ_RR, DATA, folder, limit)
