"""What every test shares: one torch thread, shapes checked at run time, and the optional reference folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

install_import_hook("vprobe", "beartype.beartype")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of reference data and small real models beside the checkout; tests that need it skip without it."""
    folder = Path(os.environ.get("VPROBE_SHARED", ROOT.parent / "shared"))
    if not (folder / "models").is_dir():
        pytest.skip(f"no reference folder at {folder}: real models and official data are not on this machine")
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test a cache of its own, so that none sees or touches the user's."""
    monkeypatch.setenv("VPROBE_CACHE", str(tmp_path / "cache"))
