"""What the checks and benchmarks of this folder come to: one row per figure, counted, written and judged alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

NOT_RUN = "not run"


@dataclass(frozen=True)
class Row:
    """One figure: what is shown, what it must be, what it was, and whether that is ok."""

    name: str
    target: str
    value: str
    ok: bool


def closed(rows: Sequence[Row], path: Path | None, *, some: bool, more: str = "") -> int:
    """Print how many rows are ok, write them where that is asked for, and return the exit status: 0 where all are.

    Args:
        rows: All rows of a script; the value of one that was not run begins with `NOT_RUN`.
        path: File for them, a JSON list of {name, target, value, ok}; None for none.
        some: Rows that were not run do not count; else they are not ok.
        more: What to print behind the count.
    """
    ran = [row for row in rows if not row.value.startswith(NOT_RUN)]
    print(f"{sum(row.ok for row in ran)} of {len(ran)} rows ok, {len(rows) - len(ran)} not run{more}")
    if path:
        path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    judged = ran if some else rows
    return 0 if judged and all(row.ok for row in judged) else 1
