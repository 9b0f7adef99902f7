"""Instruments' scoring rules: answers in, scale scores out. One file each, named as its benchmark.

A rule is a plug-in file with:

    KIND: str                       kind of its scores, see `types.ScaleRow`
    RULES: tuple[str, ...]          names of its rules, the default first
    ITEM_COLUMNS: tuple[str, ...]   columns of an answer file that name an item; joined by "-" they are its id
    SCALE: tuple[float, float]      lowest and highest number an answer may be
    known(folder) -> tuple[str, ...]                item ids it can score
    versions(folder) -> tuple[str, ...]             wordings it can be asked in
    parse(text, version, item_id) -> float          what an answer in words says; NaN where it says nothing usable
    score(answers, *, rule, folder) -> tuple[ScaleRow, ...]

Answers come from a file (`read`) or from a model (`vprobe rate`); a rule cannot tell which.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from vprobe import benchmarks, registry
from vprobe.errors import InputError, unknown
from vprobe.scoring._left import Contradiction, Unread, contradictions, unread
from vprobe.scoring._model import as_answers
from vprobe.scoring._read import read_answers
from vprobe.scoring._shape import nested
from vprobe.types import AnswerTable, ScaleRow

__all__ = ["Contradiction", "Unread", "as_answers", "contradictions", "kinds", "names", "nested", "plug_in", "read",
           "rules", "score", "unread"]  # fmt: skip


def names() -> tuple[str, ...]:
    """List the instruments that can be scored, sorted by name."""
    return registry.names("vprobe.scoring")


def rules(name: str) -> tuple[str, ...]:
    """List an instrument's scoring rules, the default first.

    Raises:
        InputError: The name is not known; the nearest is named.
    """
    return tuple(plug_in(name).RULES)


def read(name: str, path: Path, *, folder: Path | None = None) -> AnswerTable:
    """Read somebody's answers to an instrument from a CSV file, parsing those in words by the instrument's own rule.

    Args:
        name: Instrument, such as "value-portrait".
        path: CSV with a header: `model`, `version` (optional), the instrument's item columns, and `raw_response` or
            `numeric_response`. UTF-8 with or without BOM, any line ends, `.gz` too. Where both columns say something
            the words count, see `contradictions`.
        folder: The instrument's data; the user's cache when None.

    Raises:
        InputError: Not a readable CSV, a missing column, an unknown item or version, a row twice, a number off the
            scale (the line is named), or not one answer that can be read.
    """
    plug = plug_in(name)
    found = read_answers(
        path, plug.ITEM_COLUMNS, plug.known(folder), plug.parse, plug.SCALE, asked=plug.versions(folder),
        instrument=name,
    )  # fmt: skip
    if plug.KIND != "generation" and not np.isfinite(found.number).any():
        first = next((text for text in found.texts if text.strip()), "")
        raise InputError(
            f"none of {len(found.number)} answers can be read" + (f", the first is {first[:60]!r}" if first else ""),
            where=str(path), expected=f"answers to {name} in the words of its options, or as numbers",
            do="check that the file is of this instrument",
        )  # fmt: skip
    return found


def score(name: str, answers: AnswerTable, *, rule: str = "", folder: Path | None = None) -> tuple[ScaleRow, ...]:
    """Score answers by an instrument's rule.

    Args:
        name: Instrument, such as "svo".
        answers: From `read` or `as_answers`.
        rule: One of `rules(name)`; the first when empty.
        folder: The instrument's data; the user's cache when None.

    Raises:
        InputError: Unknown instrument, rule or version (the nearest is named), or no answers.
        DataError: The instrument's data are missing.
    """
    plug = plug_in(name)
    rule = rule or plug.RULES[0]
    if rule not in plug.RULES:
        raise unknown("rule", rule, plug.RULES, where=f"instrument {name}")
    if not len(answers.number):
        raise InputError("no answers", where=f"instrument {name}", expected="at least one row")
    asked = plug.versions(folder)
    for version in answers.versions:
        if version not in asked:
            raise unknown("version", version, asked, where=f"answers to {name}")
    return tuple(plug.score(answers, rule=rule, folder=folder))


def kinds(found: Sequence[ScaleRow]) -> tuple[str, ...]:
    """Return the kinds among scores, each once; a table of several is never averaged over them."""
    return tuple(dict.fromkeys(row.kind for row in found))


def plug_in(name: str) -> ModuleType:
    """Return the file of an instrument's scoring rule.

    Raises:
        InputError: The name is not known (the nearest is named), or is a benchmark's that has no rule.
    """
    plain = name.strip().lower().replace("_", "-")
    if plain not in names() and plain in benchmarks.names():
        raise InputError(
            f"{plain} has no scoring rule", where="instrument", expected="one of " + ", ".join(names()),
            do="its items carry loadings: ask a model with vprobe rate, then vprobe agree sets ratings against them",
        )  # fmt: skip
    return registry.load("vprobe.scoring", name, kind="instrument")
