"""What every test shares: one torch thread, shapes checked at run time, and the optional reference folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import jaxtyping
import pytest

from tests.shapes import checked

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

ROOT = Path(__file__).resolve().parent.parent
ROOMS = sorted({path.stem for path in (ROOT / "vprobe").iterdir()} - {"__init__", "__main__", "__pycache__", "cli"})

# Shapes and types are checked at run time in every room. The command line is typer's: it calls with types of its own.
jaxtyping.jaxtyped = checked
jaxtyping.install_import_hook([f"vprobe.{room}" for room in ROOMS], "beartype.beartype")


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


@pytest.fixture
def vprobe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process; return exit code, standard output and standard error."""

    def call(*words: object) -> tuple[int, str, str]:
        from vprobe import __main__ as front

        monkeypatch.setattr(sys, "argv", ["vprobe", *map(str, words)])
        code = 0
        try:
            front.main()
        except SystemExit as done:
            code = int(done.code or 0)
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return code, said.out, said.err

    return call
