"""Time a steering sweep of many doses in one pass beside the same sweep one arm at a time: one row per figure.

Exits with 1 when a row is not ok; a row that was not run is not. Both sides run on one core, in turns, batch of items
by batch of items, on the planted model that ships with vprobe or on `--model`. `--quick` takes few items and values.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: the same for both sides
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ |= {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**32)}

import numpy as np
from vprobe import backends, benchmarks, organism, prompts, steering
from vprobe.backends import Backend
from vprobe.types import Answers, Direction, Site, Steering, Tokens
from vprobe.values import SCHWARTZ

from rows import Row, closed

STRENGTHS = (-0.5, -0.25, -0.125, 0.0, 0.125, 0.25, 0.5)
BATCH, NEW_TOKENS = 20, 12
SWEEP = "10 values x 7 strengths x 100 items"


ROWS = (
    (f"{SWEEP} sweep against the same sweep run one arm at a time", "ratio >= 3.5x on CPU"),
    (f"{SWEEP}: log-probs", "same log-probs to 1e-4"),
    (f"{SWEEP}: greedy tokens", "greedy tokens identical"),
)


@dataclass(frozen=True)
class Sweep:
    """What is run: a model, prompts with options, and one arm per value and strength."""

    backend: Backend
    rows: tuple[Answers, ...]
    arms: tuple[tuple[Steering, ...], ...]


def planned(model: str, site: str, positions: str, items: int, values: int) -> Sweep:
    """Load the model, take rating prompts, and make vectors of ten values at one site."""
    backend = backends.load(model, device="cpu")
    benchmark = benchmarks.load("planted" if model == str(organism.load()) else "everyday")
    asked = prompts.render(benchmark, template="v1")[:items]
    rows = tuple(prompts.encode_answers(backend.tokenizer, prompt) for prompt in asked)
    at, rng = Site.parse(site), np.random.default_rng(0)
    unit = float(backend.residual_norms([row.prompt for row in rows[:BATCH]], [at])[0])
    drawn = np.linalg.qr(rng.standard_normal((backend.info.d_model, 10)))[0].T
    vectors = organism.read_card(organism.load()).u if model == str(organism.load()) else drawn
    add = steering.load("add")
    arms = []
    for value, vector in list(zip(SCHWARTZ, vectors, strict=True))[:values]:
        way = Direction(np.asarray(vector, dtype=np.float32), at, value, "planted", "write")
        arms += [(Steering(add, way, 0.06 * unit * strength, positions),) if strength else () for strength in STRENGTHS]
    return Sweep(backend, rows, tuple(arms))


def scored(sweep: Sweep) -> tuple[list[float], list[float], float]:
    """Return seconds per batch of the loop and of the pass, and the largest difference of a log-probability."""
    loop, whole, worst = [], [], 0.0
    sweep.backend.choose_arms(list(sweep.rows[:2]), list(sweep.arms))  # the place where it forks is tried once
    for start in range(0, len(sweep.rows), BATCH):
        rows = list(sweep.rows[start : start + BATCH])
        begun = time.perf_counter()
        apart = [sweep.backend.choose(rows, steering=arm) for arm in sweep.arms]
        middle = time.perf_counter()
        together = sweep.backend.choose_arms(rows, list(sweep.arms))
        whole.append(time.perf_counter() - middle)
        loop.append(middle - begun)
        worst = max(worst, float(np.abs(np.array(apart) - np.array(together)).max()))
    return loop, whole, worst


def written(sweep: Sweep, texts: int) -> tuple[int, int, float, float]:
    """Return texts compared, texts that differ, and seconds of the loop and of one batch with arms as rows."""
    asked = [row.prompt for row in sweep.rows[:texts]]
    arms = sweep.arms[: len(STRENGTHS)]
    begun = time.perf_counter()
    apart = [sweep.backend.generate(asked, max_new_tokens=NEW_TOKENS, steering=arm) for arm in arms]
    middle = time.perf_counter()
    rows: list[Tokens] = [prompt for _ in arms for prompt in asked]
    each = [arm for arm in arms for _ in asked]
    together = sweep.backend.generate(rows, max_new_tokens=NEW_TOKENS, steering=each)
    end = time.perf_counter()
    flat = [one.text for part in apart for one in part]
    differ = sum(a != b.text for a, b in zip(flat, together, strict=True))
    return len(flat), differ, middle - begun, end - middle


def rows_of(sweep: Sweep, quick: bool) -> list[Row]:
    """Run the sweep both ways and say how the figures compare with their targets."""
    loop, whole, worst = scored(sweep)
    ratios = [a / b for a, b in zip(loop, whole, strict=True)]
    ratio = sum(loop) / sum(whole)
    n, differ, slow, fast = written(sweep, 6 if quick else 20)
    positions = next(one.positions for arm in sweep.arms for one in arm)
    text = (
        f"{ratio:.1f}x ({sum(loop):.1f} s against {sum(whole):.1f} s; batches {min(ratios):.1f}x to "
        f"{max(ratios):.1f}x, median {statistics.median(ratios):.1f}x; {len(sweep.arms)} arms x {len(sweep.rows)} "
        f"items, steered on {positions})"
    )
    found = (
        (text, ratio >= 3.5),
        (f"largest difference {worst:.1e}", worst <= 1e-4),
        (f"{n - differ} of {n} texts identical; {slow / fast:.1f}x ({slow:.1f} s against {fast:.1f} s)", differ == 0),
    )
    return [Row(name, target, value, bool(ok)) for (name, target), (value, ok) in zip(ROWS, found, strict=True)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--quick", action="store_true", help="20 items and 2 values")
    parser.add_argument("--model", default=str(organism.load()), help="local folder; the planted model by default")
    parser.add_argument("--site", default="resid_post.1", help="where vectors are added")
    parser.add_argument("--on", default="response", help="tokens steered")
    wanted = parser.parse_args()
    sizes = (20, 2) if wanted.quick else (100, 10)
    rows = rows_of(planned(wanted.model, wanted.site, wanted.on, *sizes), wanted.quick)
    for row in rows:
        print(f"{'ok ' if row.ok else 'NOT'} {row.name}: {row.value}  [{row.target}]")
    return closed(rows, wanted.json, some=False)


if __name__ == "__main__":
    sys.exit(main())
