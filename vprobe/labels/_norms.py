"""Human norms: what the people behind Value Portrait score on the ten values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vprobe import values as words
from vprobe.labels import _raw


@dataclass(frozen=True)
class Norm:
    """How people score on one value of the PVQ-21, each centred on the mean of their own 21 answers.

    Args:
        value: Canonical value name.
        mean: Over people, points of the six-point scale.
        sd: Standard deviation over people (n - 1), same unit.
        n: People.
    """

    value: str
    mean: float
    sd: float
    n: int


def pvq_norms(folder: Path | None = None) -> tuple[Norm, ...]:
    """Return the norm of each of the ten values, in circle order; from an online sample, not a representative one.

    Args:
        folder: The official data; the user's cache when None.

    Raises:
        DataError: The data are missing or not the pinned version.
    """
    table = np.array(list(_raw.profiles(folder).values()))
    return tuple(
        Norm(value, float(table[:, i].mean()), float(table[:, i].std(ddof=1)), len(table))
        for i, value in ((_raw.VALUES.index(value), value) for value in words.SCHWARTZ)
    )
