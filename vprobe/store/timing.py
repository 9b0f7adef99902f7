"""Stages as they are made: one process at a time, and `timing.json`, the only file with clock or host."""

from __future__ import annotations

import datetime
import json
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vprobe.store._files import in_turn, write_atomic
from vprobe.store.manifest import as_json, busy, changing, read_or_new

AT_WORK = ".vprobe-at-"
"""Begins the name of a stage's hidden file, which is locked while the stage is made."""


@contextmanager
def timed(folder: Path, stage: str, *, device: str = "") -> Iterator[None]:
    """Note in `timing.json` when a stage started and ended, and on what; nothing is noted when it fails.

    A place that cannot be written is found before the work; so is another process at work on the same stage.

    Args:
        folder: The run folder.
        stage: Name of the stage.
        device: Device the model ran on; empty when none did.

    Raises:
        StoreError: The folder cannot be written, is no run folder, or another process makes the same stage.
    """
    start, tick = datetime.datetime.now(datetime.UTC), time.monotonic()
    with _stage(folder, stage):
        yield
        made = {
            "start": start.isoformat(timespec="seconds"),
            "end": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - tick, 3),
            "host": platform.node(),
            "device": device,
        }
        path = folder / "timing.json"
        with changing(folder):
            try:
                content = json.loads(path.read_bytes())
            except (OSError, ValueError):  # it holds nothing a result depends on
                content = {}
            write_atomic(path, as_json(content | {stage: made}))


@contextmanager
def _stage(folder: Path, stage: str) -> Iterator[None]:
    """Refuse a second process that makes the same stage; a folder that is still to be made has nothing to lock."""
    if not folder.is_dir():
        yield
        return
    read_or_new(folder)
    with in_turn(folder, AT_WORK + stage) as mine:
        if not mine:
            raise busy(folder, f"another process is making the same stage of this run, {stage}")
        yield
