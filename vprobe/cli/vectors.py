"""`vprobe vectors`: directions as files that other tools read, and theirs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from vprobe.cli import lazy, show
from vprobe.cli import options as o

COMMANDS = {
    "export": ("vectors:export", "Write a value's direction to a file for other tools."),
    "convert": ("vectors:convert", "Read directions of any format and write them in another."),
    "snippet": ("vectors:snippet", "Print a script that adds a vector by another library."),
    "show": ("vectors:shown", "Show what a file of directions holds."),
}

group = lazy.group(
    "Directions as files of other tools: safetensors, GGUF control vectors, files of torch.",
    COMMANDS,
    needs_command=True,
)
File = Annotated[Path, typer.Argument(metavar="FILE", help="File of directions.", show_default=False)]
Target = Annotated[Path, typer.Option("--out", "-o", help="File to write.", show_default=False)]
Form = Annotated[
    str,
    typer.Option(
        "--format",
        help="safetensors, gguf (llama.cpp, repeng), steering-vectors, persona-vectors or caa; the file's suffix and "
        "what is in it decide when left out.",
    ),
]
Strength = Annotated[
    float,
    typer.Option(
        "--strength", help="Files but safetensors hold vectors of this length, in median residual norms where known."
    ),
]
Pickle = Annotated[bool, typer.Option("--allow-pickle", help="Write a format that its own tool unpickles.")]
Place = Annotated[str, typer.Option("--site", help="The one wanted, or where a vector acts whose file does not say.")]
For = Annotated[
    Path | None,
    typer.Option("--run", help="Run of the model it is for: width and layers are checked.", show_default=False),
]


def export(
    value: Annotated[str, typer.Option("--value", help="Value whose direction is written.", show_default=False)],
    out: Target,
    run: o.RunOption,
    site: Annotated[
        list[str] | None, typer.Option("--site", help="Sites; the one picked most often when left out.")
    ] = None,
    method: o.SteerMethod = None,
    strength: Strength = 1.0,
    form: Form = "",
    allow_pickle: Pickle = False,
) -> None:
    """Write a value's direction to a file for other tools, with the fingerprint of its model."""
    from vprobe import exports, pipeline, store

    config = o.resolve(fields={"steer_method": method})
    found = [pipeline.direction(run, value, site=one, method=config.steer_method) for one in o.split(site) or [""]]
    info = store.load_info(run).model
    family, depth = (info.family, info.n_layers) if info else ("", 0)
    path = exports.write(
        out, found, form=form, strength=strength, family=family, n_layers=depth, allow_pickle=allow_pickle
    )
    show.line(f"{path}: {found[0].value} at {', '.join(str(one.site) for one in found)}")


def convert(
    file: File,
    out: Target,
    site: Place = "",
    value: Annotated[str, typer.Option("--value", help="What it points to, where the file does not say.")] = "",
    run: For = None,
    strength: Strength = 1.0,
    form: Form = "",
    to: Annotated[str, typer.Option("--to", help="Format of the file written; its suffix decides if empty.")] = "",
    allow_pickle: Pickle = False,
) -> None:
    """Read directions of any format and write them in another; what is not known of them stays not known."""
    from vprobe import exports, pipeline, store

    info = store.load_info(run).model if run else None
    found = pipeline.import_vectors(file, value=value, site=site, form=form, model=info)
    family, depth = (info.family, info.n_layers) if info else ("", 0)
    path = exports.write(
        out, found, form=to, strength=strength, family=family, n_layers=depth, allow_pickle=allow_pickle
    )
    show.line(f"{path}: {found[0].value or 'value not known'} at {', '.join(str(one.site) for one in found)}")


def snippet(
    file: File,
    model: Annotated[str, typer.Option("--model", "-m", help="Model: folder or hub id.", show_default=False)],
    engine: Annotated[
        str, typer.Option("--engine", help="transformers, nnsight or transformer-lens.")
    ] = "transformers",
    strength: Annotated[
        float, typer.Option("--strength", help="Coefficient over the median residual norm; over 1 where none is known.")
    ] = 0.2,
    prompt: Annotated[str, typer.Option("--prompt", help="What the model reads.")] = "A friend asks for help.",
    site: Place = "",
) -> None:
    """Print a short script that adds a vector of a safetensors file with another library."""
    from vprobe import exports, pipeline
    from vprobe.errors import InputError

    one, *more = pipeline.import_vectors(file, site=site)
    if more:
        raise InputError(f"{len(more) + 1} directions", where=str(file), expected="one", do="choose with --site")
    path = pipeline.model_path(model)
    script = exports.snippet(file, one, engine=engine, model=path, prompt=prompt, strength=strength)
    show.line(script.rstrip())


def shown(file: File, site: Place = "", run: For = None, form: Form = "", as_json: o.AsJson = None) -> None:
    """Show what a file of directions holds, ours or another tool's."""
    from vprobe import pipeline, store

    found = pipeline.import_vectors(file, site=site, form=form, model=store.load_info(run).model if run else None)
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
