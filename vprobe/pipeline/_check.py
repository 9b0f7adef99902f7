"""`check`: everything in a finished run that needs no model, made again and held against what is stored."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from vprobe import generation, store
from vprobe.config import RunConfig
from vprobe.errors import DataError, StoreError, VprobeError
from vprobe.pipeline import _audited, _nulls, _prompted
from vprobe.pipeline._across import TABLES, across
from vprobe.pipeline._agree import agree
from vprobe.pipeline._claims import as_claimed, claims
from vprobe.pipeline._common import Tell, load_benchmarks, quiet
from vprobe.pipeline._find import probe
from vprobe.pipeline._lookup import as_probed
from vprobe.pipeline._personas import renew
from vprobe.pipeline._scales import scales
from vprobe.types import GenerationRow, Response, ScaleRow

OK, DIFFERS, WRITTEN, LEFT = "ok", "differs", "as written", "left"
OF_ITEMS = ("items", "loadings", "reliability")
TOLERANCE = 1e-6
"""Numbers nearer than this, relative to the larger, are the same: another processor rounds otherwise."""
LINKED = ("activations", "baselines")
"""Folders of a run that are read where they are."""


@dataclass(frozen=True)
class Checked:
    """What became of one table when a run was made again.

    Args:
        table: Its name.
        verdict: "ok" (made again, the same), "differs", or "as written" (a model or the instrument made it: only its
            seal could be looked at).
        largest: Largest difference of a number, in the unit of its column; infinite where a number stands on one side
            only, NaN where no number differs or nothing was made again.
        where: The cell with the largest difference, or the columns a broken seal names.
        note: Why it could not be made again; empty where it was.
    """

    table: str
    verdict: str
    largest: float
    where: str
    note: str = ""


@dataclass(frozen=True)
class _Step:
    """How the tables of one stage are made again, in a copy of the run; `tables` are those it cannot do without."""

    stage: str
    tables: tuple[str, ...]
    make: Callable[[Path, Path, str], None]


def check_run(folder: Path, *, data: str = "", tell: Tell = quiet) -> tuple[Checked, ...]:
    """Make every table again that needs no model, in a copy, and compare it with the stored one cell by cell.

    Tables that a model made are held against their seal, a digest of each column as it was written; so are those made
    again, which shows edits too small to matter.

    Args:
        folder: A run; nothing in it is changed.
        data: Folder of the benchmark's files, for scale scores; the user's cache when empty.
        tell: Called with (stage, done, total).

    Raises:
        StoreError: Not a run folder, or an empty one.
    """
    names, done = store.tables_of(folder), store.stages(folder)
    if not names:
        raise StoreError("the run holds no tables", where=str(folder), do="name a run in which a stage was finished")
    steps, made = [step for step in STEPS if step.stage in done], set()
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / folder.resolve().name
        _copy(folder, copy)
        for number, step in enumerate(steps):
            tell("check", number, len(steps))
            before = _files(copy)
            try:
                step.make(copy, folder, data)
                made |= {name for name, file in _files(copy).items() if before.get(name) != file}
            except (DataError, _Left) as error:
                failed |= dict.fromkeys(step.tables, f"{LEFT}: {error.found}")
            except VprobeError as error:
                failed |= dict.fromkeys(step.tables, f"cannot be made again: {error.found}")
            _restore(folder, copy, keep=made)
        tell("check", len(steps), len(steps))
        return tuple(_judge(folder, copy, name, name in made, failed.get(name, "")) for name in sorted({*names, *made}))


def _files(copy: Path) -> dict[str, int]:
    """Return the file number of each table: a table written again is a new file."""
    return {path.stem: path.stat().st_ino for path in copy.glob("*.parquet")}


class _Left(VprobeError):
    """Something that a table is made of is not on this machine."""


# --- making again ----------------------------------------------------------------------------------------------------


def _copy(folder: Path, copy: Path) -> None:
    """Lay out a copy of a run whose activations are those of the run itself."""
    copy.mkdir(parents=True)
    for path in folder.iterdir():
        if path.name in LINKED:
            (copy / path.name).symlink_to(path.resolve(), target_is_directory=True)
        elif path.suffix in (".parquet", ".safetensors") or path.name == "run.json":
            shutil.copy2(path, copy / path.name)


def _restore(folder: Path, copy: Path, *, keep: Collection[str]) -> None:
    """Put back what a stage took away because its basis was made again; what was made again stays."""
    for path in folder.glob("*.parquet"):
        if path.stem not in keep:
            shutil.copy2(path, copy / path.name)
    shutil.copy2(folder / "run.json", copy / "run.json")


def _probe(copy: Path, folder: Path, data: str) -> None:
    probe(copy, as_probed(folder, RunConfig()))


def _agree(copy: Path, folder: Path, data: str) -> None:
    agree(copy, RunConfig().changed(dict(store.load_info(folder, "agree").config)))


def _personas(copy: Path, folder: Path, data: str) -> None:
    renew(copy, RunConfig().changed(dict(store.load_info(folder, "personas").config)))


def _across(copy: Path, folder: Path, data: str) -> None:
    """Set the ways one run measures side by side again; with several runs the others would be needed."""
    made = store.load_info(folder, "across")
    if dict(made.config)["runs"] != 1:
        raise _Left("made from several runs", do="run vprobe agree on all of them again")
    across([copy], seed=made.seed)
    none = [name for name in TABLES if store.has(folder, name) and not store.has(copy, name)]
    if none:
        raise StoreError(f"the stored conditions make no {', '.join(none)}", where=str(folder))


def _steer(copy: Path, folder: Path, data: str) -> None:
    """Sum a sweep up again; its doses are the model's."""
    if store.has(folder, "nulls"):
        _nulls.renew(copy)
        _prompted.renew(copy, store.load_info(folder, "steer").seed)


def _audit(copy: Path, folder: Path, data: str) -> None:
    _audited.renew(copy, store.load_info(folder, "audit").seed)


def _claims(copy: Path, folder: Path, data: str) -> None:
    claims(copy, as_claimed(folder))


def _scales(copy: Path, folder: Path, data: str) -> None:
    """Score the stored answers again by the instruments' rules, which need the instruments' own items."""
    made = store.load_info(folder, "rate")
    config = RunConfig().changed({**dict(made.config), "data": data})
    found = load_benchmarks(config)
    if [item.id for one in found for item in one.items] != [item.id for item in store.load_items(folder).items]:
        raise _Left("the run's items are not those of the benchmark here", do="name their folder with --data")
    respondent = made.model.name if made.model else ""
    said = store.load_rows(copy, "responses", Response)
    rows = scales(
        found, said, respondent=respondent, folder=Path(data) if data else None, correct_order=config.correct_order
    )
    if store.has(copy, "generation"):
        told = store.load_rows(copy, "generation", GenerationRow)
        for one in found:
            mine = [row for row in told if row.item_id in {item.id for item in one.items}]
            rows = (*rows, *generation.profile(mine, one, respondent=respondent, seed=config.seed))
    store.save_rows(copy, "scales", rows, ScaleRow)


STEPS = (
    _Step("rate", ("scales",), _scales),
    _Step("probe", ("directions", "scores", "picks", "map", "agreement"), _probe),
    _Step("agree", ("profile", "agreement", "agreement_detail"), _agree),
    _Step("personas", ("agreement", "agreement_detail"), _personas),
    _Step("across", TABLES, _across),
    _Step("steer", ("nulls", "prompted"), _steer),
    _Step("audit", ("audits",), _audit),
    _Step("claims", ("claims",), _claims),
)
"""In the order of the story: a later one reads what an earlier one made again."""


# --- comparing -------------------------------------------------------------------------------------------------------


def _judge(folder: Path, copy: Path, name: str, made: bool, failed: str) -> Checked:
    """Compare one table with what was made again, and its columns with its seal."""
    if not store.has(folder, name):
        return Checked(name, DIFFERS, math.inf, "the whole table is missing")
    try:
        edited = store.edited(folder, name)
        stored = store.table(folder, name)
        vectors = _vectors(folder) if name == "directions" else None
    except StoreError as error:
        return Checked(name, DIFFERS, math.nan, "", error.found)
    broken = f"column {', '.join(edited)} is not as it was written" if edited else ""
    if failed.startswith(LEFT) or not (made or failed):
        note = failed.removeprefix(f"{LEFT}: ") or ("of the instrument" if name in OF_ITEMS else "made by a model")
        return Checked(name, DIFFERS if edited else WRITTEN, math.nan, broken, note)
    if failed:
        return Checked(name, DIFFERS, math.nan, broken, failed)
    if not store.has(copy, name):
        return Checked(name, DIFFERS, math.inf, "the stage that made it makes none")
    found = compare(stored, store.table(copy, name))
    if vectors is not None and not found.where:
        found = _far(vectors, _vectors(copy))
    where = found.where or broken
    return replace(found, table=name, verdict=DIFFERS if where else OK, where=where)


def compare(stored: pd.DataFrame, made: pd.DataFrame) -> Checked:
    """Compare two tables; rows are matched by everything in them that is no fraction, so that their order is free.

    Args:
        stored: As it is in the run.
        made: As it was made again.

    Returns:
        The largest difference and its cell; an empty `where` says they are the same.
    """
    if list(stored.columns) != list(made.columns):
        other = sorted({*map(str, stored.columns)} ^ {*map(str, made.columns)})
        return Checked("", DIFFERS, math.inf, f"columns {', '.join(other)} stand on one side only")
    numbers = [str(name) for name in stored.columns if pd.api.types.is_float_dtype(made[name])]
    words = [str(name) for name in stored.columns if name not in numbers]
    keys, others = _keys(stored, words), _keys(made, words)
    if Counter(keys) != Counter(others):
        return _unmatched(words, keys, others)
    place = {key: row for row, key in enumerate(others)}
    order, worst = np.array([place[key] for key in keys], dtype=np.int64), Checked("", OK, math.nan, "")
    for name in numbers:
        a, b = np.array(stored[name], dtype=np.float64), np.array(made[name], dtype=np.float64)[order]
        row, gap = _worst(a, b)
        if gap > (0.0 if math.isnan(worst.largest) else worst.largest):
            told = f"row {row} ({_told(keys[row])}), column {name}: stored {a[row]:.6g}, made again {b[row]:.6g}"
            worst = Checked("", DIFFERS, gap, told)
    return worst


def _worst(a: np.ndarray, b: np.ndarray) -> tuple[int, float]:
    """Return the row where two columns differ most and by how much; 0 where they are the same but for rounding."""
    if not len(a):
        return 0, 0.0
    one_side = (np.isfinite(a) != np.isfinite(b)) | (np.isnan(a) != np.isnan(b))
    with np.errstate(invalid="ignore"):
        gap = np.where(one_side, np.inf, np.nan_to_num(np.abs(a - b)))
        size = np.nan_to_num(np.maximum(np.abs(a), np.abs(b)))
    gap = np.where(gap <= TOLERANCE * np.maximum(size, TOLERANCE), 0.0, gap)
    row = int(gap.argmax())
    return row, float(gap[row])


def _keys(frame: pd.DataFrame, words: Sequence[str]) -> list[tuple[str, ...]]:
    """Return what names each row in words, with a number last where several rows have the same."""
    columns = [[str(cell) for cell in frame[name]] for name in words]
    seen: Counter[tuple[str, ...]] = Counter()
    out = []
    for row in range(len(frame)):
        key = tuple(column[row] for column in columns)
        out.append((*key, str(seen[key])))
        seen[key] += 1
    return out


def _unmatched(words: Sequence[str], keys: Sequence[tuple[str, ...]], others: Sequence[tuple[str, ...]]) -> Checked:
    """Name the first cell in words that differs, or say that there are more rows on one side."""
    if len(keys) != len(others):
        return Checked("", DIFFERS, math.inf, f"{len(keys)} rows stored, {len(others)} made again")
    left = Counter(others)
    left.subtract(Counter(keys))
    row = next(i for i, key in enumerate(keys) if left[key] < 0)
    mine = keys[row]
    nearest = max((key for key in others if left[key] > 0), key=lambda key: sum(map(str.__eq__, key, mine)))
    column = next((i for i, name in enumerate(words) if mine[i] != nearest[i]), 0)
    told = f"column {words[column]}: stored {mine[column]!r}, made again {nearest[column]!r}"
    return Checked("", DIFFERS, math.nan, f"row {row} ({_told(mine)}), {told}")


def _told(key: Sequence[str]) -> str:
    return ", ".join(part[:40] for part in key[:-1] if part)[:100]


def _vectors(folder: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    found = store.load_directions(folder)
    names = tuple(f"{one.value} at {one.site} by {one.method}" for one in found)
    return np.array([one.vector for one in found], dtype=np.float64), names


def _far(stored: tuple[np.ndarray, tuple[str, ...]], made: tuple[np.ndarray, tuple[str, ...]]) -> Checked:
    """Compare the vectors behind two tables of directions that are the same in words and numbers."""
    gap = np.abs(stored[0] - made[0]).max(axis=1)
    row = int(gap.argmax())
    if gap[row] <= TOLERANCE:
        return Checked("", OK, math.nan, "")
    return Checked("", DIFFERS, float(gap[row]), f"the vector of {stored[1][row]}")
