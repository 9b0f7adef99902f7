"""Show that directions and statistics do what SCIENCE asks of them: one row per figure, with its target.

Exits with 1 when a row is not ok; a row that was not run is not. `--quick` runs few repetitions and judges the rows it
ran; `--only PART` runs the rows whose name contains PART (give it again for more). Official data and real models are
taken from `--shared DIR`, else `shared` beside the checkout; official data from the user's data cache too. Without them
their rows are not run. The probe sweep is timed by bench_probes.py in processes of its own, on the second core while
the other rows are made on the first.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rows import NOT_RUN, Row, closed

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

HERE = Path(__file__).resolve().parent
MODULES = (
    "statistics_core",
    "statistics_agreement",
    "statistics_official",
    "statistics_conditions",
    "statistics_repeat",
)
"""Where the rows are made, in the order of the criteria."""


@dataclass(frozen=True)
class Part:
    """Rows that are made together: their names and targets, what makes them, and whether that is another process."""

    rows: tuple[tuple[str, str], ...]
    make: Callable[[bool], list[tuple[str, bool]]]
    apart: bool = False


def parts() -> list[Part]:
    """List every row of the script, in the order of the criteria."""
    found = []
    for module in MODULES:
        for name, target, check in importlib.import_module(module).CHECKS:
            found.append(Part(((name, target),), lambda quick, check=check: [check(quick)]))
    bench = importlib.import_module("bench_probes")
    return [*found, Part(tuple(bench.ROWS[:2]), sweep, True), Part(tuple(bench.ROWS[2:]), max_t, True)]


def sweep(quick: bool) -> list[tuple[str, bool]]:
    """Time the sweep beside the scikit-learn loop."""
    return timed("Probe sweep", quick)


def max_t(quick: bool) -> list[tuple[str, bool]]:
    """Time the max-T null of the sweep, and take its memory."""
    return timed("Max-T", quick)


def timed(only: str, quick: bool) -> list[tuple[str, bool]]:
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "rows.json"
        words = [sys.executable, str(HERE / "bench_probes.py"), "--only", only, "--json", str(out)]
        done = subprocess.run([*words, *(["--quick"] if quick else [])], capture_output=True, text=True)
        if not out.is_file():
            raise RuntimeError(f"bench_probes: {done.stderr.strip()[-300:]}")
        rows = json.loads(out.read_text(encoding="utf-8"))
    return [(row["value"], row["ok"]) for row in rows if only in row["name"]]


def judge(part: Part, quick: bool, alone: bool) -> list[Row]:
    """Make the rows of one part; one that breaks is not ok, and the others still run."""
    from statistics_official import Absent

    begun, before = time.monotonic(), cpu_seconds()
    try:
        made = part.make(quick)
    except Absent as error:
        made = [(f"{NOT_RUN}: {error}", False)] * len(part.rows)
    except Exception as error:
        made = [(f"{type(error).__name__}: {error}", False)] * len(part.rows)
    few = " (quick: few repetitions, judged by limits as wide as their noise asks)" if quick else ""
    rows = [Row(*row, value + few, bool(ok)) for row, (value, ok) in zip(part.rows, made, strict=True)]
    for row in rows:
        print(f"{'ok ' if row.ok else 'NOT'} {row.name}: {row.value}  [{row.target}]", flush=True)
    used = f", {cpu_seconds() - before:.0f} s of CPU" if alone else ""  # else the other core's work is in it
    print(f"    {time.monotonic() - begun:.0f} s{used}", flush=True)
    return rows


def cpu_seconds() -> float:
    """Return the CPU time of this process and those it started and waited for."""
    return sum(
        one.ru_utime + one.ru_stime for one in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--quick", action="store_true", help="few repetitions, under three minutes")
    parser.add_argument("--only", action="append", default=[], help="only rows whose name contains this")
    parser.add_argument("--shared", type=Path, help="folder with value_portrait/upstream and models")
    wanted = parser.parse_args()
    if wanted.shared:
        os.environ["VPROBE_SHARED"] = str(wanted.shared)
    every = [(part, not wanted.only or any(word in name for name, _ in part.rows for word in wanted.only))
             for part in parts()]  # fmt: skip
    with ThreadPoolExecutor(1) as second:
        later = {
            id(part): second.submit(judge, part, wanted.quick, False) for part, asked in every if asked and part.apart
        }
        found: list[Row] = []
        for part, asked in every:
            if not asked:
                found += [Row(name, target, NOT_RUN, False) for name, target in part.rows]
            else:
                found += later[id(part)].result() if part.apart else judge(part, wanted.quick, not later)
    more = f"; {cpu_seconds() / 60:.1f} minutes of CPU"
    return closed(found, wanted.json, some=bool(wanted.quick or wanted.only), more=more)


if __name__ == "__main__":
    sys.exit(main())
