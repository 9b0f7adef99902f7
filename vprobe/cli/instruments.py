"""`vprobe score`: an instrument's scoring rule on answers somebody already has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vprobe.cli import show
from vprobe.cli.options import AsJson

Answers = Annotated[
    Path, typer.Option("--answers", help="CSV: model, version, item columns, raw_response or numeric_response.")
]


def score(
    name: Annotated[str, typer.Argument(help="Instrument, such as value-portrait, svo or pvq-21.", show_default=False)],
    answers: Answers,
    rule: Annotated[str, typer.Option("--rule", help="Scoring rule; the instrument's first when left out.")] = "",
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the instrument's files instead of the user's cache.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="List every answer that could not be read.")] = False,
    as_json: AsJson = None,
) -> None:
    """Score answers you already have by an instrument's own rule."""
    from vprobe import scoring

    read = scoring.read(name, answers, folder=data)
    left = scoring.unread(read)
    rows = scoring.score(name, read, rule=rule, folder=data)
    if as_json:
        found: dict[str, Any] = scoring.nested(rows)
        show.print_json({"scores": found, "unread": [vars(one) for one in left]} if explain else found)
        return
    show.scales(rows)
    show.line(f"{len(left)} of {len(read.number)} answers could not be read" + ("." if explain else "; see --explain."))
    for one in left if explain else ():
        where = f"row {one.line}: {one.respondent} {one.version} {one.item_id}"
        show.line(f"  {where}: {one.reason}" + (f": {one.text[:120]!r}" if one.text else ""))
