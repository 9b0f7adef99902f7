"""`vprobe steer audit`: is a steering effect what it looks like; and the arms a sweep is held against, in print."""

from __future__ import annotations

from pathlib import Path

from vprobe.cli import options as o
from vprobe.cli import show


@o.loads
def audit(
    model: o.Model = None,
    run: o.RunFolder = None,
    values: o.SteerValues = None,
    strengths: o.Strengths = None,
    benchmark: o.Bench = None,
    versions: o.SteerVersions = None,
    method: o.SteerMethod = None,
    site: o.SteerSite = None,
    on: o.SteerPositions = None,
    limit: o.SteerLimit = None,
    loading: o.Loading = o.USUAL,
    batch_tokens: o.BatchTokens = None,
    too_long: o.TooLong = None,
    data: o.DataFolder = None,
    seed: o.Seed = None,
    trust_remote_code: o.Trust = None,
    as_json: o.AsJson = None,
) -> None:
    """Ask whether an effect follows what options mean, flips on reversed items, and is the value's own."""
    from vprobe import pipeline

    folder = o.need(run, "--run")
    o.need(model, "--model")
    config = o.steered(locals(), pipeline.as_read(folder))
    with show.progress(quiet=bool(as_json)) as tell:
        stage = pipeline.steer_audit(folder, config, tell=tell)
    show.stage(stage, as_json=as_json)
    if not as_json:
        figures(folder)


def figures(folder: Path) -> None:
    """Print the figures of a run's audits."""
    from vprobe import store, values
    from vprobe.types import AuditRow

    found = store.load_rows(folder, "audits", AuditRow)
    verdict = {(r.value, r.arm, r.audit): r.verdict for r in found}
    rows = [
        (values.title(r.value), r.arm, r.audit, r.measure, verdict.pop((r.value, r.arm, r.audit), ""), r.unit,
         show.number(r.estimate, 3), show.ends(r.low, r.high), str(r.n_items))
        for r in found
    ]  # fmt: skip
    heads = ("value", "arm", "audit", "measure", "verdict", "unit", "figure", "95 % interval", "n")
    show.table(
        "audits, in the direction of the dose; told: the vector of being asked for the value", heads, rows, left=6
    )
    for note in dict.fromkeys(f"{r.audit}: {r.note}" for r in found if r.note):
        show.line(note)


def beside(folder: Path) -> None:
    """Print what a sweep's vectors are held against: null arms, and prompts that ask for the same."""
    from vprobe import store, values
    from vprobe.types import NullRow, PromptRow

    rows = [
        (values.title(r.value), r.arm, str(r.n_draws), show.number(r.mean, 3), show.number(r.sd, 3),
         show.number(r.reach, 3), show.number(r.largest, 3), show.chance(r.p),
         "" if r.arm in ("steered", "prompted") else ("yes" if r.beyond else "no"), show.number(r.mean_shift, 3))
        for r in store.load_rows(folder, "nulls", NullRow)
    ]  # fmt: skip
    heads = ("value", "arm", "draws", "effect", "SD", "95 % within", "largest", "p", "vector beyond", "mean shift")
    title = "arms at the largest dose either way, vectors of one length at one site; claims rest on shuffled"
    show.table(title, heads, rows, left=2)
    asked = [
        ("(all values)" if r.value == "all" else values.title(r.value), r.asked_by, show.number(r.effect, 3),
         f"{show.number(r.low, 3)} .. {show.number(r.high, 3)}", show.number(r.vector_effect, 3), show.number(r.r),
         f"{show.number(r.r_low)} .. {show.number(r.r_high)}", show.number(r.cosine), show.number(r.cosine_null),
         str(r.n_items))
        for r in store.load_rows(folder, "prompted", PromptRow)
    ]  # fmt: skip
    heads = ("value", "asked by", "effect of asking", "95 % interval", "of the vector", "r of the two", "95 % interval",
             "cosine", "null 95 %", "n")  # fmt: skip
    show.table(
        "the same value asked for in words: asked for more minus for less, halved; r over items within queries",
        heads,
        asked,
    )
