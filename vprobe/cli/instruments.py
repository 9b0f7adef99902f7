"""`vprobe score`, `labels`, `induce`, `demographics`: instruments' own rules, and what is given to a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vprobe.cli import options as o
from vprobe.cli import show, tables
from vprobe.cli.options import AsJson
from vprobe.errors import InputError, unknown

Answers = Annotated[
    Path | None,
    typer.Option(
        "--answers", help="CSV: model, version, item columns, raw_response or numeric_response.", show_default=False
    ),
]


def score(
    name: Annotated[str, typer.Argument(help="Instrument, such as value-portrait, svo or pvq-21.", show_default=False)],
    answers: Answers = None,
    rule: Annotated[str, typer.Option("--rule", help="Scoring rule; the instrument's first when left out.")] = "",
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the instrument's files instead of the user's cache.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="List answers that could not be read, or whose number is another.")
    ] = False,
    reliability: Annotated[
        bool,
        typer.Option("--reliability", help="Also say how repeatable answers are and which scales hold together."),
    ] = False,
    run: Annotated[
        Path | None,
        typer.Option("--run", help="valuelex: a rated run whose completions to score instead.", show_default=False),
    ] = None,
    judge: Annotated[str, typer.Option("--judge", help="valuelex: model that judges each completion.")] = "",
    prototypes: Annotated[
        str, typer.Option("--prototypes", help="valuelex: model whose activations compare completions with words.")
    ] = "",
    classifier: Annotated[
        str, typer.Option("--classifier", help="valuelex: classifier of texts, labels the six sub-dimensions.")
    ] = "",
    people: Annotated[
        Path | None,
        typer.Option("--people", help="valuelex: CSV of completions people labelled, to hold scorers against.",
                     show_default=False),
    ] = None,
    device: o.Device = None,
    as_json: AsJson = None,
) -> None:  # fmt: skip
    """Score answers you already have by an instrument's own rule; sentence completions by other scorers too."""
    import dataclasses

    from vprobe import pipeline, scoring

    if (answers is None) == (run is None):
        said = "both --answers and --run" if run else "neither --answers nor --run"
        raise InputError(said, where="score", expected="one of them")
    if name == "valuelex" and (run or judge or prototypes or classifier or people):
        given = scoring.read(name, answers) if answers else pipeline.completions_of(run or Path())
        judged = pipeline.judged(given, judge=judge, prototypes=prototypes, classifier=classifier, people=people,
                                 device=device or "auto")  # fmt: skip
        show.print_json(tables.judged_facts(judged)) if as_json else tables.judged(judged)
        return
    if answers is None or judge or prototypes or classifier or people:
        raise InputError(f"scorers of completions for {name}", where="score", expected="the instrument valuelex",
                         do="other instruments have one rule: give --answers and leave these options out")  # fmt: skip
    read = scoring.read(name, answers, folder=data)
    left = scoring.unread(read, texts=scoring.plug_in(name).KIND == "generation")
    torn = scoring.contradictions(read)
    rows = scoring.score(name, read, rule=rule, folder=data)
    repeated = pipeline.reliability(name, read, folder=data) if reliability else None
    if as_json:
        found: dict[str, Any] = scoring.nested(rows)
        more = {"unread": [vars(one) for one in left], "overruled": [vars(one) for one in torn]} if explain else {}
        more |= {"reliability": dataclasses.asdict(repeated)} if repeated else {}
        show.print_json({"scores": found, **more} if more else found)
        if torn:
            show.note(tables.torn_note(torn, len(read.number)))
        return
    tables.scales(rows)
    if repeated:
        tables.reliability(repeated)
    tables.left(left, torn, len(read.number), explain=explain)


def labels(
    name: Annotated[str, typer.Argument(help="Benchmark with raw human ratings.")] = "value-portrait",
    kind: Annotated[
        str, typer.Option("--kind", help="published, regenerated, group-centred, ipsatised or shrunk.")
    ] = "regenerated",
    repaired: Annotated[
        bool, typer.Option("--repaired", help="Give the rater who answered twice the second profile where it belongs.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the official files instead of the user's cache.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the labels as CSV.", show_default=False)
    ] = None,
    as_json: AsJson = None,
) -> None:
    """Make human labels again from raw ratings, say how reliable they are and where they differ from the published."""
    from vprobe import labels as human
    from vprobe import pipeline

    if name != human.NAME:
        raise unknown("benchmark with raw ratings", name, (human.NAME,))
    made, against = human.regenerate(data, kind=kind, repaired=repaired), human.diff(data, repaired=repaired)
    if out is not None:
        pipeline.write_labels(made, out)
    if as_json:
        show.print_json(tables.labels_facts(made, against))
    else:
        tables.labels(made, against, human.pvq_norms(data))


@o.loads
def induce(
    model: o.Model = None,
    out: o.Out = None,
    ways: Annotated[
        str, typer.Option("--ways", help="How a value is given: word, elaborated, goal, steering; commas between.")
    ] = "word,elaborated,goal",
    run: Annotated[
        Path | None, typer.Option("--run", help="Run folder with directions, for steering.", show_default=False)
    ] = None,
    strength: Annotated[
        float, typer.Option("--strength", help="Dose of every steering vector, in units of --dose.")
    ] = 0.25,
    dose: o.Dose = None,
    versions: o.Versions = None,
    greedy: o.Greedy = None,
    stop: o.Stop = None,
    method: o.SteerMethod = None,
    site: o.SteerSite = None,
    on: o.SteerPositions = None,
    operation: o.Operation = None,
    option: o.SteerOptions = None,
    gate: o.Gate = None,
    conflict: o.Conflict = None,
    loading: o.Loading = o.USUAL,
    batch_tokens: o.BatchTokens = None,
    too_long: o.TooLong = None,
    seed: o.Seed = None,
    trust_remote_code: o.Trust = None,
    as_json: o.AsJson = None,
) -> None:
    """Give a model a social value by prompt or by steering, and measure how near its choices come to that value."""
    from vprobe import pipeline

    config = o.resolve(
        o.of_run(run), fields=o.running(locals()) | {
            "out": o.need(out, "--out"), "versions": o.split(versions), "greedy": greedy,
        }
    )  # fmt: skip
    config = o.beside(run, config)
    with show.progress(quiet=bool(as_json)) as tell:
        stage = pipeline.induce(config, ways=o.split(ways) or (), directions=run, strength=strength, tell=tell)
    show.stage(stage, as_json=as_json)
    if not as_json:
        tables.induced(stage.folder)


@o.loads
def demographics(
    model: o.Model = None,
    out: o.Out = None,
    benchmark: o.Bench = None,
    axes: Annotated[
        str, typer.Option("--axes", help="Such as age,politics; all seven when left out.", show_default=False)
    ] = "",
    survey: Annotated[
        Path | None,
        typer.Option("--ess", help="European Social Survey file (CSV) to compare with.", show_default=False),
    ] = None,
    versions: o.Versions = None,
    values: o.Values = None,
    limit: o.Limit = None,
    loading: o.Loading = o.USUAL,
    batch_tokens: o.BatchTokens = None,
    too_long: o.TooLong = None,
    data: o.DataFolder = None,
    seed: o.Seed = None,
    trust_remote_code: o.Trust = None,
    as_json: o.AsJson = None,
) -> None:
    """Measure how far demographic personas move a model's values, beside how groups of people differ."""
    from vprobe import pipeline

    config = o.resolve(
        fields=o.running(locals()) | {
            "out": o.need(out, "--out"), "benchmark": o.split(benchmark), "versions": o.split(versions),
            "values": o.split(values), "limit": limit,
        }
    )  # fmt: skip
    with show.progress(quiet=bool(as_json)) as tell:
        stage = pipeline.demographics(config, axes=o.split(axes) or (), survey=survey, tell=tell)
    show.stage(stage, as_json=as_json)
    if not as_json:
        tables.demographics(stage.folder)
