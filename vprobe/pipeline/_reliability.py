"""How reliable answers are, and regenerated labels as a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vprobe import benchmarks, psychometrics, scoring
from vprobe.errors import WRITABLE, DataError, InputError, reason
from vprobe.labels import Labels
from vprobe.scoring import value_portrait
from vprobe.types import AnswerTable, Scores

DRAWS = 100


@dataclass(frozen=True)
class Reliability:
    """How reliable answers are.

    Args:
        versions: How far they depend on how they were asked.
        scales: How scales hold together beside random sets of items; empty where that cannot be asked.
        note: Why it cannot; empty where it can.
    """

    versions: tuple[psychometrics.VersionRow, ...]
    scales: tuple[psychometrics.ConsistencyRow, ...]
    note: str = ""


def reliability(name: str, answers: AnswerTable, *, folder: Path | None = None, seed: int = 0) -> Reliability:
    """Measure the reliability of answers to an instrument.

    Args:
        name: Instrument.
        answers: From `scoring.read`.
        folder: The instrument's data; the user's cache when None.
        seed: Seed of the random item sets.

    Raises:
        InputError: An unknown instrument.
    """
    scoring.plug_in(name)
    repeated = psychometrics.repeatability(answers)
    statistics = ("alpha",) if len(answers.respondents) < 2 else ("alpha", "omega")
    try:
        keys = value_portrait.keys(folder) if name == value_portrait.NAME else _keys(name, folder)
        scales = psychometrics.consistency(answers, keys, seed=seed, draws=DRAWS, statistics=statistics)
    except (InputError, DataError) as error:  # the scores and the versions stand without it
        return Reliability(repeated, (), error.found)
    return Reliability(repeated, scales)


def _keys(name: str, folder: Path | None) -> Scores:
    one = benchmarks.load(name, folder=folder)
    if not one.values:
        raise InputError("its items load on no value", where=name, expected="an instrument with keyed items")
    ids = tuple(item.id for item in one.items)
    return Scores(one.loadings(ids, one.values), ids, one.values, "label", "key")


def write_labels(made: Labels, out: Path) -> None:
    """Write labels as CSV, one row per item and value.

    Args:
        made: The labels.
        out: The file.

    Raises:
        InputError: The file cannot be written.
    """
    import pandas as pd

    rows = [
        (item, int(made.groups[i]), value, float(made.r[i, j]), float(made.p[i, j]))
        for i, item in enumerate(made.item_ids)
        for j, value in enumerate(made.values)
    ]
    try:
        pd.DataFrame(rows, columns=["item_id", "rater_group", "value", "label", "p"]).to_csv(out, index=False)
    except OSError as error:
        raise InputError(f"cannot be written: {reason(error)}", where=str(out), do=WRITABLE) from None
