"""`vprobe vectors`: directions as files that other tools read, and theirs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from vprobe.cli import options as o
from vprobe.cli import show

group = typer.Typer(help="Directions as files: safetensors, GGUF control vectors (llama.cpp, repeng).")
Form = Annotated[str, typer.Option("--format", help="safetensors or gguf; the file's suffix decides when left out.")]


@group.command("export")
def export(
    value: Annotated[str, typer.Option("--value", help="Value whose direction is written.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.", show_default=False)],
    run: o.RunOption,
    site: Annotated[
        list[str] | None, typer.Option("--site", help="Sites; the one picked most often when left out.")
    ] = None,
    method: o.SteerMethod = None,
    strength: Annotated[
        float, typer.Option("--strength", help="GGUF: vectors are written at strength x median residual norm.")
    ] = 1.0,
    form: Form = "",
) -> None:
    """Write a value's direction to a file for other tools, with the fingerprint of its model."""
    from vprobe import exports, pipeline, store

    config = o.resolve(fields={"steer_method": method})
    found = [pipeline.direction(run, value, site=one, method=config.steer_method) for one in o.split(site) or [""]]
    info = store.load_info(run).model
    path = exports.write(out, found, form=form, strength=strength, family=info.family if info else "")
    show.line(f"{path}: {found[0].value} at {', '.join(str(one.site) for one in found)}")


@group.command("show")
def shown(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File of directions.", show_default=False)],
    form: Form = "",
    as_json: o.AsJson = None,
) -> None:
    """Show what a file of directions holds, ours or another tool's."""
    from vprobe import exports

    found = exports.read(file, form=form)
    if as_json:
        show.print_json([
            {"site": str(one.site), "value": one.value, "method": one.method, "unit": one.unit, "model": one.model,
             "width": len(one.vector)} for one in found
        ])  # fmt: skip
        return
    rows = [
        (str(one.site), one.value or "not known", one.method, str(len(one.vector)),
         "n/a" if math.isnan(one.unit) else f"{one.unit:.3g}", one.model[:12] or "not known") for one in found
    ]  # fmt: skip
    show.table(str(file), ("site", "value", "method", "width", "unit", "model"), rows)
