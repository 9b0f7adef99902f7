"""Stages that ask a model once: results of other settings are never replaced, and the same are not asked for again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vprobe import store
from vprobe.errors import StoreError
from vprobe.types import RunInfo

BESIDE = (
    "model", "revision", "dtype", "backend", "device", "device_map", "tp_plan", "quantize", "remote", "batch_tokens",
    "trust_remote_code",
)  # fmt: skip
"""How a model is had and run; which one it is, is told by its fingerprint."""


def finished(folder: Path, stage: str, now: RunInfo, tables: Sequence[str], *, but: Sequence[str] = ()) -> bool:
    """Tell whether a folder holds a finished stage of the same settings.

    Args:
        folder: The run folder, or one that is still to be made.
        stage: Such as "induce".
        now: What is asked for.
        tables: What the stage leaves behind; where one is missing the stage was cut short, and is made again.
        but: Further settings that do not matter.

    Raises:
        StoreError: The folder holds the stage with other settings, or another model.
    """
    other = store.differing(folder, now, stage, but=(*BESIDE, *but))
    if other:
        raise StoreError(
            f"this run holds {stage} with other settings: {', '.join(other)}; nothing was deleted",
            where=str(folder),
            expected="one set of settings per run folder",
            do="repeat the settings as they were, or give another --out folder",
        )
    return (
        folder.is_dir()
        and (folder / "run.json").is_file()
        and stage in store.stages(folder)
        and all(store.has(folder, name) for name in tables)
    )
