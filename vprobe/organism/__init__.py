"""The model of our own that the demo runs on: made on this machine, the same bytes for the same seed."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from vprobe import benchmarks


def load(*, seed: int = 0) -> Path:
    """Return the folder of the demo's model, making it on first use.

    Until the planted organism lands it is untrained: four blocks of random weights that hold no values, so that a
    study of it must find nothing beyond its nulls.

    Args:
        seed: Seed of its weights.
    """
    home = benchmarks.cache_folder() / "models"
    folder = home / f"untrained-{seed}"
    if (folder / "config.json").exists():
        return folder
    from vprobe.organism import train

    found = benchmarks.load("everyday")
    texts = [f"{item.title} {item.text} {item.response}" for item in found.items]
    texts += [template.text for template in found.templates]
    home.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".making-", dir=home))
    try:
        train.untrained(fresh, texts, seed=seed)
        fresh.replace(folder)
    except OSError:
        if not (folder / "config.json").exists():  # another process may have been quicker
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder
