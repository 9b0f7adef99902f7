"""`vprobe probe`, `agree`, `report`, `run` and `demo`: the commands that need no model, and the whole story."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vprobe.cli import agreed, probed, show
from vprobe.cli import options as o

READS = ("probe~label", "text~label")
"""What `probe` prints: every probe, and words alone, against the labels."""


def probe(
    run: o.Run,
    method: o.Method = None,
    values: o.Values = None,
    position: o.Position = None,
    folds: o.Folds = None,
    hold_out: o.HoldOut = None,
    final: o.Final = None,
    draws: o.Draws = None,
    seed: o.Seed = None,
    open_final: Annotated[
        bool, typer.Option("--open-final", help="Score the items set aside by --final, once, and do nothing else.")
    ] = False,
    unsafe: Annotated[
        bool, typer.Option("--unsafe", help="With --open-final: open it again; the result is marked.")
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Score with this run's directions instead of fitting any.", show_default=False),
    ] = None,
    as_json: o.AsJson = None,
) -> None:
    """Fit directions on a run's activations and score every item with a probe that never saw its query."""
    from vprobe import pipeline

    config = o.resolve(
        fields={
            "method": o.split(method), "values": o.split(values),
            "positions": position, "folds": folds, "hold_out": hold_out, "final": final, "draws": draws, "seed": seed,
        }
    )  # fmt: skip
    if open_final:
        with show.progress(quiet=bool(as_json)) as tell:
            stage = pipeline.open_final(run, config, unsafe=unsafe, tell=tell)
        show.stage(stage, as_json=as_json)
        if not as_json:
            probed.final(run)
        return
    if source is not None:
        show.stage(pipeline.borrow(run, config, source=source), as_json=as_json)
        return
    with show.progress(quiet=bool(as_json)) as tell:
        stage = pipeline.probe(run, config, tell=tell)
    show.stage(stage, as_json=as_json)
    if not as_json:
        show.agreement(run, comparisons=READS)
        probed.card(run)
        probed.search(run)


def agree(
    runs: o.Runs,
    draws: o.Draws = None,
    seed: o.Seed = None,
    as_json: o.AsJson = None,
) -> None:
    """Compare probe scores with behaviour, with intervals, nulls and ceilings."""
    from vprobe import pipeline

    config = o.resolve(fields={"draws": draws, "seed": seed})
    found = []
    for run in runs:
        with show.progress(quiet=bool(as_json)) as tell:
            stage = pipeline.agree(run, config, tell=tell)
        found.append(stage)
        if not as_json:
            show.stage(stage, as_json=False)
            show.agreement(run)
            agreed.detail(run)
    together = pipeline.across(runs, seed=config.seed)
    climbed = pipeline.climb(runs)
    if as_json:
        told = [
            {**show.stage_facts(stage), "ladder": show.rungs(stage.folder, climbed),
             **show.tried(stage.folder, climbed)}
            for stage in found
        ]  # fmt: skip
        show.print_json([{**one, "across": agreed.as_plain(together)} for one in told])
        return
    agreed.across(together)
    for one in climbed:
        show.ladder(one)


def claims(run: o.Run, seed: o.Seed = None, as_json: o.AsJson = None) -> None:
    """Say what may be claimed of a run, each claim at a family-wise level, and why the rest is refused."""
    from vprobe import pipeline

    with show.progress(quiet=bool(as_json)) as tell:
        config = o.resolve(pipeline.as_claimed(run), fields={"seed": seed})
        stage = pipeline.claims(run, config, tell=tell)
    climbed = pipeline.climb([run])
    if as_json:
        told = {"ladder": show.rungs(run, climbed), **show.tried(run, climbed)}
        show.print_json({**show.stage_facts(stage), **told})
        return
    show.stage(stage, as_json=False)
    show.claims(run)
    for one in climbed:
        show.ladder(one)


def report(run: o.Run, as_json: o.AsJson = None) -> None:
    """Write report.html and its figures from what a run holds."""
    from vprobe import pipeline

    path = pipeline.write_report(run)
    if as_json:
        show.print_json({"report": path})
    else:
        show.line(f"report: {path}")


@o.loads
def run(
    path: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="Configuration.", show_default=False)],
    model: o.Model = None,
    out: o.Out = None,
    data: o.DataFolder = None,
    loading: o.Loading = o.USUAL,
    batch_tokens: o.BatchTokens = None,
    limit: o.Limit = None,
    too_long: o.TooLong = None,
    seed: o.Seed = None,
    trust_remote_code: o.Trust = None,
    as_json: o.AsJson = None,
) -> None:
    """Run the whole story from one file: extract, rate, probe, agree, steer, report."""
    from vprobe import config as configs
    from vprobe import pipeline

    told = o.running(locals(), named=False)
    config = o.resolve(configs.read(path), fields=told | {"out": out, "limit": limit})
    o.need(config.model, "--model")
    if not config.out:
        config = config.changed({"out": str(Path("runs") / f"{path.resolve().parent.name}-{Path(config.model).name}")})
    with show.progress(quiet=bool(as_json)) as tell:
        stage = pipeline.run(config, tell=tell)
    show.stage(stage, as_json=as_json)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder.")] = Path("runs/demo"),
    world: Annotated[
        str, typer.Option("--world", help="good, or W1 to W9: a world in which a claim is false.")
    ] = "good",
    seed: o.Seed = None,
    as_json: o.AsJson = None,
) -> None:
    """Run the whole study on the model that ships with vprobe, whose values we planted; minutes on a laptop CPU."""
    from vprobe import pipeline

    with show.progress(quiet=bool(as_json)) as tell:
        stage = pipeline.demo(out, world=world, seed=seed or 0, tell=tell)
    show.stage(stage, as_json=as_json)
    if not as_json:
        show.agreement(out, comparisons=READS)
        probed.card(out)
        show.claims(out)
        for one in pipeline.climb([out]):
            show.ladder(one)
        show.note(f"open {out / 'report.html'}: the same in figures, beside what was planted")
