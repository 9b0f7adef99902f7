"""`vprobe steer transfer` and `steer card`: what a vector does to unused instruments, and all that is known of it."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Annotated

import typer

from vprobe.cli import options as o
from vprobe.cli import show


@o.loads
def transfer(
    model: o.Model = None,
    run: o.RunFolder = None,
    values: o.SteerValues = None,
    instruments: Annotated[
        list[str] | None,
        typer.Option(
            "--instruments",
            help="Instruments to ask; those directions were fitted on are left out. All that vprobe has when left out.",
            show_default=False,
        ),
    ] = None,
    strengths: o.Strengths = None,
    dose: o.Dose = None,
    versions: o.SteerVersions = None,
    method: o.SteerMethod = None,
    site: o.SteerSite = None,
    on: o.SteerPositions = None,
    operation: o.Operation = None,
    option: o.SteerOptions = None,
    gate: o.Gate = None,
    limit: o.SteerLimit = None,
    null_draws: o.NullDraws = None,
    stop: o.Stop = None,
    loading: o.Loading = o.USUAL,
    batch_tokens: o.BatchTokens = None,
    data: o.DataFolder = None,
    seed: o.Seed = None,
    trust_remote_code: o.Trust = None,
    as_json: o.AsJson = None,
) -> None:
    """Measure what a value's vector does to instruments that had no part in fitting it, beside shuffled labels."""
    from vprobe import pipeline

    folder = o.need(run, "--run")
    o.need(model, "--model")
    config = o.steered(locals(), pipeline.as_steered(folder))
    names = o.split(instruments) or pipeline.INSTRUMENTS
    with show.progress(quiet=bool(as_json)) as tell:
        stage = pipeline.steer_transfer(folder, config, instruments=names, tell=tell)
    show.stage(stage, as_json=as_json)
    if not as_json:
        _transfers(folder)


@o.loads
def said(
    model: o.Model = None,
    run: o.RunFolder = None,
    values: o.SteerValues = None,
    benchmark: o.Bench = None,
    strengths: o.Strengths = None,
    dose: o.Dose = None,
    method: o.SteerMethod = None,
    site: o.SteerSite = None,
    on: o.SteerPositions = None,
    operation: o.Operation = None,
    option: o.SteerOptions = None,
    gate: o.Gate = None,
    limit: o.SteerLimit = None,
    null_draws: o.NullDraws = None,
    loading: o.Loading = o.USUAL,
    batch_tokens: o.BatchTokens = None,
    too_long: o.TooLong = None,
    data: o.DataFolder = None,
    seed: o.Seed = None,
    trust_remote_code: o.Trust = None,
    as_json: o.AsJson = None,
) -> None:
    """Measure what each dose does to how likely responses are as the model's own words; for models that cannot rate."""
    from vprobe import pipeline

    folder = o.need(run, "--run")
    o.need(model, "--model")
    config = o.steered(locals(), pipeline.as_steered(folder))
    with show.progress(quiet=bool(as_json)) as tell:
        stage = pipeline.steer_said(folder, config, tell=tell)
    show.stage(stage, as_json=as_json)
    if not as_json:
        _said(folder)


@o.loads
def card(
    run: o.RunFolder = None,
    values: o.SteerValues = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the cards; `cards` in the run when left out.", show_default=False),
    ] = None,
    make: Annotated[
        bool, typer.Option("--make", help="First measure what is missing, audits and causal checks too.")
    ] = False,
    model: o.Model = None,
    strengths: o.Strengths = None,
    method: o.SteerMethod = None,
    site: o.SteerSite = None,
    on: o.SteerPositions = None,
    limit: o.SteerLimit = None,
    null_draws: o.NullDraws = None,
    stop: o.Stop = None,
    loading: o.Loading = o.USUAL,
    batch_tokens: o.BatchTokens = None,
    data: o.DataFolder = None,
    seed: o.Seed = None,
    trust_remote_code: o.Trust = None,
    as_json: o.AsJson = None,
) -> None:
    """Write what a run shows of each value's vector: card.md, card.json, figures and the vector itself."""
    from vprobe import pipeline

    folder = o.need(run, "--run")
    if make:
        o.need(model, "--model")
    config = o.steered(locals(), pipeline.as_steered(folder))
    names = pipeline.card_values(folder, config)
    with show.progress(quiet=bool(as_json)) as tell:
        made = pipeline.make_missing(folder, config, values=names, tell=tell) if make else ()
    stage = pipeline.write_cards(folder, config, values=names, out=out)
    done = ", ".join(table for table, why in made if not why)
    told = [("made first", done)] if made else []
    told += [("cannot be made", f"{table}: {why}") for table, why in made if why]
    stage = dataclasses.replace(stage, facts=(*told, *stage.facts))
    show.stage(stage, as_json=as_json)


def _said(folder: Path) -> None:
    from vprobe import store, values
    from vprobe.types import SaidRow

    number = show.number
    heads = ("value", "arm", "strength", "effect", "95 % interval", "p", "queries against", "mean shift", "n")
    rows = store.load_rows(folder, "said", SaidRow)
    show.table("change in log-prob per token and SD of label within queries", heads, [
        (values.title(r.value), r.arm, number(r.strength, 3), number(r.effect, 4),
         f"{number(r.low, 4)} .. {number(r.high, 4)}", show.chance(r.p, 4),
         show.share_of(r.anti, r.anti_low, r.anti_high), number(r.mean_shift, 3), str(r.n_items))
        for r in rows if r.arm == "steered"
    ], left=2)  # fmt: skip
    for value, arm in dict.fromkeys((r.value, r.arm) for r in rows if r.arm != "steered"):
        some = [r.effect for r in rows if (r.value, r.arm) == (value, arm) and not math.isnan(r.effect)]
        ends = f"{number(min(some), 4)} .. {number(max(some), 4)}" if some else "n/a"
        show.line(f"  {values.title(value)}, {arm} vectors at the outermost doses: {ends}")


def _transfers(folder: Path) -> None:
    from vprobe import store, values
    from vprobe.types import TransferRow

    number = show.number
    rows = store.load_rows(folder, "transfer", TransferRow)
    heads = ("value", "instrument", "measure", "predicted", "half change", "95 % interval", "p", "null 95 %", "null p",
             "n", "shown")  # fmt: skip
    show.table("transfer: half the change from one outermost dose to the other", heads, [
        (values.title(r.value), r.instrument, f"{r.measure} ({r.unit})", {1: "up", -1: "down"}.get(r.predicted, "none"),
         number(r.estimate, 3), f"{number(r.low, 3)} .. {number(r.high, 3)}", show.chance(r.p, 4),
         f"{number(r.null_low, 3)} .. {number(r.null_high, 3)}", show.chance(r.null_p), str(r.n),
         "yes" if r.shown else "no")
        for r in rows if not math.isnan(r.estimate)
    ], left=3)  # fmt: skip
    for r in rows:
        if r.note:
            show.line(f"  {values.title(r.value)} on {r.instrument}: {r.note}")
