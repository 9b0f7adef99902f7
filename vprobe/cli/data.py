"""`vprobe data get|list` and `vprobe doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vprobe.cli import lazy, show
from vprobe.cli.options import AsJson

COMMANDS = {
    "get": ("data:get", "Download a benchmark at its pinned commit, and check it."),
    "list": ("data:listing", "List the benchmarks: licence, and what is on this machine."),
}

group = lazy.group("Benchmark data: what there is, and getting it.", COMMANDS, needs_command=True)


def get(
    name: Annotated[str, typer.Argument(help="Benchmark, such as value-portrait.", show_default=False)],
    source: Annotated[
        Path | None, typer.Option("--from", help="Import a local copy instead of downloading.", show_default=False)
    ] = None,
    as_json: AsJson = None,
) -> None:
    """Download a benchmark at its pinned commit into the cache, checking every file's SHA-256."""
    from vprobe import benchmarks

    with show.progress(quiet=bool(as_json)) as tell:
        folder = benchmarks.get(name, source=source, progress=tell)
    if as_json:
        show.print_json({"name": name, "folder": folder})
    else:
        show.line(f"{name}: complete and verified in {folder}")


def listing(as_json: AsJson = None) -> None:
    """List the benchmarks: what each is, its licence, and whether it is on this machine."""
    import dataclasses

    from vprobe import benchmarks

    entries = benchmarks.listing()
    if as_json:
        show.print_json([dataclasses.asdict(entry) for entry in entries])
        return
    for entry in entries:
        files = "ships with vprobe" if entry.shipped else f"{entry.n_good} of {entry.n_files} files verified"
        files = "its wording is yours to supply by --data" if entry.state == "yours" else files
        show.line(f"{entry.name}: {entry.state}, {files}, {entry.size / 1e6:.1f} MB")
        show.line(f"  what     {entry.what}")
        show.line(f"  licence  {entry.licence}")
        show.line(f"  where    {entry.folder}")
        show.line(f"  cite     {entry.citation}")


def doctor(as_json: AsJson = None) -> None:
    """Say what is installed, which devices there are and what would run."""
    from importlib import metadata

    from vprobe import backends, benchmarks

    packages = ("vprobe", "torch", "transformers", "transformer-lens", "nnsight", "numpy", "scipy", "scikit-learn",
                "pandas", "pyarrow", "matplotlib", "umap-learn", "typer")  # fmt: skip
    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    devices = backends.devices()
    found = {
        "versions": versions,
        "devices": [{"name": d.name, "what": d.what, "memory_gib": round(d.memory_gib, 1)} for d in devices],
        "auto": {"device": devices[0].name, "dtype": "float32" if devices[0].name == "cpu" else "the checkpoint's own"},
        "backends": list(backends.names()),
        "benchmarks": {entry.name: entry.state for entry in benchmarks.listing()},
    }
    if as_json:
        show.print_json(found)
        return
    for package, version in versions.items():
        show.line(f"{package:18} {version}")
    for d in devices:
        show.line(f"device {d.name:11} {d.what}, {d.memory_gib:.1f} GiB")
    show.line(f"--device auto runs on {devices[0].name} in {found['auto']['dtype']}")
    show.line(f"backends           {', '.join(backends.names())}")
    for entry in benchmarks.listing():
        show.line(f"benchmark          {entry.name}: {entry.state}")
