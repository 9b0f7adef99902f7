"""Scores of several models side by side: one set of scales, one rule and one read-out, or none at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import values as words
from vprobe.compare._facts import ModelFacts, facts_of, read_csv
from vprobe.errors import InputError, unknown
from vprobe.types import ScaleRow, frozen_array

KEY = ("instrument", "family", "kind", "rule", "readout", "unit")
"""What must be the same in all scores of one comparison."""
FLAGS = {"instrument": "benchmark", "unit": "scale"}
"""Options of `vprobe compare` that are not called as the field they choose by."""


@dataclass(frozen=True)
class Profiles:
    """Scores of several models on the scales of one family.

    Args:
        models: Ordered by family, size (unknown last) and name.
        values: Scales, in circle order where they are Schwartz's.
        x: Scores; NaN where a model has none.
        spread: Standard deviation of the item scores of each scale; NaN is unknown.
        instrument: Where the scores are from.
        family: The instrument's name for this set of scales.
        kind: Kind of score, see `ScaleRow`.
        rule: Scoring rule.
        readout: "option probabilities" or "its words"; empty for a file's answers.
        unit: What 1.0 means.
    """

    models: tuple[ModelFacts, ...]
    values: tuple[str, ...]
    x: Float[np.ndarray, "model value"]
    spread: Float[np.ndarray, "model value"]
    instrument: str
    family: str
    kind: str
    rule: str
    readout: str
    unit: str

    def __post_init__(self) -> None:
        for name in ("x", "spread"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), np.float64))

    @property
    def log2_size(self) -> Float[np.ndarray, " model"]:
        """Each model's size in doublings; NaN is unknown."""
        return np.log2(np.array([one.size for one in self.models], dtype=np.float64))

    @property
    def families(self) -> tuple[str, ...]:
        """The family of each model."""
        return tuple(one.family for one in self.models)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stage of each model; empty is unknown."""
        return tuple(one.stage for one in self.models)

    def column(self, value: str) -> Float[np.ndarray, " model"]:
        """Return the scores on one scale."""
        return self.x[:, self.values.index(value)]


def choose(
    rows: Sequence[ScaleRow],
    *,
    instrument: str = "",
    family: str = "",
    kind: str = "",
    rule: str = "",
    readout: str = "",
    scale: str = "",
) -> tuple[ScaleRow, ...]:
    """Keep the scores of one instrument, family of scales, kind, rule, read-out or scale.

    Args:
        rows: Scores, of any sort.
        instrument: Such as "value-portrait"; empty keeps all.
        family: Such as "pvq".
        kind: Such as "rating".
        rule: Such as "released".
        readout: Such as "its words".
        scale: Such as "angle", where the scales of a family have different units.

    Raises:
        InputError: No such scores; what there is instead is listed.
    """
    kept = tuple(rows)
    wanted = (
        ("instrument", instrument), ("family", family), ("kind", kind), ("rule", rule), ("readout", readout),
        ("scale", scale),
    )  # fmt: skip
    for name, word in wanted:
        if word:
            there = dict.fromkeys(str(getattr(row, name)) or "(none)" for row in kept)
            kept = tuple(row for row in kept if getattr(row, name) == word)
            if not kept:
                raise unknown(name, word, there, where=f"--{FLAGS.get(name, name)}")
    return kept


def profiles(rows: Sequence[ScaleRow], facts: Sequence[ModelFacts] = ()) -> Profiles:
    """Put scores side by side.

    Args:
        rows: Scores of at least two models, all of one instrument, family, kind, rule, read-out and unit.
        facts: Facts about the models; guessed from their names when empty.

    Raises:
        InputError: Scores of several sorts, fewer than two models, a scale scored twice, or a model without facts.
    """
    _one_sort(rows)
    names = tuple(dict.fromkeys(row.respondent for row in rows))
    if len(names) < 2:
        raise InputError(
            f"scores of {len(names)} {'model' if len(names) == 1 else 'models'}",
            where="scores to compare",
            expected="at least two models",
            do="name more runs, or a file with the answers of several models",
        )
    models = sorted(facts_of(names, facts), key=lambda one: (one.family, _last(one.size), one.model))
    scales = {row.scale for row in rows}
    values = (*(name for name in words.NAMES if name in scales), *sorted(scales - set(words.NAMES)))
    at = {one.model: i for i, one in enumerate(models)}
    x, spread = np.full((len(models), len(values)), np.nan), np.full((len(models), len(values)), np.nan)
    seen: set[tuple[str, str]] = set()
    for row in rows:
        if (row.respondent, row.scale) in seen:
            raise InputError(
                f"{row.respondent} has {row.scale} twice", where="scores to compare", expected="one run per model",
                do="leave one of the runs out",
            )  # fmt: skip
        seen.add((row.respondent, row.scale))
        place = at[row.respondent], values.index(row.scale)
        x[place], spread[place] = row.estimate, row.spread
    first = rows[0]
    return Profiles(
        tuple(models), values, x, spread,
        first.instrument, first.family, first.kind, first.rule, first.readout, first.unit,
    )  # fmt: skip


def read_scores(path: Path, like: ScaleRow | None = None) -> tuple[ScaleRow, ...]:
    """Read scores somebody published: one row per model, one column per scale.

    Args:
        path: CSV with a column `model`; every other column is named after a value. An empty cell is no score.
        like: A score of the sort these are to be compared with, whose instrument, family, kind, rule, read-out and
            unit they then carry; None leaves them scores of the instrument "published".

    Raises:
        InputError: Not readable, no scales, an unknown value, a model twice, or a cell that is no number.
    """
    rows = read_csv(path, ("model",))
    columns = [name for name in rows[0] if name != "model"]
    scales = [words.find(name, where=str(path)) for name in columns]
    sort = (like.instrument, like.family, like.kind, like.rule) if like else ("published", "scores", "rating", "")
    unit, readout = (like.unit, like.readout) if like else ("as published", "")
    out: list[ScaleRow] = []
    for line, row in enumerate(rows, start=2):
        where = f"{path}, row {line}"
        if not row["model"] or row["model"] in {one.respondent for one in out}:
            raise InputError(f"model {row['model']!r}", where=where, expected="one row per model, and its name")
        for column, scale in zip(columns, scales, strict=True):
            number = _number(row[column], f"{where}, column {column}")
            out.append(
                ScaleRow(
                    row["model"], sort[0], sort[1], scale, sort[2], sort[3], number, math.nan, math.nan, 0, 0, unit,
                    readout=readout,
                )
            )  # fmt: skip
    return tuple(out)


def _number(cell: str, where: str) -> float:
    if not cell:
        return math.nan
    try:
        found = float(cell.replace("\N{MINUS SIGN}", "-"))
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise InputError(f"{cell!r}", where=where, expected="a number, or an empty cell for no score")
    return found


def _last(size: float) -> float:
    return size if math.isfinite(size) else math.inf


def _one_sort(rows: Sequence[ScaleRow]) -> None:
    for name in KEY:
        there = list(dict.fromkeys(str(getattr(row, name)) or "(none)" for row in rows))
        if len(there) > 1:
            raise InputError(
                f"scores of several sorts, {name}: {', '.join(there)}",
                where="scores to compare",
                expected=f"one {name}: scores of different sorts have different meanings",
                do=f"choose one by --{FLAGS.get(name, name)}",
            )
