"""The command line: parse, call one function, print. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vprobe.cli import (
    across,
    agreed,
    audits,
    cards,
    causal,
    checking,
    conformance,
    damage,
    data,
    effects,
    evals,
    instruments,
    model,
    power,
    study,
    vectors,
    words,
)

app = typer.Typer(
    name="vprobe",
    help="Find where a language model represents human values, and test whether that agrees with what it does.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool | None) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("vprobe"))
        raise typer.Exit


DIVIDED = ("extract", "rate")
"""Commands whose work several ranks divide; of any other, rank 0 does the work and the others leave."""


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


app.command()(study.demo)
app.add_typer(data.group, name="data")
app.command()(model.extract)
app.command()(model.rate)
app.command()(instruments.score)
app.command()(instruments.labels)
app.command()(instruments.induce)
app.command()(instruments.demographics)
app.add_typer(words.group, name="lexicon")
app.command()(study.probe)
model.steer_group.command("matrix")(effects.matrix)
model.steer_group.command("solve")(effects.solve)
model.steer_group.command("ablate")(causal.ablate)
model.steer_group.command("interchange")(causal.interchange)
model.steer_group.command("positions")(causal.positions)
model.steer_group.command("damage")(damage.damage)
model.steer_group.command("eval")(evals.evaluate)
model.steer_group.command("audit")(audits.audit)
model.steer_group.command("said")(cards.said)
model.steer_group.command("transfer")(cards.transfer)
model.steer_group.command("card")(cards.card)
app.add_typer(model.steer_group, name="steer")
app.add_typer(vectors.group, name="vectors")
app.command()(study.agree)
app.command()(agreed.shift)
app.command()(study.claims)
app.command()(across.compare)
app.command()(power.power)
app.command()(conformance.conformance)
app.command()(checking.check)
app.command()(checking.tables)
app.command()(study.report)
app.command(name="run")(study.run)
app.command()(data.doctor)
