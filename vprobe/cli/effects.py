"""`vprobe steer matrix` and `steer solve`: what steering each value moves beside it, and doses for a wanted change."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vprobe.cli import options as o
from vprobe.cli import show

if TYPE_CHECKING:
    from vprobe.types import SolvedRow

NEAR = 5
"""Characters of a value's name over a column."""


@o.loads
def matrix(
    model: o.Model = None,
    run: o.RunFolder = None,
    values: o.SteerValues = None,
    strengths: o.Strengths = None,
    dose: o.Dose = None,
    benchmark: o.Bench = None,
    versions: o.SteerVersions = None,
    method: o.SteerMethod = None,
    vector: o.SteerVector = None,
    site: o.SteerSite = None,
    on: o.SteerPositions = None,
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
    """Steer every value at every strength and measure all of them: dose-response, effect matrix, specificity."""
    from vprobe import pipeline

    folder = o.need(run, "--run")
    o.need(model, "--model")
    config = o.steered(locals(), pipeline.as_read(folder), every=True)
    with show.progress(quiet=bool(as_json)) as tell:
        stage = pipeline.steer_matrix(folder, config, tell=tell)
    show.stage(stage, as_json=as_json)
    if not as_json:
        of = "imported_" if config.steer_vector else ""
        _responses(folder, of)
        _matrix(folder, of)
        _specificity(folder, of)


@o.loads
def solve(
    model: o.Model = None,
    run: o.RunFolder = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            help="VALUE=CHANGE, points per SD of the label within queries, such as benevolence=+0.5.",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[str | None, typer.Option("--keep", help="Values to leave as they are.", show_default=False)] = None,
    max_kl: Annotated[float, typer.Option("--max-kl", help="Most KL on neutral text, nats per token.")] = math.inf,
    strengths: o.Strengths = None,
    dose: o.Dose = None,
    benchmark: o.Bench = None,
    versions: o.SteerVersions = None,
    method: o.SteerMethod = None,
    vector: o.SteerVector = None,
    site: o.SteerSite = None,
    on: o.SteerPositions = None,
    operation: o.Operation = None,
    option: o.SteerOptions = None,
    gate: o.Gate = None,
    conflict: o.Conflict = None,
    limit: o.SteerLimit = None,
    loading: o.Loading = o.USUAL,
    batch_tokens: o.BatchTokens = None,
    too_long: o.TooLong = None,
    data: o.DataFolder = None,
    seed: o.Seed = None,
    trust_remote_code: o.Trust = None,
    as_json: o.AsJson = None,
) -> None:
    """Find the doses for a wanted change with least leakage, and verify them on untouched queries."""
    from vprobe import pipeline

    folder = o.need(run, "--run")
    wish = pipeline.Wish(tuple(_target(one) for one in target or ()), tuple(o.split(keep) or ()), max_kl)
    o.need(model, "--model")
    config = o.steered(locals(), pipeline.as_read(folder))
    with show.progress(quiet=bool(as_json)) as tell:
        stage = pipeline.steer_solve(folder, config, wish, tell=tell)
    show.stage(stage, as_json=as_json)
    if not as_json:
        _solved(folder, "imported_" if config.steer_vector else "")


def _target(text: str) -> tuple[str, float]:
    from vprobe.errors import InputError

    name, equals, change = text.partition("=")
    try:
        if not equals:
            raise ValueError
        return name, float(change)
    except ValueError:
        raise InputError(f"{text!r}", where="--target", expected="VALUE=CHANGE, such as benevolence=+0.5") from None


def _solved(folder: Path, of: str = "") -> None:
    from vprobe import store, values
    from vprobe.types import SolvedRow

    rows = [
        (values.title(r.value), r.role, r.site, show.number(r.strength, 4), show.number(r.wanted),
         show.number(r.tuned, 3), f"{r.reached:z.3f} ({show.ends(r.low, r.high)})", _miss(r), str(r.n_items),
         show.number(r.n_needed, 0))
        for r in store.load_rows(folder, f"{of}solved", SolvedRow)
    ]  # fmt: skip
    heads = ("value", "role", "site", "strength", "wanted", "tuned", "reached (95 %)", "miss (95 %)", "n", "n for .05")
    show.table(
        "change in points per SD of label; tuned: on the items doses were chosen on; reached: on untouched items",
        heads, rows,
    )  # fmt: skip


def _miss(row: SolvedRow) -> str:
    low, high = row.low - row.wanted, row.high - row.wanted
    return "n/a" if math.isnan(row.miss) else f"{row.miss:+z.3f} ({show.ends(low, high, '+z.3f')})"


def _responses(folder: Path, of: str = "") -> None:
    from vprobe import store, values
    from vprobe.types import ResponseRow

    rows = [
        (values.title(r.value), r.method, r.site, show.number(r.slope, 3), show.ends(r.low, r.high),
         show.share_of(r.anti, r.anti_low, r.anti_high), show.number(r.rho), show.chance(r.trend_p, 4),
         show.number(r.saturation), show.number(r.mean_shift, 3), str(r.n_items))
        for r in store.load_rows(folder, f"{of}dose_response", ResponseRow)
    ]  # fmt: skip
    heads = ("value", "method", "site", "slope", "95 % interval", "items against", "rho", "trend p", "saturates")
    heads += ("shift", "n")
    show.table("dose-response: points per unit of strength the way of the item's label; shift is yes-bias", heads, rows)


def _matrix(folder: Path, of: str = "") -> None:
    from vprobe import store, values
    from vprobe.types import EffectRow

    found = store.load_rows(folder, f"{of}effects", EffectRow)
    for method, kind in dict.fromkeys((r.method, r.kind) for r in found if r.kind == "unique"):
        mine = [r for r in found if (r.method, r.kind) == (method, kind)]
        names, targets = (list(dict.fromkeys(getattr(r, one) for r in mine)) for one in ("measured", "target"))
        cell = {(r.target, r.measured): r.effect for r in mine}
        rows = [(values.title(t), *(show.number(cell[t, m], 2) for m in names)) for t in targets]
        heads = ("steered", *(values.title(m)[:NEAR] for m in names))
        show.table(f"effect on each value, points per unit of strength and SD of label ({method} vectors)", heads, rows)


def _specificity(folder: Path, of: str = "") -> None:
    from vprobe import store, values
    from vprobe.types import SpecificityRow

    rows = [
        (values.title(r.target), r.method, r.kind, show.number(r.own, 3), show.number(r.others, 3),
         show.share_of(r.ratio, r.low, r.high, "z.1%"), show.number(r.uniform, 3),
         show.number(r.gain, 3), show.number(r.displacement, 0), show.number(r.leakage, 3), show.number(r.r2),
         str(r.n_items))
        for r in store.load_rows(folder, f"{of}specificity", SpecificityRow)
    ]  # fmt: skip
    heads = ("steered", "method", "labels", "own", "others", "others / own", "lift c", "circle g", "degrees off")
    heads += ("leak e", "R2", "n")
    title = "specificity: effect on the target, on the others as lift + circle + leakage; degrees, R2: of the whole row"
    show.table(title, heads, rows)
