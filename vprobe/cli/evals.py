"""`vprobe steer eval`: benchmarks of lm-evaluation-harness, base and steered in one table."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from vprobe.cli import options as o
from vprobe.cli import show


@o.loads
def evaluate(
    model: o.Model = None,
    run: o.RunFolder = None,
    value: Annotated[
        str | None, typer.Option("--value", help="Value to steer towards, or several with their strengths.")
    ] = None,
    strength: Annotated[float, typer.Option("--strength", help="Coefficient over the median residual norm.")] = 0.2,
    tasks: Annotated[
        list[str] | None, typer.Option("--tasks", help="Tasks or groups, by the harness' names.", show_default=False)
    ] = None,
    task_folder: Annotated[
        Path | None, typer.Option("--task-folder", help="Folder with tasks of your own.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", help="Only the first N documents of each task; 0 is all.")] = 0,
    fewshot: Annotated[
        int | None, typer.Option("--fewshot", help="Examples before each question; the task's own when left out.")
    ] = None,
    chat: Annotated[bool, typer.Option("--chat/--no-chat", help="Ask in the model's chat template.")] = False,
    vector: o.SteerVector = None,
    dose: o.Dose = None,
    method: o.SteerMethod = None,
    site: o.SteerSite = None,
    on: o.SteerPositions = None,
    operation: o.Operation = None,
    neurons: o.Neurons = None,
    heads: o.Heads = None,
    option: o.SteerOptions = None,
    gate: o.Gate = None,
    loading: o.Loading = o.USUAL,
    seed: o.Seed = None,
    trust_remote_code: o.Trust = None,
    as_json: o.AsJson = None,
) -> None:
    """Ask benchmarks of lm-evaluation-harness without and with steering (pip install 'vprobe[eval]')."""
    from vprobe import pipeline

    config = o.resolve(o.of_run(run), fields=o.running(locals()))
    if not (vector or neurons):
        o.need(value and str(run or ""), "--value and --run, or --vector, or --neurons")
    config = o.beside(run, config)
    asked = pipeline.Tasks(tuple(o.split(tasks) or ()), task_folder, limit, fewshot, chat)
    rows = pipeline.steer_eval(run, config, asked, value=value or "", strength=strength)
    if as_json:
        show.print_json([dataclasses.asdict(row) for row in rows])
        return
    _table(rows)


def _table(rows: Any) -> None:
    number = show.number
    heads = ("task", "metric", "better", "base", "steered", "change", "95 % interval", "n")
    show.table("lm-evaluation-harness, the same documents without and with steering; +- standard error", heads, [
        (r.task, r.metric, r.better or "n/a", f"{number(r.base, 4)} +- {number(r.base_se, 3)}",
         f"{number(r.steered, 4)} +- {number(r.steered_se, 3)}", number(r.change, 4),
         f"{number(r.low, 4)} .. {number(r.high, 4)}", str(r.n)) for r in rows
    ], left=3)  # fmt: skip
    if rows:
        one = rows[0]
        show.line(
            f"{one.operation} {one.value or 'a vector'} at {one.site}, strength {number(one.strength, 3)} "
            f"(coefficient {number(one.coefficient, 3)}), on {one.positions} tokens; interval: paired t over documents."
        )
