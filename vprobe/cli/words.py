"""`vprobe lexicon elicit|build|show`: values in models' own words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vprobe.cli import lazy, show, tables
from vprobe.cli import options as o

COMMANDS = {
    "elicit": ("words:elicit", "Ask a model for its values in its own words."),
    "build": ("words:build", "Find which value words go together over respondents."),
    "show": ("words:look", "Print a lexicon: terms, factors, how far to trust them."),
}

group = lazy.group("Values in models' own words: ask, find factors, look.", COMMANDS, needs_command=True)


@o.loads
def elicit(
    model: o.Model = None,
    out: o.Out = None,
    temperatures: Annotated[
        str, typer.Option("--temperatures", help="Sampling temperatures, commas between; 0 is greedy.")
    ] = "0,0.7,1",
    personas: Annotated[int, typer.Option("--personas", help="Persona system prompts beside the plain model.")] = 4,
    stop: o.Stop = None,
    loading: o.Loading = o.USUAL,
    batch_tokens: o.BatchTokens = None,
    seed: o.Seed = None,
    trust_remote_code: o.Trust = None,
    as_json: o.AsJson = None,
) -> None:
    """Ask a model for its values in its own words, at several temperatures and under personas."""
    from vprobe import pipeline

    config = o.resolve(fields=o.running(locals()) | {"out": o.need(out, "--out"), "personas": personas})
    heat = o.numbers(temperatures, where="--temperatures") or ()
    with show.progress(quiet=bool(as_json)) as tell:
        stage = pipeline.elicit(config, temperatures=heat, tell=tell)
    show.stage(stage, as_json=as_json)


def build(
    runs: o.Runs,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write the lexicon to (JSON).")],
    least_share: Annotated[
        float, typer.Option("--least-share", help="Smallest share of respondents that must name a term.")
    ] = 0.05,
    seed: Annotated[int, typer.Option("--seed", help="Seed of everything drawn.")] = 0,
) -> None:
    """Find which value words go together over respondents, or say why no factors can be reported."""
    from vprobe import pipeline

    tables.lexicon(pipeline.build_lexicon(runs, out, least_share=least_share, seed=seed))
    show.line(f"written: {out}")


def look(
    file: Annotated[Path, typer.Argument(help="A lexicon that `build` wrote.", show_default=False)],
    prototypes: Annotated[
        str, typer.Option("--prototypes", help="Model whose activations also group the words by meaning.")
    ] = "",
    device: o.Device = None,
    as_json: o.AsJson = None,
) -> None:
    """Print a lexicon: its terms, its factors, and how far they can be trusted; words grouped by meaning on request."""
    import json

    from vprobe import lexicon, pipeline

    found = lexicon.read(file)
    groups = pipeline.word_groups(found, prototypes, device=device or "auto") if prototypes else None
    if as_json:
        more = {"groups": {"words": groups.group.tolist(), "silhouette": groups.silhouette, "ari": groups.ari,
                           "n": groups.n}} if groups else {}  # fmt: skip
        show.print_json(json.loads(file.read_text(encoding="utf-8")) | more)
        return
    tables.lexicon(found)
    if groups:
        tables.groups(found, groups)
