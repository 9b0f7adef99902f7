"""Criterion 26: a run tells how far it reached, how much was tried and with which seeds; twice it is the same bytes."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from vprobe import config as configs
from vprobe import organism
from vprobe.config import RunConfig
from vprobe.store import load_rows
from vprobe.types import Agreement

from statistics_official import vprobe

CLOCK = "timing.json"
"""The only file of a run that holds times and the machine."""


def study(quick: bool) -> RunConfig:
    """Return a small study of every stage on the organism."""
    return RunConfig(
        model=str(organism.load()), benchmark=("planted",), limit=14 if quick else 24, sites=("resid_post:1", "embed"),
        method=("partial", "ridge"), draws=20, versions=("v1",), steer_method="partial", steer_versions=("v1",),
        steer_value=("benevolence",), strengths=(-0.03, 0.0, 0.03), steer_limit=2 if quick else 4, null_draws=2,
        alpha=0.05, claim_draws=199, map=False, device="cpu",
    )  # fmt: skip


def repeated(quick: bool) -> tuple[str, bool]:
    """Run one study twice, each in a process of its own, and compare every file; read what a user is told of it."""
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        configs.write(study(quick), work / "study.toml")
        for name in ("one", "two"):
            vprobe(work, "run", work / "study.toml", "--out", work / name)
        files = [{p.relative_to(work / name): p.read_bytes() for p in sorted((work / name).rglob("*")) if p.is_file()}
                 for name in ("one", "two")]  # fmt: skip
        for found in files:
            found.pop(Path(CLOCK), None)
        differ = sorted(str(name) for name in {*files[0], *files[1]} if files[0].get(name) != files[1].get(name))
        told = {
            "claims": vprobe(work, "claims", work / "one"),
            "agree": vprobe(work, "agree", work / "one"),
            "report": (work / "one" / "report.html").read_text(encoding="utf-8"),
        }
        plain = json.loads(vprobe(work, "claims", work / "two", "--json"))
    kinds = {
        ending: sum(name.suffix == ending for name in files[0]) for ending in (".parquet", ".safetensors", ".html")
    }
    size = sum(map(len, files[0].values()))
    silent = [name for name, text in told.items() if not says(text)]
    best = max((one["rung"] for one in plain["ladder"]), default=0)
    tried = sum(one["n"] for one in plain["tried"])
    seeds = {one["seed"] for one in plain["seeds"]}
    text = (
        f"{len(files[0]) - len(differ)} of {len(files[0])} files with the same bytes ({size:,}; tables "
        f"{kinds['.parquet']}, arrays {kinds['.safetensors']}, pages {kinds['.html']})"
        + (f", DIFFERENT: {', '.join(differ[:4])}" if differ else "")
        + f"; claims, agree and report {'all tell' if not silent else 'NOT ' + ', '.join(silent) + ' tell'} rung "
        f"(highest {best}), configurations tried ({tried:,}) and seeds ({', '.join(map(str, sorted(seeds)))})"
    )
    return text, not differ and not silent and kinds[".parquet"] > 10 and tried > 0 and len(plain["ladder"]) == 10


def across(quick: bool) -> tuple[str, bool]:
    """Run one study on the CPU and on a GPU, and compare every correlation it reports."""
    if not torch.cuda.is_available():
        return "not run: no second device here", False
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        for device in ("cpu", "cuda"):
            configs.write(replace(study(quick), device=device), work / f"{device}.toml")
            vprobe(work, "run", work / f"{device}.toml", "--out", work / device)
        one, two = (load_rows(work / device, "agreement", Agreement) for device in ("cpu", "cuda"))
    same = [(a.level, a.comparison, a.value, a.method, a.site) for a in one] == [
        (b.level, b.comparison, b.value, b.method, b.site) for b in two
    ]
    gaps = [abs(a.estimate - b.estimate) for a, b in zip(one, two, strict=False) if np.isfinite(a.estimate)]
    text = f"largest |delta r| {max(gaps, default=np.nan):.1e} over {len(gaps)} rows, {torch.cuda.get_device_name()}"
    return text + ("" if same else "; NOT the same rows"), same and bool(gaps) and max(gaps) <= 0.005


def says(text: str) -> bool:
    """Tell whether a text holds the ladder, the number of configurations tried and the seeds."""
    flat = " ".join(text.split()).lower()
    return "ladder" in flat and bool(re.search(r"configurations tried: probe \d+", flat)) and "seeds: 0 (" in flat


CHECKS = (
    ("criterion 26: ladder, tried, seeds, repeat",
     "Claim ladder rung + number of configurations tried + seeds; bitwise repeat on CPU, |delta r|<=.005 across "
     "devices.", repeated),
    ("criterion 26: across devices",
     "Claim ladder rung + number of configurations tried + seeds; bitwise repeat on CPU, |delta r|<=.005 across "
     "devices.", across),
)  # fmt: skip
