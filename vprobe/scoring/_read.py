"""Answer files: a CSV in long form, read whole, checked row by row, with the line named in every complaint."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vprobe.errors import READABLE, InputError, nearest, reason, unknown
from vprobe.types import AnswerTable

Parse = Callable[[str, str, str], float]
RESPONDENT, VERSION, TEXT, NUMBER, ERROR = "model", "version", "raw_response", "numeric_response", "error"
LONGEST = 1 << 24
"""Most characters in a cell; a model that rambles fills more than the 131,072 that Python allows by itself."""
ONLY = "v1"
"""Version of the answers of a file that names none."""


def read_answers(
    path: Path,
    item_columns: Sequence[str],
    known: Sequence[str],
    parse: Parse,
    scale: tuple[float, float],
    *,
    asked: Sequence[str],
    instrument: str,
) -> AnswerTable:
    """Read an answer file; see `scoring.read`.

    Args:
        path: The file.
        item_columns: Columns that name an item together.
        known: Item ids of the instrument.
        parse: What a text says for (text, version, item id); called once for each distinct three.
        scale: Lowest and highest number.
        asked: Wordings the instrument has.
        instrument: Named in errors.

    Raises:
        InputError: As `scoring.read` says.
    """
    found = _table(path)
    _require(found, path, item_columns)
    line = np.arange(2, len(found) + 2)
    who, respondents = _codes(found, RESPONDENT, path)
    version, versions = _codes(found, VERSION, path) if VERSION in found else (np.zeros(len(found), int), (ONLY,))
    _require_versions(version, versions, asked, path)
    item, item_ids = _items(found, path, item_columns, known, instrument)
    _once(path, (who, version, item), (respondents, versions, item_ids))
    texts = tuple(found[TEXT]) if TEXT in found else ("",) * len(found)
    numbers, overruled = _numbers(found, path, parse, scale, (version, versions), (item, item_ids))
    failed = np.array([bool(text) for text in found[ERROR]]) if ERROR in found else np.zeros(len(found), bool)
    return AnswerTable(
        respondents=respondents,
        versions=versions,
        item_ids=item_ids,
        respondent=who,
        version=version,
        item=item,
        number=numbers,
        mass=np.full(len(found), np.nan),
        texts=texts,
        line=line,
        error=tuple(bool(one) for one in failed),
        overruled=overruled,
    )


def _table(path: Path) -> Any:
    """Read every cell as text, so that nothing is guessed; a BOM, CRLF and spaces around names do not matter."""
    import pandas as pd

    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        raise InputError(
            f"line {row} is not UTF-8", where=str(path), expected="one encoding throughout, UTF-8",
            do="save the file as UTF-8 (a spreadsheet calls it 'CSV UTF-8')",
        ) from None  # fmt: skip
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"cannot be read: {reason(error)}", where=str(path), expected="a CSV file", do=READABLE
        ) from None
    if not text.strip():
        raise InputError("is empty", where=str(path), expected="a header and at least one row")
    rows = _rows(text, path)
    if len(rows) < 2:
        raise InputError("has a header and no rows", where=str(path), expected="at least one answer")
    names = [name.strip() for name in rows[0]]
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise InputError(f"column {twice[0]!r} stands twice", where=str(path), expected="each column once")
    return pd.DataFrame(rows[1:], columns=names, dtype=str)


def _rows(text: str, path: Path) -> list[list[str]]:
    """Return header and rows, blank lines left out; every row must have as many cells as the header."""
    head = text.lstrip().partition("\n")[0]
    other = next((mark for mark in (";", "\t") if mark in head and "," not in head), "")
    if other:
        raise InputError(
            f"cells are separated by {'tabs' if other != ';' else other}", where=str(path), expected="commas",
            do="save the file as CSV with commas between cells",
        )  # fmt: skip
    usual = csv.field_size_limit(LONGEST)
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=None), strict=True) if row]
    except csv.Error as error:
        raise InputError(
            f"is not a CSV table: {error}", where=str(path), expected="one header, equal rows",
            do="save the file as CSV again",
        ) from None  # fmt: skip
    finally:
        csv.field_size_limit(usual)
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise InputError(
                f"row {number} has {len(row)} cells, the header {len(rows[0])}", where=str(path),
                expected="equal rows", do="put a text that holds commas into double quotes",
            )  # fmt: skip
    return rows


def _require(found: Any, path: Path, item_columns: Sequence[str]) -> None:
    needed = [RESPONDENT, *item_columns]
    missing = [name for name in needed if name not in found]
    if TEXT not in found and NUMBER not in found:
        missing.append(f"{TEXT} or {NUMBER}")
    if missing:
        near = nearest(missing[0], found.columns)
        raise InputError(
            f"no column {', '.join(missing)}",
            where=str(path),
            expected=", ".join((*needed, f"{TEXT} or {NUMBER}; {VERSION} where wordings differ")),
            do=f"its columns are {', '.join(found.columns)}" + (f"; is it {near!r}?" if near else ""),
        )


def _codes(found: Any, column: str, path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return each row's name as a number, and the names in order of appearance."""
    import pandas as pd

    codes, names = pd.factorize(found[column].str.strip())
    if "" in set(names):
        row = int(np.flatnonzero(codes == list(names).index(""))[0]) + 2
        raise InputError(f"{column} is empty in row {row}", where=str(path), expected=f"a {column} in every row")
    return codes.astype(np.int64), tuple(str(name) for name in names)


def _require_versions(codes: np.ndarray, names: Sequence[str], asked: Sequence[str], path: Path) -> None:
    """Refuse a wording the instrument does not have: its answers might mean something else."""
    for at, name in enumerate(names):
        if name not in asked:
            row = int(np.flatnonzero(codes == at)[0]) + 2
            raise unknown("version", name, asked, where=f"{path}, row {row}")


def _items(
    found: Any, path: Path, columns: Sequence[str], known: Sequence[str], instrument: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    import pandas as pd

    joined = found[columns[0]].str.strip()
    for name in columns[1:]:
        joined = joined + "-" + found[name].str.strip()
    codes, names = pd.factorize(joined)
    there = set(known)
    lost = [str(name) for name in names if name not in there]
    if lost:
        row = int(np.flatnonzero(codes == list(names).index(lost[0]))[0]) + 2
        near = nearest(lost[0], known)
        raise InputError(
            f"{len(lost)} items are not in {instrument}, first {lost[0]!r} in row {row}",
            where=str(path),
            expected=f"{' and '.join(columns)} of one of its {len(known)} items",
            do=f"did you mean {near!r}?" if near else "",
        )
    return codes.astype(np.int64), tuple(str(name) for name in names)


def _once(path: Path, codes: Sequence[np.ndarray], names: Sequence[Sequence[str]]) -> None:
    """Refuse a respondent who answers an item twice in one version."""
    key = np.zeros(len(codes[0]), np.int64)
    for code, one in zip(codes, names, strict=True):
        key = key * len(one) + code
    order = np.argsort(key, kind="stable")
    again = np.flatnonzero(np.diff(key[order]) == 0)
    if not len(again):
        return
    first, second = sorted((int(order[again[0]]), int(order[again[0] + 1])))
    what = ", ".join(str(one[int(code[second])]) for code, one in zip(codes, names, strict=True))
    raise InputError(
        f"{len(again)} answers stand there twice, first {what} in rows {first + 2} and {second + 2}",
        where=str(path),
        expected="one row per model, version and item",
        do="remove one of the two; answers given anew are those of another model, such as a-2",
    )


def _numbers(
    found: Any,
    path: Path,
    parse: Parse,
    scale: tuple[float, float],
    version: tuple[np.ndarray, tuple[str, ...]],
    item: tuple[np.ndarray, tuple[str, ...]],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers, and those of the file that the words overrule.

    Parsed from the words, and as given where the words say nothing, such as texts cut short.
    """
    out = _given(found, path, scale) if NUMBER in found else np.full(len(found), np.nan)
    if TEXT not in found:
        return out, np.full(len(found), np.nan)
    import pandas as pd

    said, texts = pd.factorize(found[TEXT])
    key = (said.astype(np.int64) * len(version[1]) + version[0]) * len(item[1]) + item[0]
    distinct, back = np.unique(key, return_inverse=True)
    parsed = np.empty(len(distinct))
    for i, one in enumerate(distinct.tolist()):
        rest, at_item = divmod(one, len(item[1]))
        at_text, at_version = divmod(rest, len(version[1]))
        text = str(texts[at_text])
        parsed[i] = parse(text, version[1][at_version], item[1][at_item]) if text.strip() else np.nan
    spoken = parsed[back]
    differ = np.isfinite(spoken) & np.isfinite(out) & (spoken != out)
    return np.where(np.isfinite(spoken), spoken, out), np.where(differ, out, np.nan)


def _given(found: Any, path: Path, scale: tuple[float, float]) -> np.ndarray:
    """Read the numeric column; an empty cell is unscored, anything else must be a number of the scale."""
    import pandas as pd

    cells = found[NUMBER].str.strip()
    numbers = np.asarray(pd.to_numeric(cells, errors="coerce"), dtype=np.float64)
    empty = np.asarray(cells.str.lower().isin(["", "nan", "na", "none", "null"]), dtype=bool)
    low, high = scale
    wrong = ~empty & ~((numbers >= low) & (numbers <= high))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"{NUMBER} {cells.iloc[row]!r} in row {row + 2}",
            where=str(path),
            expected=f"a number from {low:g} to {high:g}, or an empty cell for no answer",
            do=f"{int(wrong.sum())} rows are like it",
        )
    return numbers
