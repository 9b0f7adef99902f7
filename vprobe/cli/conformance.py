"""`vprobe conformance`: does steering do what it says in this model, with this engine."""

from __future__ import annotations

import dataclasses

import typer

from vprobe.cli import options as o
from vprobe.cli import show

_MARKS = {True: "passed", False: "FAILED", None: "not offered"}


@o.loads
def conformance(
    model: o.Model = None,
    loading: o.Loading = o.USUAL,
    trust_remote_code: o.Trust = None,
    as_json: o.AsJson = None,
) -> None:
    """Check a model and an engine for the ways in which steering fails silently; exits with 1 when one is found."""
    from vprobe import conformance as checks
    from vprobe import pipeline

    config = o.resolve(fields=o.running(locals()))
    with show.progress(quiet=bool(as_json)) as tell:
        loaded = pipeline.load_backend(config)
        found = checks.check(loaded, tell=tell)
    passed = all(one.passed is not False for one in found)
    if as_json:
        rows = [dataclasses.asdict(one) for one in found]
        show.print_json({"model": loaded.info.name, "backend": config.backend, "passed": passed, "checks": rows})
    else:
        title = f"{loaded.info.name} ({loaded.info.family}, {loaded.info.dtype}) with {config.backend}"
        show.table(
            title, ("", "check", "found", "guards against"),
            [(_MARKS[one.passed], one.name, one.found, one.guards) for one in found], left=4,
        )  # fmt: skip
        show.line(f"{sum(one.passed is True for one in found)} of {len(found)} passed")
    raise typer.Exit(0 if passed else 1)
