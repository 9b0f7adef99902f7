"""The GPU preset of the engine's benchmark runs as code, with a model of no size; its figures never count on a CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent / "scripts" / "bench.py"


def test_the_gpu_presets_reading_job_runs_at_tiny_size_and_is_not_ok_on_a_cpu(tmp_path: Path) -> None:
    given = ["--preset", "tiny", "--only", "7B shape", "--json", str(tmp_path / "rows.json")]
    done = subprocess.run(
        [sys.executable, str(BENCH), *given], env=os.environ | {"VPROBE_SHARED": str(tmp_path)}, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    rows = {row["name"]: row for row in json.loads((tmp_path / "rows.json").read_text())}
    large = rows.pop("7B shape in bf16 on an H200-class GPU")
    assert large["target"].startswith("the reading job in seconds, at >= 40 % of the card's own")
    assert "40 texts" in large["value"] and "TFLOP/s" in large["value"] and not large["ok"]
    assert {row["value"] for row in rows.values()} == {"not run"} and not any(row["ok"] for row in rows.values())
