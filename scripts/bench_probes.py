"""Time the fast probe sweep beside the scikit-learn loop, and its max-T null: one row per figure, with its target.

Exits with 1 when a row is not ok; a row that was not run is not. Both sides run on one core, in float64, in turns,
site by site; max-T runs in two processes of one thread each. `--quick` does two sites and says so in the figures;
`--only PART` makes the rows whose name contains PART. Activations are made up: a spectrum that falls with the square
root of the rank, a part shared by the responses to a query, and labels tied to them at one site.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy is loaded: the same for both sides
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import numpy as np
from vprobe import controls, splits, stats, sweeps

from rows import NOT_RUN, Row, closed

VALUES, SITES, D, QUERIES, EACH, FOLDS, DRAWS = 10, 24, 1024, 104, 5, 5, 1000
PENALTIES = np.logspace(-3, 4, 20)
TIED = SITES // 2
CORES = 2
GIB = 2.0**30
SWEEP = "Probe sweep (10 values x 24 layers x d 1024 x n 520, 5 grouped folds, 20 penalties)"


@dataclass(frozen=True)
class Timed:
    """Seconds per site of either side, and the largest difference of their held-out predictions."""

    ours: tuple[float, ...]
    loop: tuple[float, ...]
    together: tuple[float, ...]
    nested: float
    worst: float


ROWS = (
    (SWEEP, ">= 50x the scikit-learn loop in one interleaved run"),
    (f"{SWEEP}: held-out predictions", "within 1e-9"),
    ("Max-T: 1,000 max-T permutations of that whole sweep", "in under 10 minutes on two cores"),
    ("Max-T: memory", "under 2 GiB"),
)


def activations(site: int) -> np.ndarray:
    """Make one site's activations."""
    rng = np.random.default_rng([7, site])
    code, spectrum = queries(), np.arange(1, D + 1) ** -0.5
    x = (rng.standard_normal((len(code), D)) + rng.standard_normal((QUERIES, D))[code]) * spectrum
    if site == TIED:
        ways = np.linalg.qr(rng.standard_normal((D, VALUES)))[0].T
        x += 0.15 * stats.centre(labels(), code) @ ways
    return x


def labels() -> np.ndarray:
    rng = np.random.default_rng(11)
    return rng.standard_normal((QUERIES * EACH, VALUES)) + rng.standard_normal((QUERIES, VALUES))[queries()]


def queries() -> np.ndarray:
    return np.repeat(np.arange(QUERIES), EACH)


def folds() -> tuple:
    return splits.by_group(queries(), k=FOLDS, seed=0)


def slow(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Fit with scikit-learn once per fold, penalty and value."""
    from sklearn.linear_model import Ridge

    out = np.full((len(PENALTIES), *y.shape), np.nan)
    for fold in folds():
        train, test = x[fold.train], x[fold.test]
        for i, alpha in enumerate(PENALTIES):
            for v in range(y.shape[1]):
                out[i, fold.test, v] = Ridge(alpha=alpha).fit(train, y[fold.train, v]).predict(test)
    return out


def slow_together(x: np.ndarray, y: np.ndarray) -> None:
    """Fit with scikit-learn once per fold and penalty, all values at once: a loop written with more care."""
    from sklearn.linear_model import Ridge

    for fold in folds():
        for alpha in PENALTIES:
            Ridge(alpha=alpha).fit(x[fold.train], y[fold.train]).predict(x[fold.test])


def speed(sites: int) -> Timed:
    """Time both sides in turns: ours before and after the loop, site by site."""
    y, ours, loop, together, worst = labels(), [], [], [], 0.0
    sweeps.ridge(activations(0), y, queries(), folds(), PENALTIES)  # the first call loads libraries
    slow(activations(0)[:, :20], y)
    for site in range(sites):
        x = activations(site)
        before, fast = clock(lambda x=x: sweeps.ridge(x, y, queries(), folds(), PENALTIES))
        seconds, reference = clock(lambda x=x: slow(x, y))
        after, _ = clock(lambda x=x: sweeps.ridge(x, y, queries(), folds(), PENALTIES))
        if site % 4 == 0:
            together.append(clock(lambda x=x: slow_together(x, y))[0])
        ours.append((before + after) / 2)
        loop.append(seconds)
        worst = max(worst, float(np.abs(fast - reference).max()))
        print(f"  site {site}: {before:.3f} and {after:.3f} s, loop {seconds:.2f} s, {worst:.1e}", flush=True)
    nested, _ = clock(
        lambda: sweeps.sweep((activations(site) for site in range(sites)), y, queries(), folds(), PENALTIES, seed=0)
    )
    return Timed(tuple(ours), tuple(loop), tuple(together), nested, worst)


def clock(run) -> tuple[float, object]:
    start = time.perf_counter()
    found = run()
    return time.perf_counter() - start, found


def part(sites: range) -> tuple[sweeps.MaxT, float]:
    """Run max-T over some sites in a process of its own; return its peak memory in bytes too."""
    y = labels()
    draws = controls.shuffle_labels(y, queries(), draws=DRAWS, seed=1)
    found = sweeps.max_t((activations(site) for site in sites), y, queries(), folds(), PENALTIES, draws)
    return found, peak()


def peak() -> float:
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size * (1 if sys.platform == "darwin" else 1024)


def null(sites: int) -> tuple[sweeps.MaxT, float, float]:
    """Return the null, wall seconds including the start of the processes, and peak memory of all processes together."""
    start = time.perf_counter()
    chosen = range(sites) if sites == SITES else range(TIED, TIED + sites)
    with ProcessPoolExecutor(CORES) as pool:
        done = list(pool.map(part, [chosen[i::CORES] for i in range(CORES)]))
    found = sweeps.join([one for one, _ in done])
    return found, time.perf_counter() - start, sum(size for _, size in done) + peak()


def speed_rows(sites: int) -> list[tuple[str, bool]]:
    timed = speed(sites)
    ratios = [b / a for a, b in zip(timed.ours, timed.loop, strict=True)]
    total = sum(timed.loop) / sum(timed.ours)
    together = statistics.median(timed.together) / statistics.median(timed.ours)
    text = (
        f"median {statistics.median(ratios):.1f}x over {sites} of {SITES} sites (worst {min(ratios):.1f}, total "
        f"{total:.1f}): {sum(timed.ours):.2f} s against {sum(timed.loop):.0f} s, every cell fitted; {together:.1f}x a "
        f"loop that fits all values at once; with nested choice {timed.nested:.1f} s; one core each, "
        f"peak {peak() / GIB:.2f} GiB, {load()}"
    )
    compared = sites * len(PENALTIES) * QUERIES * EACH * VALUES
    return [
        (text, statistics.median(ratios) >= 50 and peak() < 2 * GIB),
        (f"largest difference {timed.worst:.1e} over {compared:,} predictions", timed.worst <= 1e-9),
    ]


def null_rows(sites: int) -> list[tuple[str, bool]]:
    found, seconds, size = null(sites)
    whole = seconds * SITES / sites
    stretched = "" if sites == SITES else f" ({sites} sites in {seconds:.1f} s, extrapolated)"
    level = float(np.quantile(found.largest, 0.95))
    text = (
        f"{whole:.0f} s{stretched}, {CORES} processes of one thread, {load()}; largest |r| by chance {level:.2f} (95 % "
        f"of {DRAWS:,} draws over {found.r.size:,} cells), {int((found.p <= 0.05).sum())} cells beyond it"
    )
    memory = f"{size / GIB:.2f} GiB, the peaks of all {CORES + 1} processes added (what they share counts each time)"
    return [(text, whole < 600), (memory, size < 2 * GIB)]


def load() -> str:
    return f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores shared with other work"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--quick", action="store_true", help="two sites, about a minute")
    parser.add_argument("--only", default="", help="only rows whose name contains this")
    wanted = parser.parse_args()
    sites, found = 2 if wanted.quick else SITES, []
    for make, rows in ((null_rows, ROWS[2:]), (speed_rows, ROWS[:2])):  # memory first: scikit-learn is large
        asked = any(wanted.only in name for name, _ in rows)
        made = make(sites) if asked else [(NOT_RUN, False)] * 2
        for (name, target), (value, ok) in zip(rows, made, strict=True):
            found.append(Row(name, target, value, ok))
            print(f"{'ok ' if ok else 'NOT'} {name}\n    target {target}\n    {value}", flush=True)
    return closed(found, wanted.json, some=bool(wanted.quick or wanted.only))


if __name__ == "__main__":
    sys.exit(main())
