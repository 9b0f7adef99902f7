"""Agreement in more terms, methods side by side, and `vprobe shift`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vprobe.cli import options as o
from vprobe.cli import show

HEADS = ("value", "compared", "", "estimate", "interval", "null 95 %", "p", "ceiling", "n", "groups", "left out")
LEVELS = (
    ("item", "items: pairs, r over its ceiling, absolute differences"),
    ("profile", "profiles"),
    ("structure", "order of the circle in directions"),
    ("condition", "conditions: all cells, and steered arms"),
    ("transfer", "transfer: what is read on one instrument, what is done on another"),
    ("model", "models"),
)


def detail(run: Path) -> None:
    """Print what `agree` says of one run beyond its main table."""
    rows = _stored(run, "agreement_detail")
    _tables([row for row in rows if row.level != "item" or row.value == "all"])
    for comparison in dict.fromkeys(row.comparison for row in rows if row.level == "item" and row.value != "all"):
        _items([row for row in rows if (row.level, row.comparison) == ("item", comparison)], comparison)
    notes = [row for row in rows if row.statistic in ("mean difference", "correspondence index")]
    for row in notes:
        show.line(f"{row.comparison}, {row.statistic}: {row.note}")


def _items(rows: Sequence[Any], comparison: str) -> None:
    """Print, value by value, how often pairs are preferred alike, and r over its ceiling beside it."""
    from vprobe import values

    number = show.number
    over = {row.value: row for row in rows if row.statistic.endswith("ceiling")}
    cells = []
    for row in (row for row in rows if row.statistic.endswith("concordance")):
        other = over.get(row.value)
        ratio = "unmeasurable"
        if other is not None and math.isfinite(other.estimate):
            ratio = f"{number(other.estimate)} ({number(other.low)} .. {number(other.high)})"
        cells.append((
            values.title(row.value), f"{number(row.estimate)} ({number(row.low)} .. {number(row.high)})",
            f"{number(row.null_low)} .. {number(row.null_high)}", show.chance(row.p), show.chance(row.p_family),
            number(row.ceiling), ratio, str(row.n_scored), str(row.n_groups), str(row.n_unscored),
        ))  # fmt: skip
    heads = ("value", "pairs preferred alike: gamma", "null 95 %", "p", "p family", "ceiling", "r over its ceiling",
             "n", "queries", "left out")  # fmt: skip
    show.table(f"{comparison}: pairs within queries, and r corrected for noise", heads, cells)


def across(found: Any) -> None:
    """Print methods side by side, transfer, profiles of several instruments and agreement over models."""
    if found.methods is None:
        show.line(f"no methods side by side: {found.why}")
    else:
        show.line(f"methods side by side over {found.n} conditions: {', '.join(found.names)}")
        validity(found.methods.validity)
        told = [row for row in found.methods.patterns if math.isfinite(row.rho)]
        if told:
            same, size = (
                sum(row.p <= 0.05 for row in told),
                [show.number(f(row.rho for row in told)) for f in (min, max)],
            )
            show.line(
                f"same pattern of correlations (criterion 4): {same} of {len(told)} pairs of blocks at .05; "
                f"rank r {size[0]} to {size[1]}"
            )
        _ratios(found.methods.pairs)
    _tables(found.rows)


def validity(rows: Sequence[Any]) -> None:
    """Print Campbell and Fiske's first three criteria, value by value."""
    from vprobe import values

    for first, second in dict.fromkeys((row.first, row.second) for row in rows):
        mine = [row for row in rows if (row.first, row.second) == (first, second)]
        cells = [
            (values.title(row.value), show.number(row.r), show.chance(row.p_family),
             _won(row.won_apart, row.of_apart),
             _won(row.won_adjacent, row.of_adjacent), _won(row.won_inside, row.of_inside),
             _won(row.won_inside_adjacent, row.of_inside_adjacent), str(row.n))
            for row in mine
        ]  # fmt: skip
        heads = (
            "value",
            "r (1)",
            "p family",
            "beats others (2)",
            "neighbours",
            "beats own method (3)",
            "neighbours",
            "n",
        )
        show.table(f"{first} against {second}; criteria of Campbell and Fiske, chance wins half", heads, cells)


def _won(won: int, of: int) -> str:
    return f"{won} of {of}" if of else "n/a"


def _ratios(rows: Sequence[Any]) -> None:
    """Say how many values are told apart by the heterotrait-monotrait ratio."""
    for relation in dict.fromkeys(row.relation for row in rows):
        known = [row for row in rows if row.relation == relation and math.isfinite(row.htmt)]
        of = sum(row.relation == relation for row in rows)
        if known:
            apart = sum(abs(row.htmt) < 0.85 for row in known)
            largest = max(known, key=lambda row: abs(row.htmt))
            show.line(
                f"HTMT, {relation} values: {apart} of {len(known)} pairs below .85 ({of - len(known)} n/a); "
                f"largest {show.number(largest.htmt)}, {largest.first} and {largest.second}"
            )
        else:
            show.line(f"HTMT, {relation} values: n/a, values do not agree with themselves between methods")


def as_plain(found: Any) -> dict[str, Any]:
    """Return it as plain values for JSON."""
    parts = ("validity", "pairs", "patterns")
    made = {name: [dataclasses.asdict(row) for row in getattr(found.methods, name)] for name in parts if found.methods}
    rows = [dataclasses.asdict(row) for row in found.rows]
    return {"methods": list(found.names), "conditions": found.n, "why": found.why, **made, "rows": rows}


def _stored(run: Path, name: str) -> tuple[Any, ...]:
    from vprobe import store
    from vprobe.types import Agreement

    return store.load_rows(run, name, Agreement) if store.has(run, name) else ()


def _tables(rows: Sequence[Any]) -> None:
    from vprobe import values

    number = show.number
    for level, title in LEVELS:
        cells = [
            ("all" if row.value == "all" else values.title(row.value), row.comparison, row.statistic,
             number(row.estimate), f"{number(row.low)} .. {number(row.high)}",
             f"{number(row.null_low)} .. {number(row.null_high)}", show.chance(row.p), number(row.ceiling),
             str(row.n_scored), str(row.n_groups), str(row.n_unscored))
            for row in rows if row.level == level
        ]  # fmt: skip
        if cells:
            show.table(title, HEADS, cells)


@o.loads
def shift(
    model: o.Model = None,
    run: o.RunFolder = None,
    benchmark: o.Bench = None,
    personas: Annotated[
        int | None, typer.Option("--personas", help="Personas that ship with vprobe or the model; 0 is none.")
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option("--prompts", help='Your own system prompts: JSON, {"name": "text", ...}.', show_default=False),
    ] = None,
    strengths: Annotated[
        str | None,
        typer.Option("--strengths", help="Also add every value's direction at these strengths.", show_default=False),
    ] = None,
    generation: Annotated[
        bool, typer.Option("--generation", help="Instead of ratings: how likely it finds each response to a query.")
    ] = False,
    limit: Annotated[int | None, typer.Option("--limit", help="Queries under every condition; 0 is all.")] = None,
    versions: o.SteerVersions = None,
    method: o.SteerMethod = None,
    site: o.SteerSite = None,
    on: o.SteerPositions = None,
    loading: o.Loading = o.USUAL,
    batch_tokens: o.BatchTokens = None,
    too_long: o.TooLong = None,
    data: o.DataFolder = None,
    seed: o.Seed = None,
    trust_remote_code: o.Trust = None,
    as_json: o.AsJson = None,
) -> None:
    """Change a model by personas, prompts or steering: does what is read shift with what it does?"""
    from vprobe import pipeline

    folder = o.need(run, "--run")
    config = o.resolve(
        o.of_run(folder), fields=o.running(locals()) | {
            "benchmark": o.split(benchmark), "personas": personas, "persona_limit": limit,
            "steer_versions": o.split(versions),
        }
    )  # fmt: skip
    config = o.beside(folder, config)
    doses = o.numbers(strengths, where="--strengths") or []
    with show.progress(quiet=bool(as_json)) as tell:
        stage = pipeline.shift(folder, config, texts=texts, strengths=doses, said=generation, tell=tell)
    show.stage(stage, as_json=as_json)
    if not as_json:
        _tables([row for row in _stored(folder, "agreement") if row.level == "condition"])
        _tables([row for row in _stored(folder, "agreement_detail") if row.level == "condition"])
