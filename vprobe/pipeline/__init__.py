"""The whole story on one screen: items, activations and answers, directions, scores, agreement, steering, report."""

from __future__ import annotations

from pathlib import Path

from vprobe import organism, report
from vprobe.config import RunConfig
from vprobe.pipeline._agree import agree
from vprobe.pipeline._common import Stage, Tell, check, load_backend, quiet
from vprobe.pipeline._find import probe
from vprobe.pipeline._lookup import direction
from vprobe.pipeline._read import extract, rate
from vprobe.pipeline._steer import SideBySide, steer_sweep, steer_text

__all__ = [
    "SideBySide",
    "Stage",
    "agree",
    "demo",
    "direction",
    "extract",
    "probe",
    "rate",
    "run",
    "steer_sweep",
    "steer_text",
    "write_report",
]


def run(config: RunConfig, *, tell: Tell = quiet) -> Stage:
    """Tell the whole story: what the model reads, how it rates, whether the two agree, and what steering does.

    Args:
        config: Everything the run depends on.
        tell: Called with (stage, done, total).

    Raises:
        VprobeError: Whatever a stage refuses; what earlier stages computed is kept.
    """
    folder = Path(config.out)
    check(config)
    backend = load_backend(config)

    read = extract(config, backend=backend, tell=tell)
    asked = rate(config, backend=backend, tell=tell)
    found = probe(folder, config, tell=tell)
    agreed = agree(folder, config, tell=tell)
    steered = steer_sweep(folder, config, backend=backend, tell=tell)
    page = write_report(folder)

    stages = (read, asked, found, agreed, steered)
    facts = tuple((f"{stage.name}: {name}", value) for stage in stages for name, value in stage.facts)
    return Stage("run", folder, (*facts, ("report", page)), tuple(c for stage in stages for c in stage.counts))


def demo(out: Path, *, seed: int = 0, tell: Tell = quiet) -> Stage:
    """Run the whole study on the embedded model and our own items.

    Args:
        out: Run folder.
        seed: Seed of the model and of everything drawn.
        tell: Called with (stage, done, total).
    """
    model = organism.load(seed=seed)
    config = RunConfig(
        model=str(model),
        benchmark=("everyday",),
        versions=("v1", "v1_reversed"),
        method=("mean-difference", "ridge"),
        out=str(out),
        seed=seed,
        steer_limit=0,
        null_draws=10,
    )
    return run(config, tell=tell)


def write_report(folder: Path) -> Path:
    """Write `report.html` and its figures from what a run holds, and return its path.

    Args:
        folder: Run folder.
    """
    return report.write(folder)
