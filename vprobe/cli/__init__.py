"""The command line: parse, call one function, print. Nothing is imported before a command needs it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vprobe.cli import lazy

COMMANDS = {
    "demo": ("study:demo", "Run the whole study on the model that ships with vprobe."),
    "extract": ("model:extract", "Record a model's activations over a benchmark's items."),
    "rate": ("model:rate", "Ask a model to rate a benchmark's items."),
    "score": ("instruments:score", "Score answers you have by an instrument's own rule."),
    "labels": ("instruments:labels", "Make human labels again from raw ratings."),
    "induce": ("instruments:induce", "Give a model a social value; measure how near it comes."),
    "demographics": ("instruments:demographics", "Measure how far demographic personas move a model's values."),
    "probe": ("study:probe", "Fit directions on activations and score every item."),
    "agree": ("study:agree", "Compare probe scores with behaviour."),
    "shift": ("agreed:shift", "Change a model: does what is read shift with what it does?"),
    "claims": ("study:claims", "Say what may be claimed of a run, and what is refused."),
    "compare": ("across:compare", "Compare models by their scores: size, stage, profile."),
    "power": ("power:power", "Tell what so many items and raters can show."),
    "conformance": ("conformance:conformance", "Check a model and an engine for steering that does nothing."),
    "check": ("checking:check", "Make what needs no model again, and compare."),
    "tables": ("checking:tables", "Say what every column means; write tables as CSV or Parquet."),
    "report": ("study:report", "Write report.html and its figures from what a run holds."),
    "run": ("study:run", "Run the whole story from one file."),
    "doctor": ("data:doctor", "Say what is installed, and what would run."),
    "data": ("data:group", "Benchmark data: what there is, and getting it."),
    "lexicon": ("words:group", "Values in models' own words: ask, find factors, look."),
    "steer": ("steer:group", "Steer a model along a value's direction; measure the effect."),
    "vectors": ("vectors:group", "Directions as files of other tools, such as GGUF."),
}

DIVIDED = ("extract", "rate")
"""Commands whose work several ranks divide; of any other, rank 0 does the work and the others leave."""

app = lazy.group(
    "Find where a language model represents human values, and test whether that agrees with what it does.",
    COMMANDS,
    needs_command=True,
)


def _version(asked: bool | None) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("vprobe"))
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool | None, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = None,
) -> None:
    """Find where a language model represents human values, and test whether that agrees with what it does."""
    from vprobe import ranks

    whole_model = any(word.startswith("--tp-plan") for word in sys.argv)  # then every rank holds a part of the model
    if ranks.find().index > 0 and context.invoked_subcommand not in DIVIDED and not whole_model:
        raise typer.Exit
