"""The built wheel holds what the checkout holds: data and page templates included."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE = """
import sys
import vprobe
from vprobe import benchmarks, organism, report
assert vprobe.__file__.startswith(sys.argv[1]), vprobe.__file__
assert len(benchmarks.load("everyday").items) == 360
assert len(benchmarks.load("contrast-natural").items) == len(benchmarks.load("contrast-swapped").items) == 800
assert len(benchmarks.load("planted").items) == 520
assert (organism.load() / "model.safetensors").stat().st_size <= 10_000_000
assert organism.read_card(organism.load()).u.shape == (10, 192)
assert len(benchmarks.stems()) == 72 and len(benchmarks.personas()) == 60
"""


def test_the_wheel_works_without_the_checkout(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path / "site")
    tracked = {
        p.relative_to(ROOT) for p in (ROOT / "vprobe").rglob("*") if p.is_file() and "__pycache__" not in p.parts
    }
    assert [str(p) for p in sorted(tracked) if not (tmp_path / "site" / p).exists()] == []
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"PYTHONPATH": str(tmp_path / "site")}
    ran = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)], cwd=tmp_path, env=clean, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
