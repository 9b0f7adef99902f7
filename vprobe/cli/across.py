"""`vprobe compare`: several models side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vprobe.cli import show, tables
from vprobe.cli.options import AsJson


def compare(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUN...]", help="Run folders that were rated.", show_default=False)
    ] = None,
    answers: Annotated[
        Path | None, typer.Option("--answers", help="Answers of several models (CSV) instead.", show_default=False)
    ] = None,
    benchmark: Annotated[str, typer.Option("--benchmark", "-b", help="Instrument of the scores.")] = "value-portrait",
    facts: Annotated[
        Path | None,
        typer.Option("--facts", help="CSV: model, family, size, stage; read off the names when left out.",
                     show_default=False),
    ] = None,
    family: Annotated[str, typer.Option("--family", help="Family of scales, such as pvq; empty is the only one.")] = "",
    kind: Annotated[str, typer.Option("--kind", help="rating, self_report, generation or choice.")] = "",
    rule: Annotated[str, typer.Option("--rule", help="Scoring rule.")] = "",
    readout: Annotated[str, typer.Option("--readout", help="'option probabilities' or 'its words'.")] = "",
    scale: Annotated[
        str, typer.Option("--scale", help="One scale alone, such as svo's angle; all of the family when left out.")
    ] = "",
    targets: Annotated[
        Path | None, typer.Option("--targets", help="CSV of published scores to compare with.", show_default=False)
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the instrument's files.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for a page with figure and tables.", show_default=False)
    ] = None,
    as_json: AsJson = None,
) -> None:  # fmt: skip
    """Compare models by their scores: with size, by stage, and how much of a profile is a model's own."""
    import dataclasses

    from vprobe import pipeline

    found = pipeline.compare(
        tuple(runs or ()), answers=answers, benchmark=benchmark, facts=facts, family=family, kind=kind, rule=rule,
        readout=readout, scale=scale, targets=targets, data=data, out=out,
    )  # fmt: skip
    if as_json:
        parts = {name: [dataclasses.asdict(row) for row in getattr(found.made, name)]
                 for name in ("effects", "findings", "own", "pairs", "likeness")}  # fmt: skip
        show.print_json(parts | {"targets": [dataclasses.asdict(row) for row in found.targets], "page": found.page})
        return
    tables.compared(found)
