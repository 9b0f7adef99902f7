"""Published scores of a model beside those of the run that is meant to reproduce them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vprobe import stats
from vprobe.errors import InputError
from vprobe.types import ScaleRow


@dataclass(frozen=True)
class TargetRow:
    """How far a model's scores lie from published ones.

    Args:
        model: The model.
        n_values: Values scored on both sides.
        largest: Largest difference without its sign, in the unit of the scores.
        at: Value it is at.
        typical: Root mean square of the differences.
        r: Correlation of the two profiles; NaN below three values or where one is flat.
    """

    model: str
    n_values: int
    largest: float
    at: str
    typical: float
    r: float


def against(rows: Sequence[ScaleRow], targets: Sequence[ScaleRow]) -> tuple[TargetRow, ...]:
    """Compare each model's scores with published scores of the same model.

    Args:
        rows: Scores of one sort, of models of which some or all have published scores under the same name.
        targets: From `read_scores`; those of models not in `rows` are not used.

    Raises:
        InputError: No model is in both.
    """
    names = {one.respondent for one in rows} & {one.respondent for one in targets}
    if not names:
        raise InputError(
            "no model is in both",
            where="scores and published scores",
            expected=", ".join(dict.fromkeys(one.respondent for one in targets)),
            do="write the models in the file of published scores as the runs name them",
        )
    return tuple(_row(name, rows, targets) for name in sorted(names))


def _row(name: str, rows: Sequence[ScaleRow], targets: Sequence[ScaleRow]) -> TargetRow:
    found = {row.scale: row.estimate for row in rows if row.respondent == name}
    wanted = {row.scale: row.estimate for row in targets if row.respondent == name}
    both = [scale for scale in wanted if math.isfinite(found.get(scale, math.nan)) and math.isfinite(wanted[scale])]
    if not both:
        return TargetRow(name, 0, math.nan, "", math.nan, math.nan)
    here = np.array([found[scale] for scale in both], dtype=np.float64)
    there = np.array([wanted[scale] for scale in both], dtype=np.float64)
    gap = np.abs(here - there)
    typical = float(np.sqrt((gap**2).mean()))
    return TargetRow(name, len(both), float(gap.max()), both[int(gap.argmax())], typical, stats.pearson(here, there))
