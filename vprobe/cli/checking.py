"""`vprobe check` and `vprobe tables`: is what a run holds what its data say, and what does each column mean?"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Annotated

import typer

from vprobe.cli import options as o
from vprobe.cli import show


def check(
    run: o.Run,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Folder of the benchmark's files, for scale scores.", show_default=False),
    ] = None,
    as_json: o.AsJson = None,
) -> None:
    """Make everything in a run again that needs no model, and say where it differs from what is stored."""
    from vprobe import pipeline

    with show.progress(quiet=bool(as_json)) as tell:
        found = pipeline.check_run(run, data=str(data or ""), tell=tell)
    different = [one for one in found if one.verdict == "differs"]
    if as_json:
        show.print_json({"run": run, "ok": not different, "tables": [dataclasses.asdict(one) for one in found]})
    else:
        for one in found:
            show.line(_line(one))
        show.line(
            f"{len(different)} of {len(found)} tables differ" if different else f"{len(found)} tables, none differs"
        )
    if different:
        raise typer.Exit(1)


def tables(
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="Only the tables of this run.", show_default=False)
    ] = None,
    table: Annotated[
        list[str] | None, typer.Option("--table", help="Only this table; repeat it for more.", show_default=False)
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Write the run's tables into this folder.", show_default=False)
    ] = None,
    form: Annotated[str, typer.Option("--format", help="Of the files written: csv or parquet.")] = "csv",
    as_json: o.AsJson = None,
) -> None:
    """Say what every column of the tables means and in which unit, and write a run's tables as CSV or Parquet."""
    from vprobe import pipeline, store
    from vprobe.errors import InputError

    chosen = o.split(table) or []
    if to is not None:
        if run is None:
            raise InputError("--to without a run", where="vprobe tables", expected="the run whose tables are written")
        written = pipeline.export(run, to, kind=form, names=chosen)
        if as_json:
            show.print_json({"written": [str(path) for path in written]})
        for path in () if as_json else written:
            show.line(f"{path}")
        return
    names = tuple(chosen) if run is None or chosen else store.tables_of(run)
    found = pipeline.schema(names)
    if as_json:
        show.print_json([dataclasses.asdict(one) for one in found])
        return
    for name in dict.fromkeys(one.table for one in found):
        rows = [(one.column, one.kind, one.unit, one.meaning) for one in found if one.table == name]
        show.table(f"{name}: {pipeline.about(name)}", ("column", "kind", "unit", "meaning"), rows, left=4)


def _line(one) -> str:
    largest = "" if math.isnan(one.largest) or math.isinf(one.largest) else f"largest difference {one.largest:.3g}"
    told = "; ".join(part for part in (largest, one.where, one.note) if part)
    return f"{one.table:16} {one.verdict}" + (f": {told}" if told else "")
