"""What is known about the models compared: family, size and stage, from a file or read off their names."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vprobe.errors import READABLE, InputError, nearest, reason, unknown

STAGES = ("base", "instruct", "reasoning")
"""Stages with a meaning here: not tuned to answer, tuned to answer, tuned to think before it answers."""
COLUMNS = ("model", "family", "size", "stage")

_FAMILIES = (
    ("qwen", r"qwen|qwq"),
    ("llama", r"(?<![a-z])(code)?llama"),
    ("gemma", r"gemma"),
    ("gemini", r"gemini"),
    ("mistral", r"mistral|mixtral|ministral|magistral"),
    ("claude", r"claude"),
    ("gpt", r"^(chat)?gpt-?[2345]|^gpt-oss|^o[134](-|$)"),
    ("deepseek", r"deepseek"),
    ("grok", r"grok"),
    ("phi", r"^phi-?\d"),
    ("olmo", r"olmo"),
    ("pythia", r"pythia"),
    ("falcon", r"falcon"),
    ("smollm", r"smollm"),
)
"""Family and what its models' names contain; the first that fits. A distilled model belongs to what it was made of."""
_STAGES = (
    ("reasoning", r"thinking|reason|qwq|magistral|(^|-)r1(-|$)|^o[134](-|$)"),
    ("base", r"(^|-)(base|pt)(-|$)"),
    ("instruct", r"instruct|(^|-)(it|chat|sft|dpo)(-|$)|^claude|^gemini|^gpt-?(3\.5|4)|^chatgpt"),
)
# not after a letter: 7b of "8x7b" and 3b of "30b-a3b" are not the size of the model
_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)([bm])(?![a-z0-9])")


@dataclass(frozen=True)
class ModelFacts:
    """What a comparison needs to know of a model.

    Args:
        model: Its name, as in the scores.
        family: Models made by the same people from the same design, such as "qwen"; they are no independent evidence.
        size: Parameters, billions; NaN is unknown.
        stage: "base", "instruct", "reasoning" or another word; empty is unknown.
        guessed: Which of the facts were read off the name and given by nobody.
    """

    model: str
    family: str
    size: float = math.nan
    stage: str = ""
    guessed: tuple[str, ...] = ()


def guess(model: str) -> ModelFacts:
    """Read off a model's name what the name says for certain; the rest stays unknown.

    A name without a known family is a family of its own. "Qwen2.5-7B" has no stage: nothing in it says "base".
    Parameters of a mixture such as "8x7B" are not their product, so its size stays unknown.

    Args:
        model: Such as "Qwen/Qwen2.5-7B-Instruct" or "claude-3.7-sonnet_thinking".
    """
    name = re.split(r"[\\/]", model.strip().rstrip("\\/"))[-1].lower()
    name = re.sub(r"[\s_:]+", "-", name)
    family = next((known for known, pattern in _FAMILIES if re.search(pattern, name)), "")
    stage = next((known for known, pattern in _STAGES if re.search(pattern, name)), "")
    found = _SIZE.search(name)
    size = float(found[1]) / (1000.0 if found[2] == "m" else 1.0) if found else math.nan
    told = (("family", bool(family)), ("size", bool(found)), ("stage", bool(stage)))
    return ModelFacts(model, family or name, size, stage, tuple(key for key, known in told if known))


def read_facts(path: Path) -> tuple[ModelFacts, ...]:
    """Read facts about models from a CSV file.

    Args:
        path: UTF-8, with columns `model`, `family`, `size` (billions; empty is unknown) and `stage` (empty is unknown).

    Raises:
        InputError: Not readable, a missing column, an empty or repeated model, an empty family, a size that is no
            positive number, or a stage that looks misspelt.
    """
    rows = read_csv(path, COLUMNS)
    out: list[ModelFacts] = []
    for line, row in enumerate(rows, start=2):
        where = f"{path}, row {line}"
        for column in ("model", "family"):
            if not row[column]:
                raise InputError(f"{column} is empty", where=where, expected=f"a {column} in every row")
        if row["model"] in {one.model for one in out}:
            raise InputError(f"model {row['model']!r} stands twice", where=where, expected="one row per model")
        out.append(ModelFacts(row["model"], row["family"].lower(), _size(row["size"], where), _stage(row, where)))
    return tuple(out)


def facts_of(models: Sequence[str], known: Sequence[ModelFacts] = ()) -> tuple[ModelFacts, ...]:
    """Return the facts of each model, in order; with no facts at all they are guessed from the names.

    Args:
        models: Names in the scores.
        known: Facts, of these and perhaps of other models; empty for guesses.

    Raises:
        InputError: Facts are given, but not of one of the models; the nearest name is shown.
    """
    if not known:
        return tuple(guess(model) for model in models)
    table = {one.model: one for one in known}
    for model in models:
        if model not in table:
            raise unknown("model", model, table, where="facts about the models")
    return tuple(table[model] for model in models)


def read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a small CSV file, cells without the spaces around them.

    Args:
        path: The file.
        columns: Columns it must have.

    Raises:
        InputError: Not readable, a missing column, a row of another length, or no rows.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot be read: {reason(error)}", where=str(path), expected="a CSV file in UTF-8", do=READABLE
        ) from None
    cells = [[cell.strip() for cell in row] for row in csv.reader(line for line in lines if line.strip())]
    head = [name.lower() for name in cells[0]] if cells else []
    missing = [name for name in columns if name not in head]
    if missing:
        raise InputError(
            f"no column {', '.join(missing)}",
            where=str(path),
            expected=",".join(columns),
            do=f"its columns are {', '.join(head) or 'none'}",
        )
    for line, row in enumerate(cells[1:], start=2):
        if len(row) != len(head):
            raise InputError(f"{len(row)} cells in row {line}", where=str(path), expected=f"{len(head)}, as the header")
    if len(cells) < 2:
        raise InputError("has a header and no rows", where=str(path), expected="at least one model")
    return [dict(zip(head, row, strict=True)) for row in cells[1:]]


def _size(cell: str, where: str) -> float:
    if not cell:
        return math.nan
    try:
        size = float(cell)
    except ValueError:
        size = math.nan
    if not (math.isfinite(size) and size > 0):
        raise InputError(
            f"size {cell!r}", where=where, expected="billions of parameters, such as 7 or 0.5",
            do="leave the cell empty where the size is not known",
        )  # fmt: skip
    return size


def _stage(row: dict[str, str], where: str) -> str:
    stage = row["stage"].lower()
    near = nearest(stage, STAGES) if stage and stage not in STAGES else ""
    if near and abs(len(near) - len(stage)) <= 2:
        raise unknown("stage", row["stage"], STAGES, where=where)
    return stage
