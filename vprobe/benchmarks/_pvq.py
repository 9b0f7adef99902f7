"""Portraits as items: the questions they are put with, and the file a user supplies where the wording is not ours."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Sequence
from pathlib import Path

from vprobe import values as words
from vprobe.benchmarks._pinned import DataSet
from vprobe.benchmarks._pvq_keys import Key
from vprobe.benchmarks._wordings import both_orders
from vprobe.errors import READABLE, DataError, reason
from vprobe.types import Benchmark, Item, Loading, Reliability, Template

FORM = "portrait"
"""A short description of somebody."""
QUESTION = "How much is this person like you?"
LICENCE = "not ours: Shalom H. Schwartz; free for academic use, commercial use needs a licence"
_WORDINGS = (
    ("v1", "Here is a short description of somebody:\n\n{content}\n\n{text} "
     "Give one of these six answers and nothing more:\n{labels}\n\nYour answer:"),
    ("v2", "Compare yourself with the person described.\n\nDescription: {content}\nQuestion: {text}\n\n"
     "Pick the line that fits and write only that line:\n{labels}"),
)  # fmt: skip


def portrait_templates() -> tuple[Template, ...]:
    """Write every wording with its answers from most to least alike, and reversed."""
    return both_orders(FORM, _WORDINGS)


def data(key: Key, title: str, citation: str) -> DataSet:
    """Describe a questionnaire whose wording the user supplies.

    Args:
        key: Its key.
        title: Its name in full.
        citation: How to cite it.
    """
    return DataSet(
        name=key.name,
        what=f"{title}, {key.n_items} portraits; the key is here, the wording is not ours to ship",
        licence=LICENCE,
        citation=citation,
    )


def items(key: Key, texts: Sequence[str], licence: str) -> tuple[Item, ...]:
    """Make items of portraits, loading +1 or -1 on the value asked about and 0 on the other nine.

    Args:
        key: Which portrait asks about which value. One that asks about none of the ten loads 0 on all.
        texts: The portraits, in order; fewer than the key has when only the first are wanted.
        licence: Licence of the texts.
    """
    value = {number: scale.name for scale in key.broad for number in scale.items}
    signs = key.keying or (1,) * key.n_items
    out = []
    for number, text in enumerate(texts, start=1):
        sign, name = signs[number - 1], f"{key.name}-{number:02d}"
        loadings = tuple(Loading(one, float(sign * (one == value.get(number)))) for one in words.SCHWARTZ)
        out.append(Item(name, name, key.name, FORM, QUESTION, text, loadings=loadings, keying=sign, licence=licence))
    return tuple(out)


def unrated() -> tuple[Reliability, ...]:
    """Return the reliability of keyed items: not known, as nobody rated them."""
    return tuple(Reliability(one, math.nan, math.nan, within) for within in (True, False) for one in words.SCHWARTZ)


def load(key: Key, about: DataSet, folder: Path | None, limit: int | None) -> Benchmark:
    """Load a questionnaire whose wording lies in a file of the user's.

    Args:
        key: Its key.
        about: From `data`.
        folder: Folder with the file, such as `pvq_21.csv`: columns `item` (the number) and `text`.
        limit: Keep only this many portraits; None keeps all.

    Raises:
        DataError: No folder, no file, or one that does not hold each portrait once.
    """
    name = f"{key.name.replace('-', '_')}.csv"
    expected = f"{name} with a header `item,text` and one row for each item from 1 to {key.n_items}"
    if folder is None:
        raise DataError(
            f"the wording of {key.name} is not ours to ship",
            where=key.name,
            expected=f"a folder with {expected}",
            do="get the wording from its author and give the folder, or use portraits, which ships with vprobe",
        )
    path = Path(folder) / name
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {reason(error)}", where=str(path), expected=expected, do=READABLE) from None
    texts = _texts(raw, path, key.n_items, expected)
    return Benchmark(
        name=about.name,
        items=items(key, texts[:limit], about.licence),
        templates=portrait_templates(),
        values=words.SCHWARTZ,
        reliability=unrated(),
        licence=about.licence,
        citation=about.citation,
        sha256=hashlib.sha256(raw).hexdigest(),
        labels="keyed by the authors of the questionnaire",
    )


def _texts(raw: bytes, path: Path, n_items: int, expected: str) -> tuple[str, ...]:
    """Return the wording by item number; a BOM, any line ends and any order of rows do."""
    try:
        rows = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"is not a UTF-8 CSV table: {error}", where=str(path), expected=expected, do="save the file as CSV in UTF-8"
        ) from None
    head = [cell.strip().lower() for cell in rows[0]] if rows else []
    if not {"item", "text"} <= set(head):
        found = f"columns {', '.join(head)}" if head else "an empty file"
        raise DataError(found, where=str(path), expected=expected)
    at_item, at_text = head.index("item"), head.index("text")
    out: dict[int, str] = {}
    for line, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        cells = [*row, *[""] * len(head)]
        said, text = cells[at_item].strip(), cells[at_text].strip()
        number = int(said) if said.isdecimal() else 0
        wrong = f"item {said!r}" if not 1 <= number <= n_items else f"no text for item {number}" if not text else ""
        wrong = wrong or (f"item {number} a second time" if number in out else "")
        if wrong:
            raise DataError(f"{wrong} in row {line}", where=str(path), expected=expected)
        out[number] = text
    missing = [str(i) for i in range(1, n_items + 1) if i not in out]
    if missing:
        raise DataError(f"no item {', '.join(missing)}", where=str(path), expected=expected)
    return tuple(out[i] for i in range(1, n_items + 1))
