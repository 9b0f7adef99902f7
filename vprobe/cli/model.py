"""`vprobe extract` and `rate`: the commands that record a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vprobe.cli import options as o
from vprobe.cli import show


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
