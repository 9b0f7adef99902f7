"""Scale scores as nested plain values: respondent, family, scale, numbers. The names are those upstream files use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vprobe.types import ScaleRow


def nested(rows: Sequence[ScaleRow]) -> dict[str, Any]:
    """Return scores as {respondent: {family: {scale: numbers}}}, ready for JSON; a scale is spelt "Self_Direction".

    Args:
        rows: Scores of one rule and read-out.
    """
    out: dict[str, Any] = {}
    for row in rows:
        out.setdefault(row.respondent, {}).setdefault(row.family, {})[_spelt(row.scale)] = {
            "centered_mean": row.estimate,
            "original_mean": row.raw,
            "std_dev": row.spread,
            "n": row.n,
            "n_unscored": row.n_unscored,
            "low": row.low,
            "high": row.high,
            "option_mass": row.option_mass,
            "reliability": row.reliability,
            "kind": row.kind,
            "unit": row.unit,
        }
    return out


def _spelt(name: str) -> str:
    return "_".join(part if part == "to" else part[:1].upper() + part[1:] for part in name.split("_"))
