"""What every stage needs: the finished-stage record, provenance, benchmarks and the model."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from vprobe import backends, benchmarks, organism, registry, values
from vprobe.backends import Backend
from vprobe.claims import Level
from vprobe.config import RunConfig, flag_of
from vprobe.errors import InputError, unknown
from vprobe.pipeline._fields import FIELDS
from vprobe.pipeline._recorded import as_recorded, same_model
from vprobe.ranks import ALONE, Rank
from vprobe.steering import NULL_ARMS
from vprobe.types import POSITIONS, STEER_POSITIONS, Benchmark, Count, ModelInfo, Placement, RunInfo

Tell = Callable[[str, int, int], None]
PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "pyarrow",
    "matplotlib",
    "umap-learn",
)


ALL = "all"


@dataclass(frozen=True)
class Stage:
    """A finished stage: where its results are, the few facts worth printing, and what was left out.

    Args:
        name: "extract", "rate", ...
        folder: Run folder.
        facts: (name, value) pairs.
        counts: Samples left out.
        part: True when this was one of several ranks, and another one finishes the stage.
    """

    name: str
    folder: Path
    facts: tuple[tuple[str, Any], ...]
    counts: tuple[Count, ...] = ()
    part: bool = False


def quiet(stage: str, done: int, total: int) -> None:
    """Tell nobody about progress."""


def shared(config: RunConfig, stage: str, found: Sequence[Benchmark] = ()) -> tuple[tuple[str, str], ...]:
    """Return what all ranks that work on a stage together must have in common, as texts.

    Libraries belong to it: another version may give other numbers, and a run says of one version that all are its.
    So do the data, labels and all, which the rank that closes the run writes into it.
    """
    libraries = ((name, metadata.version(name)) for name in ("vprobe", *PACKAGES[:4]))
    data = ((f"data of {one.name}", one.sha256) for one in found)
    return (("command", stage), *((name, repr(value)) for name, value in config.stored), *data, *libraries)


def partly(stage: str, folder: Path, rank: Rank) -> Stage:
    """Say that a rank has done its part of a stage, and that another one finishes it."""
    return Stage(stage, folder, (("rank", f"{rank.index} of {rank.count}"),), part=True)


def load_backend(config: RunConfig, rank: Rank = ALONE, *, of: Path | None = None) -> Backend:
    """Load the model a configuration names; "organism" is the one that ships with vprobe.

    Args:
        config: Names the model and how it is loaded.
        rank: Which of several processes this is; each takes a GPU of its own where there are any.
        of: A run whose activations it is used beside: what the configuration leaves open is as it was recorded.

    Raises:
        StoreError: Another model, or other weights, than those recorded, see `as_recorded`.
    """
    config = config if of is None else as_recorded(of, config)
    backend = backends.load(
        model_path(config.model),
        backend=config.backend,
        revision=config.revision,
        dtype=config.dtype,
        device=rank.device(config.device),
        trust_remote_code=config.trust_remote_code,
        placement=placement(config),
    )
    if of is not None:
        same_model(of, backend.info)
    return backend


def placement(config: RunConfig) -> Placement:
    """Return where the parts of a model go, and in how many bits."""
    return Placement(config.device_map, config.tp_plan, config.quantize, config.remote)


def model_path(name: str) -> str:
    """Return a model's folder or hub id; "organism" stands for the model that ships with vprobe."""
    return str(organism.load()) if name == organism.NAME and not Path(name, "config.json").exists() else name


def load_benchmarks(config: RunConfig) -> tuple[Benchmark, ...]:
    """Load the benchmarks a configuration names.

    Raises:
        InputError: None is named, one is named twice, or two share the id of an item or query.
    """
    if not config.benchmark or len(set(config.benchmark)) != len(config.benchmark):
        raise InputError(f"{list(config.benchmark)}", where="--benchmark", expected="at least one, each once")
    folder = Path(config.data) if config.data else None
    found = tuple(benchmarks.load(name, folder=folder, limit=config.limit or None) for name in config.benchmark)
    ids = [item.id for one in found for item in one.items]
    if len(set(ids)) != len(ids):
        raise InputError("two benchmarks share an item id", where="--benchmark", do="record them into two runs")
    groups = [group for one in found for group in {item.group for item in one.items}]
    if len(set(groups)) != len(groups):
        raise InputError("two benchmarks share a query's name", where="--benchmark", do="record them into two runs")
    return found


def check(config: RunConfig) -> None:
    """Find what is wrong with a configuration before anything long is begun.

    Raises:
        VprobeError: An unknown benchmark, version, value, method, position or policy, or data that are not here.
    """
    found = load_benchmarks(config)
    Level(config.alpha, config.claim_draws, config.seed)
    known = tuple(dict.fromkeys(value for one in found for value in one.values))
    chosen = chosen_values(config.values, known)
    for value in config.steer_value:
        if value != "all" and values.find(value, where="steer_value") not in chosen:
            raise InputError(f"{value} is not among the values probed", where="steer_value", expected=", ".join(chosen))
    for method in config.method:
        registry.load("vprobe.directions", method, kind="method")
    choices = (
        ("steer_method", (config.steer_method,), config.method),
        ("positions", config.positions, POSITIONS),
        ("steer_positions", (config.steer_positions,), STEER_POSITIONS),
        ("hold_out", (config.hold_out,), ("query", "block")),
        ("too_long", (config.too_long,), ("skip", "error")),
        ("versions", config.versions, ("all", *found[0].versions)),
        ("steer_versions", config.steer_versions, ("all", *found[0].versions)),
        ("null_arms", config.null_arms, (ALL, *NULL_ARMS)),
    )
    check_choices(choices)


def check_choices(choices: Sequence[tuple[str, Sequence[str], Sequence[str]]]) -> None:
    """Refuse words that are not among those allowed; the nearest is named.

    Args:
        choices: Setting, words given, words allowed.

    Raises:
        InputError: A word that is not allowed.
    """
    for name, given, allowed in choices:
        for one in given:
            if one not in allowed:
                raise unknown(name.removeprefix("steer_").replace("_", " "), one, allowed, where=flag_of(name))


def join(found: Sequence[Benchmark]) -> Benchmark:
    """Put several benchmarks' items into one, as they are stored; ceilings hold for one benchmark only."""
    if len(found) == 1:
        return found[0]
    return Benchmark(
        name="+".join(b.name for b in found),
        items=tuple(item for b in found for item in b.items),
        templates=(),
        values=tuple(dict.fromkeys(value for b in found for value in b.values)),
        reliability=(),
        licence="; ".join(b.licence for b in found),
        citation=" ".join(b.citation for b in found),
        sha256="+".join(b.sha256 for b in found),
        labels="; ".join(b.labels for b in found),
    )


def chosen_values(names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return the values a configuration names, families spelled out, in the benchmark's order.

    Raises:
        InputError: A name that is no value and no family (the nearest is named), or nothing that the benchmark knows.
    """
    families = dict(values.FAMILIES) | {"all": values.NAMES}
    wanted: set[str] = set()
    for name in names:
        plain = name.strip().lower().replace("-", "_")
        if plain in families:
            wanted.update(families[plain])
        elif plain in values.NAMES or plain.replace("_", "") in ("selfdirection",):
            wanted.add(values.find(name))
        else:
            raise unknown("value or family", name, (*families, *values.NAMES), where="--values")
    kept = tuple(value for value in known if value in wanted)
    if not known:
        raise InputError(
            "the benchmark's items load on no value", where="--values", expected="items with loadings",
            do="fit probes on another benchmark, such as everyday; this one can be rated and scored",
        )  # fmt: skip
    if not kept:
        raise InputError(f"the benchmark knows none of {list(names)}", where="--values", expected=", ".join(known))
    return kept


def info(
    stage: str,
    config: RunConfig,
    model: ModelInfo | None = None,
    found: Sequence[Benchmark] = (),
    counts: Sequence[Count] = (),
    more: Sequence[tuple[str, Any]] = (),
) -> RunInfo:
    """Describe what a stage was made with; holds the settings it used and `more` of them, no clock, host or path."""
    used = set(dict(FIELDS)[stage]) - ({"stop"} if not config.stop else set())  # records without it stay as they were
    stored = tuple((k, _shown(v) if k in ("model", "steer_vector") else v) for k, v in config.stored if k in used)
    return RunInfo(
        config=(*stored, *more),
        vprobe=metadata.version("vprobe"),
        commit=_commit(Path(__file__).resolve().parents[2]),
        versions=tuple((name, metadata.version(name)) for name in PACKAGES),
        model=model,
        seed=config.seed,
        data=tuple((b.name, b.sha256) for b in found),
        counts=tuple(counts),
    )


def _shown(model: str) -> str:
    """Return a model's name without the path of this machine."""
    path = Path(model_path(model))
    return path.name if path.exists() else model


def _commit(root: Path) -> str:
    """Git commit of the checkout vprobe runs from, with "+dirty" when it has changes; empty for a wheel."""
    if not (root / ".git").exists():
        return ""
    try:
        run = [subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=20)
               for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))]  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    if run[0].returncode:
        return ""
    return run[0].stdout.strip() + ("+dirty" if run[1].stdout.strip() else "")
