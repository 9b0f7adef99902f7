"""PVQ-40: the forty portraits of the Portrait Values Questionnaire; the wording is the user's to supply."""

from __future__ import annotations

from pathlib import Path

from vprobe.benchmarks import _pvq
from vprobe.benchmarks._pvq_keys import PVQ_40
from vprobe.types import Benchmark

DATA = _pvq.data(
    PVQ_40,
    "Portrait Values Questionnaire",
    "Schwartz et al. (2001). Extending the cross-cultural validity of the theory of basic human values. "
    "Journal of Cross-Cultural Psychology 32(5), 519-542.",
)


def load(folder: Path | None = None, limit: int | None = None) -> Benchmark:
    """Load the portraits from `pvq_40.csv` in a folder of the user's: columns `item` (1 to 40) and `text`.

    Args:
        folder: The folder.
        limit: Keep only this many portraits, in order; None keeps all.

    Raises:
        DataError: No folder, no file, or one that does not hold each portrait once.
    """
    return _pvq.load(PVQ_40, DATA, folder, limit)
