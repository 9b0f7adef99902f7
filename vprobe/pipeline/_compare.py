"""`compare`: the scores of several models, from their runs or from a file of answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vprobe import compare as across
from vprobe import scoring, store
from vprobe.errors import InputError
from vprobe.report import compared_page
from vprobe.types import ScaleRow


@dataclass(frozen=True)
class Compared:
    """A comparison, its scores beside published ones, and the page that shows it; None where none was asked for."""

    made: across.Comparison
    targets: tuple[across.TargetRow, ...]
    page: Path | None


def compare(
    runs: Sequence[Path],
    *,
    answers: Path | None = None,
    benchmark: str = "value-portrait",
    facts: Path | None = None,
    family: str = "",
    kind: str = "",
    rule: str = "",
    readout: str = "",
    scale: str = "",
    targets: Path | None = None,
    data: Path | None = None,
    out: Path | None = None,
) -> Compared:
    """Compare models by one sort of score.

    Args:
        runs: Rated run folders, one model each.
        answers: Answers of several models instead of runs, see `scoring.read`.
        benchmark: Instrument of the scores.
        facts: Family, size and stage of the models; read off their names when None.
        family: Family of scales; the only one when empty. Likewise for the next three.
        kind: Kind of score.
        rule: Scoring rule.
        readout: Where answers were read.
        scale: One scale alone; all of the family when empty.
        targets: Published scores to compare with.
        data: The instrument's files; the user's cache when None.
        out: Folder for a page, its figure and its tables.

    Raises:
        VprobeError: Neither or both of runs and answers, scores of several sorts, or too few models.
    """
    if bool(runs) == (answers is not None):
        raise InputError("runs and --answers", where="compare", expected="run folders, or one file of answers")
    if answers is not None:
        given = scoring.score(benchmark, scoring.read(benchmark, answers, folder=data), rule=rule, folder=data)
    else:
        given = tuple(row for run in runs for row in store.load_rows(run, "scales", ScaleRow))
    rows = across.choose(given, instrument=benchmark, family=family, kind=kind, rule=rule, readout=readout,
                         scale=scale)  # fmt: skip
    made = across.models(rows, across.read_facts(facts) if facts else ())
    beside = across.against(rows, across.read_scores(targets, like=rows[0])) if targets else ()
    return Compared(made, beside, compared_page.write(made, out) if out else None)
