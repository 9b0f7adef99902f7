"""`vprobe steer ablate`, `interchange` and `positions`: is a direction what the model uses, and while it does what?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from vprobe.cli import options as o
from vprobe.cli import show

Personas = Annotated[int, typer.Option("--personas", help="Personas the items are asked under.")]
On = Annotated[str, typer.Option("--on", help="Tokens changed: response (from where the answer starts on), all, ...")]
WHERE = "response"
"""Tokens changed unless asked for otherwise: those from the token on at which personas are read."""
PERSONAS = 8
"""As `pipeline` has it; nothing heavy is imported here."""


@o.loads
def ablate(
    model: o.Model = None,
    run: o.RunFolder = None,
    values: o.SteerValues = None,
    personas: Personas = PERSONAS,
    benchmark: o.Bench = None,
    versions: o.SteerVersions = None,
    method: o.SteerMethod = None,
    site: o.SteerSite = None,
    vector: o.SteerVector = None,
    on: On = WHERE,
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
    """Take each value's direction out: how much of what ratings owe to the value is gone, and what of the others?"""
    from vprobe import pipeline

    folder = o.need(run, "--run")
    o.need(model, "--model")
    config = o.steered(locals(), pipeline.as_read(folder), every=True)
    with show.progress(quiet=bool(as_json)) as tell:
        stage = pipeline.ablate(folder, config, conditions=personas, tell=tell)
    show.stage(stage, as_json=as_json)
    if not as_json:
        ablations(folder)


@o.loads
def interchange(
    model: o.Model = None,
    run: o.RunFolder = None,
    values: o.SteerValues = None,
    personas: Personas = PERSONAS,
    benchmark: o.Bench = None,
    versions: o.SteerVersions = None,
    method: o.SteerMethod = None,
    site: o.SteerSite = None,
    vector: o.SteerVector = None,
    on: On = WHERE,
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
    """Give a prompt another persona's coordinate, or its whole activation: do ratings change as what is read says?"""
    from vprobe import pipeline

    folder = o.need(run, "--run")
    o.need(model, "--model")
    config = o.steered(locals(), pipeline.as_read(folder), every=True)
    with show.progress(quiet=bool(as_json)) as tell:
        stage = pipeline.interchange(folder, config, conditions=personas, tell=tell)
    show.stage(stage, as_json=as_json)
    if not as_json:
        exchanged(folder)


@o.loads
def positions(
    model: o.Model = None,
    run: o.RunFolder = None,
    values: o.SteerValues = None,
    strengths: o.Strengths = None,
    dose: o.Dose = None,
    benchmark: o.Bench = None,
    versions: o.SteerVersions = None,
    method: o.SteerMethod = None,
    site: o.SteerSite = None,
    vector: o.SteerVector = None,
    operation: o.Operation = None,
    option: o.SteerOptions = None,
    gate: o.Gate = None,
    limit: o.SteerLimit = None,
    loading: o.Loading = o.USUAL,
    batch_tokens: o.BatchTokens = None,
    too_long: o.TooLong = None,
    data: o.DataFolder = None,
    seed: o.Seed = None,
    trust_remote_code: o.Trust = None,
    as_json: o.AsJson = None,
) -> None:
    """Steer the prompt alone, the answer alone, and all of it: where does the effect come from?"""
    from vprobe import pipeline

    folder = o.need(run, "--run")
    o.need(model, "--model")
    config = o.steered(locals(), pipeline.as_read(folder), every=True)
    with show.progress(quiet=bool(as_json)) as tell:
        stage = pipeline.positions(folder, config, tell=tell)
    show.stage(stage, as_json=as_json)
    if not as_json:
        placed(folder)


def _ends(low: float, high: float, *, share: bool = False) -> str:
    if math.isnan(low):
        return "n/a"
    return f"{low:z.0%} .. {high:z.0%}" if share else f"{low:z.2f} .. {high:z.2f}"


def _share(number: float) -> str:
    return "n/a" if math.isnan(number) else f"{number:z.0%}"


def ablations(folder: Path) -> None:
    """Print what taking directions out took away.

    Args:
        folder: A run with ablations.
    """
    from vprobe import store, values
    from vprobe.types import AblationRow

    rows = [
        (values.title(r.value), r.site, show.number(r.base), _ends(r.base_low, r.base_high), show.number(r.slope),
         _share(r.removed), _ends(r.low, r.high, share=True), _share(r.isotropic), _share(r.random), _share(r.shuffled),
         _share(r.other), "yes" if r.beyond else "no", _share(r.others), show.number(r.mean_shift), str(r.n_items))
        for r in store.load_rows(folder, "ablations", AblationRow)
    ]  # fmt: skip
    heads = ("value", "site", "slope", "95 %", "without", "removed", "95 %", "isotropic", "random", "shuffled", "other",
             "beyond", "of others", "shift", "n")  # fmt: skip
    told = (
        "slope of ratings on what is read over personas; removed: share gone with the direction, and with null vectors"
    )
    show.table(told, heads, rows)


def exchanged(folder: Path) -> None:
    """Print what coordinates taken over did.

    Args:
        folder: A run with interchanges.
    """
    from vprobe import store, values
    from vprobe.types import InterchangeRow

    rows = [
        (values.title(r.value), r.site, show.number(r.slope), _ends(r.low, r.high), show.number(r.r),
         show.number(r.natural), show.number(r.ratio), _ends(r.ratio_low, r.ratio_high), show.number(r.whole),
         show.number(r.ablated), show.number(r.reach), "yes" if r.agrees else "no", str(r.n_items))
        for r in store.load_rows(folder, "interchange", InterchangeRow)
    ]  # fmt: skip
    heads = ("value", "site", "coordinate", "95 %", "r", "natural", "of natural", "95 %", "whole", "ablated",
             "null 95 %", "agree", "n")  # fmt: skip
    show.table(
        "change of ratings by another persona's coordinate, points per SD of label and of what is read", heads, rows
    )
    for r in store.load_rows(folder, "interchange", InterchangeRow):
        if not r.agrees:
            show.line(f"  {values.title(r.value)}: {r.verdict}")


def placed(folder: Path) -> None:
    """Print what steering does at some tokens.

    Args:
        folder: A run with positions.
    """
    from vprobe import store, values
    from vprobe.types import PositionRow

    rows = [
        (values.title(r.value), r.positions, show.number(r.effect), _ends(r.low, r.high), _share(r.of_all),
         _ends(r.of_all_low, r.of_all_high, share=True), show.number(r.mean_shift), str(r.n_items))
        for r in store.load_rows(folder, "positions", PositionRow)
    ]  # fmt: skip
    heads = ("value", "tokens", "effect", "95 %", "of all", "95 %", "shift", "n")
    show.table("effect of steering some tokens, points per unit of strength and SD of label", heads, rows)
