"""The manifest `run.json`: what a run was made with."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from vprobe.errors import StoreError
from vprobe.store._files import disk_errors, in_turn, write_atomic
from vprobe.types import Count, ModelInfo, RunInfo

FORMAT = 1
STAGES = ("extract", "rate", "probe", "steer", "agree", "report")
PLACES = ("out", "run", "folder")
"""Configuration names that say where a run lies; left out, so that the same run elsewhere has the same bytes."""
CHANGING = ".vprobe-changing"
"""Hidden file whose lock keeps processes apart while run.json or timing.json is changed."""
PATIENCE = 60.0
"""Seconds a process waits for another one that changes run.json, which takes thousandths of one."""
_TEXTS = ("prompt", "stop")
_MARKS = (
    "activations",
    "*.partial*.jsonl",
    "timing.json",
    "items.parquet",
    "responses.parquet",
    "directions.parquet",
)


def check_run(folder: Path) -> None:
    """Make sure a folder is a run folder this version can read.

    Args:
        folder: The run folder.

    Raises:
        StoreError: Missing, not a run folder, of a newer format, or with an unreadable manifest.
    """
    read(folder)


def read(folder: Path) -> dict[str, Any]:
    """Return the manifest as read from disk; only the kind and format when no stage has finished yet."""
    if not folder.is_dir():
        raise StoreError(
            "a file, not a folder" if folder.exists() else "no such folder",
            where=str(folder),
            expected="a run folder",
            do="make one with vprobe extract",
        )
    path = folder / "run.json"
    if not path.exists():
        if any(True for mark in _MARKS for _ in folder.glob(mark)):
            return {"format": FORMAT, "kind": "vprobe run", "model": None, "stages": {}}
        raise StoreError(
            "not a run folder: it has no run.json",
            where=str(folder),
            do="name the folder of a run, or for --out a new or empty one",
        )
    try:
        content = json.loads(path.read_bytes())
        version, kind, stages = content["format"], content["kind"], content["stages"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"unreadable manifest: {error!r}",
            where=str(path),
            expected="the JSON that vprobe wrote",
            do="restore the file from a copy, or make the run again in another folder",
        ) from error
    if not isinstance(version, int) or version > FORMAT:
        raise StoreError(
            f"run format {version}",
            where=str(path),
            expected=f"at most {FORMAT}",
            do="install a newer vprobe to read this run",
        )
    if kind != "vprobe run" or not isinstance(stages, dict):
        raise StoreError(f"kind {kind!r}", where=str(path), expected="a manifest of a vprobe run")
    return content


def read_or_new(folder: Path) -> dict[str, Any]:
    """Return the manifest, or an empty one when the folder is new or empty; anything else there is not ours to fill."""
    if not folder.exists() or (folder.is_dir() and all(p.name.startswith(".") for p in folder.iterdir())):
        return {"format": FORMAT, "kind": "vprobe run", "model": None, "stages": {}}
    if not folder.is_dir():
        raise StoreError("a file, not a folder", where=str(folder), do="choose another --out folder")
    return read(folder)


def write(folder: Path, content: Mapping[str, Any]) -> None:
    """Write the manifest: sorted, indented, whole."""
    write_atomic(folder / "run.json", as_json(content))


@contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Let one process at a time change run.json or timing.json, so that no change is lost; the others wait.

    Args:
        folder: The run folder, made when missing.

    Raises:
        StoreError: The folder is no run folder, or another process does not end its own change.
    """
    read_or_new(folder)  # before anything is written into a folder that is not ours
    with disk_errors(folder, 0):
        folder.mkdir(parents=True, exist_ok=True)
    with in_turn(folder, CHANGING, wait=PATIENCE) as mine:
        if not mine:
            raise busy(folder, f"another process has been changing run.json for {PATIENCE:g} seconds")
        yield


def busy(folder: Path, found: str) -> StoreError:
    """Return the error of a process that finds another one at work."""
    return StoreError(found, where=str(folder), do="wait for it or end it, then run the same command again")


def as_json(content: Mapping[str, Any]) -> bytes:
    """Return the bytes of a manifest: sorted, indented.

    Raises:
        StoreError: A setting that JSON has no word for.
    """
    try:
        text = json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"a setting cannot be written: {error}", where="run.json", expected="finite numbers, texts and lists"
        ) from error
    return (text + "\n").encode()


def require_model(content: Mapping[str, Any], model: ModelInfo, folder: Path) -> None:
    """Make sure a run holds no results of another model.

    Args:
        content: The manifest.
        model: The model about to be used.
        folder: Named in the error.

    Raises:
        StoreError: Another model is recorded; both are named.
    """
    known = content.get("model")
    if known and known["fingerprint"] != model.fingerprint:
        raise StoreError(
            f"this run is of model {known['name']} ({known['fingerprint'][:12]}), "
            f"now asked for {model.name} ({model.fingerprint[:12]})",
            where=str(folder),
            expected="one model per run folder",
            do=f"give another --out folder for {model.name}; the same model is another in fewer bits (--quantize) or "
            f"at NDIF, and may be in another format than {known['dtype']} (--dtype)",
        )


def save_info(folder: Path, info: RunInfo, stage: str) -> None:
    """Record what a stage was made with; other stages of the run stay as they are.

    Args:
        folder: The run folder, made when missing.
        info: What the stage was made with. Where the run lies is left out, of local paths the last part is kept.
        stage: Such as "extract", "rate", "probe", "steer" or "agree".

    Raises:
        StoreError: The folder is no run folder, or holds another model.
    """
    made = {
        "config": {name: _plain(name, value) for name, value in info.config if name not in PLACES},
        "vprobe": info.vprobe,
        "commit": info.commit,
        "versions": dict(info.versions),
        "seed": info.seed,
        "data": dict(info.data),
        "counts": [dataclasses.asdict(count) for count in info.counts],
    }
    with changing(folder):
        content = read_or_new(folder)
        if info.model is not None:
            require_model(content, info.model, folder)
            if stage == "extract" or not content.get("model"):  # as it was recorded, whatever format came later
                content["model"] = dataclasses.asdict(info.model)
        files = content["stages"].get(stage, {}).get("files")
        content["stages"][stage] = made | ({} if files is None else {"files": files})
        write(folder, content)


def differing(folder: Path, info: RunInfo, stage: str, *, but: Sequence[str] = ()) -> tuple[str, ...]:
    """Name what a finished stage was made with otherwise than is now asked for; nothing where it was never finished.

    Args:
        folder: The run folder, or one that is still to be made.
        info: What is asked for now.
        stage: Such as "induce".
        but: Settings that do not matter.

    Raises:
        StoreError: The folder is no run folder, or holds another model.
    """
    content = read_or_new(folder)
    if info.model is not None:
        require_model(content, info.model, folder)
    held = content["stages"].get(stage, {})
    if "config" not in held:
        return ()
    now = {name: _tupled(_plain(name, value)) for name, value in info.config}
    then = {name: _tupled(value) for name, value in held["config"].items()}
    names = [name for name in (*now, *then) if name not in (*but, *PLACES) and now.get(name) != then.get(name)]
    data = dict(info.data) != held["data"]
    return tuple(dict.fromkeys([*names, *(["the benchmark's data"] if data else [])]))


def _plain(name: str, value: Any) -> Any:
    """Return a setting as JSON has it, with the machine's own folders taken out."""
    if isinstance(value, PurePath):
        return value.name
    if isinstance(value, str) and name not in _TEXTS and value.startswith(("/", "./", "../", "~/")):
        return PurePath(value).name
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(name, one) for one in value]
    return value


def _tupled(value: Any) -> Any:
    return tuple(_tupled(one) for one in value) if isinstance(value, list) else value


def stages(folder: Path) -> tuple[str, ...]:
    """List the finished stages of a run, in the order they are made.

    Args:
        folder: The run folder.
    """
    names = [name for name, part in read(folder)["stages"].items() if "config" in part]
    return tuple(sorted(names, key=lambda name: (STAGES.index(name) if name in STAGES else len(STAGES), name)))


def load_info(folder: Path, stage: str = "") -> RunInfo:
    """Return what a run was made with.

    Args:
        folder: The run folder.
        stage: One stage only; all stages together when empty. Where stages differ in a setting the later one is
            returned, in the order extract, rate, probe, steer, agree.

    Raises:
        StoreError: Not a run folder, or the stage was not finished.
    """
    content, known = read(folder), stages(folder)
    if not known or (stage and stage not in known):
        raise StoreError(
            f"no finished stage {stage}".strip(),
            where=str(folder),
            expected="a run in which it is done; here it is " + ", ".join(known)
            if known
            else "at least one finished stage",
            do=f"run vprobe {stage or 'extract'}",
        )
    parts = [content["stages"][name] for name in ((stage,) if stage else known)]
    merged: dict[str, dict[str, Any]] = {key: {} for key in ("config", "versions", "data")}
    for part in parts:
        for key, into in merged.items():
            into.update(part[key])
    return RunInfo(
        config=tuple((name, _tupled(value)) for name, value in sorted(merged["config"].items())),
        vprobe=parts[-1]["vprobe"],
        commit=parts[-1]["commit"],
        versions=tuple(sorted(merged["versions"].items())),
        model=ModelInfo(**content["model"]) if content.get("model") else None,
        seed=parts[-1]["seed"],
        data=tuple(sorted(merged["data"].items())),
        counts=tuple(Count(**count) for part in parts for count in part["counts"]),
    )


def forget(folder: Path, of: Sequence[str]) -> None:
    """Take stages out of the manifest, because their results are gone.

    Args:
        folder: The run folder.
        of: Names of stages.
    """
    if not set(of) & set(read_or_new(folder)["stages"]):
        return
    with changing(folder):
        content = read_or_new(folder)
        if [stage for stage in of if content["stages"].pop(stage, None) is not None]:
            write(folder, content)
