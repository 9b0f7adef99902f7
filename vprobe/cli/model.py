"""`vprobe extract`, `rate` and `steer`: the commands that run a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vprobe.cli import audits, show
from vprobe.cli import options as o

steer_group = typer.Typer(help="Steer a model along a value's direction.", invoke_without_command=True)


@o.loads
def extract(
    model: o.Model = None,
    benchmark: o.Bench = None,
    out: o.Out = None,
    sites: o.Sites = None,
    layers: o.Layers = None,
    positions: o.Positions = None,
    template: o.Template = None,
    loading: o.Loading = o.USUAL,
    batch_tokens: o.BatchTokens = None,
    limit: o.Limit = None,
    stop: o.Stop = None,
    too_long: o.TooLong = None,
    untrained: o.Untrained = None,
    embedding: o.Embedding = None,
    data: o.DataFolder = None,
    seed: o.Seed = None,
    trust_remote_code: o.Trust = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print tokens, FLOPs, memory, time and store size; record nothing.")
    ] = False,
    as_json: o.AsJson = None,
) -> None:
    """Record a model's activations over a benchmark's items. Resumes where it was stopped."""
    from vprobe import pipeline, ranks

    config = o.resolve(
        fields=o.running(locals()) | {
            "out": out if plan else o.need(out, "--out"), "benchmark": o.split(benchmark), "sites": o.sites(sites),
            "layers": layers, "positions": o.split(positions), "template": template, "limit": limit,
            "untrained": untrained, "embedding": embedding,
        }
    )  # fmt: skip
    rank = ranks.find() if not config.tp_plan else ranks.ALONE  # a model spread over ranks answers to rank 0
    if plan:
        if rank.index == 0:
            show.stage(pipeline.foresee(config), as_json=as_json)
        return
    with show.progress(quiet=bool(as_json) or rank.index > 0) as tell:
        stage = pipeline.extract(config, tell=tell, rank=rank)
    show.of_rank(stage, rank.index, as_json=as_json)


@o.loads
def rate(
    model: o.Model = None,
    benchmark: o.Bench = None,
    out: o.Out = None,
    versions: o.Versions = None,
    greedy: o.Greedy = None,
    temperature: o.Temperature = None,
    stop: o.Stop = None,
    generation: o.Generation = None,
    correct_order: o.CorrectOrder = None,
    loading: o.Loading = o.USUAL,
    batch_tokens: o.BatchTokens = None,
    limit: o.Limit = None,
    too_long: o.TooLong = None,
    data: o.DataFolder = None,
    seed: o.Seed = None,
    trust_remote_code: o.Trust = None,
    as_json: o.AsJson = None,
) -> None:
    """Ask a model to rate a benchmark's items: option log-probs, expected and greedy ratings."""
    from vprobe import pipeline, ranks

    config = o.resolve(
        fields=o.running(locals()) | {
            "out": o.need(out, "--out"), "benchmark": o.split(benchmark), "versions": o.split(versions),
            "greedy": greedy, "temperature": temperature, "generation": generation, "correct_order": correct_order,
            "limit": limit,
        }
    )  # fmt: skip
    config = o.beside(Path(config.out), config)
    rank = ranks.find() if not config.tp_plan else ranks.ALONE  # a model spread over ranks answers to rank 0
    with show.progress(quiet=bool(as_json) or rank.index > 0) as tell:
        stage = pipeline.rate(config, tell=tell, rank=rank)
    show.of_rank(stage, rank.index, as_json=as_json)


@steer_group.callback()
@o.loads
def steer(
    context: typer.Context,
    model: o.Model = None,
    run: o.RunFolder = None,
    value: Annotated[
        str | None,
        typer.Option(
            "--value",
            help="Value to steer towards; several with their strengths: benevolence=0.3,power=-0.1.",
            show_default=False,
        ),
    ] = None,
    strength: Annotated[
        float,
        typer.Option("--strength", help="Coefficient over the median residual norm at the site; below 0 steers away."),
    ] = 0.2,
    prompt: Annotated[
        list[str] | None,
        typer.Option("--prompt", help="What to say to the model; may be repeated.", show_default=False),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", help="Length limit of an answer.")] = 60,
    temperature: Annotated[float, typer.Option("--temperature", help="0 is greedy.")] = 0.0,
    stop: o.Stop = None,
    stream: Annotated[bool, typer.Option("--stream", help="Print answers while they are written.")] = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Also write the answers as a page, token by token.", show_default=False),
    ] = None,
    dose: o.Dose = None,
    method: o.SteerMethod = None,
    site: o.SteerSite = None,
    vector: o.SteerVector = None,
    on: o.SteerPositions = None,
    operation: o.Operation = None,
    neurons: o.Neurons = None,
    heads: o.Heads = None,
    option: o.SteerOptions = None,
    gate: o.Gate = None,
    conflict: o.Conflict = None,
    loading: o.Loading = o.USUAL,
    seed: o.Seed = None,
    trust_remote_code: o.Trust = None,
    as_json: o.AsJson = None,
) -> None:
    """Generate with and without steering, side by side, token by token. `steer sweep` measures a dose-response."""
    if context.invoked_subcommand:
        return
    from vprobe import pipeline
    from vprobe.cli import spoken

    config = o.resolve(o.of_run(run), fields=o.running(locals()))
    if not (vector or neurons):
        o.need(value and str(run or ""), "--value and --run, or --vector, or --neurons")
    config = o.beside(run, config)
    pairs = pipeline.steer_text(
        run, config, value=value or "", strength=strength, prompts_of=prompt, max_new_tokens=max_new_tokens,
        temperature=temperature, said=spoken.stream() if stream and not as_json else None,
    )  # fmt: skip
    if stream and not as_json:
        show.line("\n")
    spoken.side_by_side(pairs, as_json=as_json)
    if html:
        from vprobe.report import spoken as paper

        paper.write(html, pairs, model=Path(config.model).name)
        show.note(f"page: {html}")


@steer_group.command("sweep")
@o.loads
def sweep(
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
    on: o.SteerPositions = None,
    operation: o.Operation = None,
    option: o.SteerOptions = None,
    gate: o.Gate = None,
    limit: o.SteerLimit = None,
    null_arms: o.NullArms = None,
    null_draws: o.NullDraws = None,
    loading: o.Loading = o.USUAL,
    batch_tokens: o.BatchTokens = None,
    too_long: o.TooLong = None,
    data: o.DataFolder = None,
    seed: o.Seed = None,
    trust_remote_code: o.Trust = None,
    as_json: o.AsJson = None,
) -> None:
    """Measure what each dose does to the ratings of held-out queries, beside null vectors and prompts that ask."""
    from vprobe import pipeline

    folder = o.need(run, "--run")
    o.need(model, "--model")
    config = o.steered(locals(), pipeline.as_read(folder))
    with show.progress(quiet=bool(as_json)) as tell:
        stage = pipeline.steer_sweep(folder, config, tell=tell)
    show.stage(stage, as_json=as_json)
    if not as_json:
        show.doses(folder, of="imported" if config.steer_vector else "steering")
        if not config.steer_vector:
            audits.beside(folder)
