"""Planted: items in the plain English of the model that ships with vprobe, with loadings we set ourselves.

Each response sets phrases that speak for some values above phrases that speak for others, so word order decides what
it expresses. Labels are the true loadings with noise of a stated size. Any number can be drawn, see
`vprobe.organism`; these are a fixed sample.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vprobe.benchmarks._pinned import DataSet
from vprobe.benchmarks._wordings import FORM, message_templates
from vprobe.errors import DataError
from vprobe.types import Benchmark, Item, Loading, Reliability
from vprobe.values import SCHWARTZ

DATA = DataSet(
    name="planted",
    what="520 responses to 104 questions in the demo model's own English, with labels of known reliability",
    licence="Apache-2.0",
    citation="The vprobe authors. Planted items, shipped with vprobe.",
    shipped=Path(__file__).with_name("planted.json"),
)


def load(folder: Path | None = None, limit: int | None = None) -> Benchmark:
    """Load the fixed sample, or another draw from a folder that holds a `planted.json`.

    Args:
        folder: Folder with a draw; the sample that ships when None.
        limit: Keep only this many questions, whole and in file order; None keeps all.

    Raises:
        DataError: The folder holds no draw, or one that cannot be read.
    """
    found = _read(folder)
    records, reliability = found["items"], float(found["reliability"])
    sha256 = hashlib.sha256(_path(folder).read_bytes()).hexdigest()
    if limit is not None:
        kept = set(list(dict.fromkeys(record["group"] for record in records))[:limit])
        records = [record for record in records if record["group"] in kept]
    return benchmark(records, reliability, sha256=sha256)


def truths(folder: Path | None = None) -> dict[str, tuple[float, ...]]:
    """Return the true loadings of every item of a draw, in the order of `SCHWARTZ`.

    Args:
        folder: Folder with a draw; the sample that ships when None.

    Raises:
        DataError: The folder holds no draw, or one that cannot be read.
    """
    return {record["id"]: tuple(record["truth"]) for record in _read(folder)["items"]}


def write(path: Path, records: Sequence[Mapping[str, Any]], reliability: float) -> None:
    """Write a draw so that `load` reads it.

    Args:
        path: The file.
        records: Per response what `benchmark` wants, and its true loadings as `truth`.
        reliability: Of the labels, within queries.
    """
    about = (
        "Drawn for vprobe. labels: true loadings with noise; truth: the true loadings, in the order of the ten values."
    )
    lines = ",\n".join(json.dumps(dict(record)) for record in records)
    path.write_text(
        f'{{"about": {json.dumps(about)},\n"reliability": {reliability},\n"items": [\n{lines}\n]}}\n', encoding="utf-8"
    )


def _path(folder: Path | None) -> Path:
    return Path(folder) / "planted.json" if folder is not None else Path(DATA.shipped or "")


def _read(folder: Path | None) -> dict[str, Any]:
    path = _path(folder)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        found["items"][0]
        for place, one in enumerate(found["items"], start=1):
            texts = [one[name] for name in ("id", "group", "text", "response")]
            numbers = [*map(float, one["labels"]), *map(float, one["truth"])]
            if (
                not all(isinstance(text, str) and text for text in texts)
                or len(numbers) != 20
                or len(one["truth"]) != 10
            ):
                raise ValueError(f"item {place} is not whole")
        float(found["reliability"])
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(
            f"no draw of items: {error}", where=str(path), expected="planted.json as a draw writes it"
        ) from None
    return found


def benchmark(records: Sequence[Mapping[str, Any]], reliability: float, *, sha256: str = "") -> Benchmark:
    """Make a benchmark of drawn records.

    Args:
        records: Per response its id, group, text, response and labels in the order of `SCHWARTZ`.
        reliability: Of the labels, within queries.
        sha256: Of the file they were read from; empty when none.
    """
    items = tuple(
        Item(
            id=record["id"], group=record["group"], source="planted", form=FORM, text=record["text"],
            response=record["response"], licence=DATA.licence,
            loadings=tuple(Loading(value, r) for value, r in zip(SCHWARTZ, record["labels"], strict=True)),
        )
        for record in records
    )  # fmt: skip
    known = tuple(Reliability(value, reliability, math.sqrt(reliability), True) for value in SCHWARTZ)
    unknown = tuple(Reliability(value, math.nan, math.nan, False) for value in SCHWARTZ)
    return Benchmark(
        name=DATA.name, items=items, templates=message_templates(), values=SCHWARTZ, reliability=known + unknown,
        licence=DATA.licence, citation=DATA.citation, sha256=sha256,
        labels=f"planted loadings with noise, reliability {reliability:.2f} within queries",
    )  # fmt: skip
