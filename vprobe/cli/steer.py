"""`vprobe steer` and `steer sweep`, and where the other commands of the group are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vprobe.cli import audits, lazy, show
from vprobe.cli import options as o

COMMANDS = {
    "sweep": ("steer:sweep", "Measure what each dose does to ratings of held-out queries."),
    "matrix": ("effects:matrix", "Steer every value at every strength; measure all of them."),
    "solve": ("effects:solve", "Find the doses for a wanted change with least leakage."),
    "ablate": ("causal:ablate", "Take each value's direction out: what is gone with it?"),
    "interchange": ("causal:interchange", "Give a prompt another persona's coordinate."),
    "positions": ("causal:positions", "Steer the prompt, the answer, or all: where does it act?"),
    "damage": ("damage:damage", "Measure what each dose costs: KL, right answers, dull texts."),
    "eval": ("evals:evaluate", "Ask lm-evaluation-harness without and with steering."),
    "audit": ("audits:audit", "Ask whether an effect follows what options mean."),
    "said": ("cards:said", "Measure doses by how likely a model's own words become."),
    "transfer": ("cards:transfer", "Measure a vector on instruments it was not fitted on."),
    "card": ("cards:card", "Write what a run shows of each value's vector."),
}

group = lazy.group("Steer a model along a value's direction.", COMMANDS)


@group.callback()
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
