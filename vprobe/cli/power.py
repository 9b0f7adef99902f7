"""`vprobe power`: what a study can be expected to reach, and the size it must have."""

from __future__ import annotations

from typing import Annotated

import typer

from vprobe.cli import options, show
from vprobe.cli.options import AsJson

LEGEND = (
    "worth: independent items. labels: their reliability. r: expected held-out correlation, at most the ceiling.",
    "sure r: just significant. found r: found with the power asked for. of truth: the same with true scores.",
    "for cos, for r: items needed for the cosine and the r below. raters: needed per item.",
)


def _given(help_text: str, *flags: str) -> typer.models.OptionInfo:
    return typer.Option(*flags, help=help_text, show_default=False)


def power(
    value: Annotated[list[str] | None, _given("Value or values; all with released labels when left out.",
                                              "--value")] = None,
    n: Annotated[int | None, _given("Items of the study; 520 when nothing is asked for.", "--n")] = None,
    cosine: Annotated[float | None, _given("Instead of --n: the expected cosine to reach.", "--cosine")] = None,
    r: Annotated[float | None, _given("Instead of --n: the held-out correlation to reach and find.", "--r")] = None,
    share: Annotated[float, typer.Option("--share", help="Share of activation variance the value has.")] = 0.02,
    reliability: Annotated[float | None, _given("Of the labels; the released ones' when left out.",
                                                "--reliability")] = None,
    dimensions: Annotated[float, typer.Option("--dimensions", help="Effective dimensions of the activations.")] = 41.0,
    per_query: Annotated[int, typer.Option("--per-query", help="Items of one query.")] = 5,
    icc: Annotated[float, typer.Option("--icc", help="How alike items of one query are.")] = 0.3,
    folds: Annotated[int, typer.Option("--folds", help="Folds of the held-out scores.")] = 5,
    raters: Annotated[float, typer.Option("--raters", help="People who rated each item so far.")] = 46.8,
    target: Annotated[float, typer.Option("--target", help="Label reliability, and cosine with --n, aimed at.")] = 0.7,
    alpha: Annotated[float, typer.Option("--alpha", help="Level of the one-sided test.")] = 0.05,
    found: Annotated[float, typer.Option("--power", help="How often an effect must be found.")] = 0.8,
    as_json: AsJson = None,
) -> None:  # fmt: skip
    """Tell what cosine and held-out r to expect of so many items, or how many items and raters are needed."""
    import dataclasses

    from vprobe import power as planning
    from vprobe.errors import InputError

    if n is not None and (cosine is not None or r is not None):
        raise InputError("--n with --cosine or --r", where="planning", expected="a size, or what to reach, not both")
    plans = []
    for name in options.split(value) or [name for name, _ in planning.RELIABILITY]:
        world = {"share": share, "reliability": reliability, "dimensions": dimensions, "per_query": per_query,
                 "icc": icc, "folds": folds, "raters": raters, "target": target, "alpha": alpha,
                 "power": found}  # fmt: skip
        if cosine is None and r is None:
            plans.append(planning.plan(name, 520 if n is None else n, **world))
        else:
            plans.append(planning.needed(name, cosine=cosine, r=r, **world))
    if as_json:
        show.print_json([dataclasses.asdict(one) for one in plans])
        return
    _table(plans)


def _table(plans: list) -> None:
    from vprobe import values

    number = show.number
    rows = [
        (values.title(one.value), f"{one.n:,}", number(one.n_effective, 0), number(one.reliability),
         number(one.ceiling), number(one.cosine), number(one.held_out_r), number(one.significant_r),
         number(one.detectable_r), number(one.detectable_true_r), f"{one.items_needed:,}", f"{one.items_needed_r:,}",
         f"{one.raters_needed:,}")
        for one in plans
    ]  # fmt: skip
    heads = ("value", "items", "worth", "labels", "ceiling", "cosine", "r", "sure r", "found r", "of truth", "for cos",
             "for r", "raters")  # fmt: skip
    show.table("what to expect", heads, rows)
    for line in LEGEND:
        show.line(line)
    show.line("taken for granted:")
    told = [one.assumptions for one in plans]
    for line in dict.fromkeys(line for lines in told for line in lines):
        if len(plans) == 1 or all(line in lines for lines in told):
            show.line(f"  {line}")
    if len(plans) > 1:
        weak = [values.title(one.value) for one in plans if any("unmeasurable" in line for line in one.assumptions)]
        if weak:
            show.line(f"  labels of {', '.join(weak)} are too unreliable to measure anything")
