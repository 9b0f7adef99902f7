"""Show that steering does what it says on the model with planted values: one row per figure, with its target.

Exits with 1 when a row is not ok; a row that was not run is not. `--quick` runs with few draws and items; `--only PART`
runs the rows whose name contains PART. One thread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: two threads on small models are far slower than one
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
from vprobe import activations, controls, directions, effects, organism, pipeline, prompts, responses, scores, stats
from vprobe import steering as operations
from vprobe.benchmarks import planted
from vprobe.config import RunConfig
from vprobe.pipeline import Wish
from vprobe.steering import Given
from vprobe.store import load_rows
from vprobe.types import SolvedRow, Steering
from vprobe.values import SCHWARTZ

import check_organism as planted_checks
from check_organism import FULL, QUICK, Bench, Row, Sizes

ROOT = Path(__file__).resolve().parent.parent
DOSES = np.array([-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6])
PERMUTED = 200


def slope(size: Sizes) -> tuple[str, bool]:
    return planted_checks.steered_slopes(size)


class Steered:
    """The planted model's items under vectors added at its site."""

    def __init__(self, size: Sizes) -> None:
        self.bench = Bench(size)
        kept = tuple(dict.fromkeys(self.bench.groups))[: max(16, size.queries // 4)]
        self.asked = tuple(p for p in self.bench.asked("v1") if p.group in kept)
        self.ids = tuple(p.item_id for p in self.asked)
        self.groups = tuple(p.group for p in self.asked)
        self.labels = np.array([self.bench.truth[item] for item in self.ids])

    def ratings(self, arms: Sequence[tuple[Steering, ...]]) -> np.ndarray:
        """Return the expected rating of every item under every arm."""
        found = responses.collect_arms(self.bench.backend, self.asked, arms)
        return np.stack([scores.rate(one, self.ids).expected for one in found])

    def add(self, vector: np.ndarray, value: str, dose: float) -> tuple[Steering, ...]:
        """Return the change that adds a vector at a dose."""
        if not dose:
            return ()
        return (Steering(operations.load("add"), self.bench.direction(vector, value), float(dose), "response"),)

    def slopes(self, vectors: np.ndarray, doses: np.ndarray) -> np.ndarray:
        """Return per vector and item the change of its rating per unit of dose."""
        arms = [self.add(v, "power", d) for v in vectors for d in doses]
        found = self.ratings(arms).reshape(len(vectors), len(doses), -1)
        return np.stack([effects.item_slopes(one, doses) for one in found])

    def matrix(self, vectors: np.ndarray) -> np.ndarray:
        """Return the effect of ten vectors on ten values, points per unit shown, away from the ends of the scale."""
        card, dose = self.bench.card, 0.3
        shown = card.gain * self.labels
        reach = np.abs(card.rating_gain * shown @ card.default) + card.rating_gain * dose * np.abs(shown).max(axis=1)
        straight = reach <= planted_checks.LINEAR
        moved = self.slopes(vectors, np.array([-dose, dose]))[:, straight]
        design = np.column_stack([shown[straight], np.ones(int(straight.sum()))])
        return np.linalg.lstsq(design, moved.T, rcond=None)[0][:10].T


def dose(size: Sizes) -> tuple[str, bool]:
    world = Steered(size)
    rho, anti = [], []
    for column, value in enumerate(SCHWARTZ):
        ratings = world.ratings([world.add(world.bench.card.u[column], value, d) for d in DOSES])
        found = effects.dose_response(ratings, DOSES, world.labels[:, column], world.groups, seed=0, keyed=0.5)
        rho.append(found.rho)
        anti.append(found.anti)
    text = f"Spearman {min(rho):.3f} to {max(rho):.3f} on {len(DOSES)} points; anti-steerable {max(anti):.1%} at most"
    return f"{text} (ten values, {found.n_items} items each)", min(rho) > 0.999 and max(anti) <= 0.05


def permuted(size: Sizes) -> tuple[str, bool]:
    world = Steered(size)
    draws = PERMUTED if size is FULL else 20
    drawn, x = planted_checks._sample(world.bench, 0)
    ids = tuple(item.id for item in drawn.benchmark.items)
    y, groups = drawn.benchmark.loadings(ids, SCHWARTZ), drawn.benchmark.groups(ids)
    mixed = controls.shuffle_labels(y, groups, draws=draws, seed=5)
    found = directions.fit(x, controls.stack(y, mixed), groups, method="partial", seed=0, block=10)
    anti = []
    for draw in range(1, draws + 1):
        column = draw % 10
        moved = world.slopes(found[draw * 10 + column][None], np.array([-0.6, 0.6]))[0]
        keyed = world.labels[:, column] != 0  # most items express few values
        anti.append(float((moved * np.sign(world.labels[:, column]) < 0)[keyed].mean()))
    mean = float(np.mean(anti))
    text = f"anti-steerable {mean:.1%} over {draws} permuted draws (single {min(anti):.0%} to {max(anti):.0%})"
    return text, 0.4 <= mean <= 0.6


def leakage(size: Sizes) -> tuple[str, bool]:
    world = Steered(size)
    exact = effects.selectivity(world.matrix(world.bench.card.u))
    fitted = effects.selectivity(world.matrix(_fitted(world, "partial")))
    text = (
        f"true U: {exact.mean():.2%} of target, worst value {exact.max():.2%}; estimated partial at n = 520: "
        f"{fitted.mean():.1%}, worst value {fitted.max():.1%}"
    )
    return text, exact.max() <= 0.02 and fitted.mean() <= 0.125


def _fitted(world: Steered, method: str, seed: int = 0) -> np.ndarray:
    drawn, x = planted_checks._sample(world.bench, seed)
    ids = tuple(item.id for item in drawn.benchmark.items)
    y, groups = drawn.benchmark.loadings(ids, SCHWARTZ), drawn.benchmark.groups(ids)
    return directions.fit(x, y, groups, method=method, seed=0)


def marginal(size: Sizes) -> tuple[str, bool]:
    world = Steered(size)
    found, planted_r = [], []
    for seed in range(size.refits):
        drawn, x = planted_checks._sample(world.bench, seed)
        ids = tuple(item.id for item in drawn.benchmark.items)
        y, groups = drawn.benchmark.loadings(ids, SCHWARTZ), drawn.benchmark.groups(ids)
        one = world.matrix(directions.fit(x, y, groups, method="covariance", seed=0))
        found.append(one / np.diagonal(one)[:, None])
        planted_r.append(np.corrcoef(stats.centre(drawn.loadings, groups).T))
    off = ~np.eye(10, dtype=bool)
    each = [stats.pearson(a[off], b[off]) for a, b in zip(found, planted_r, strict=True)]
    r = stats.pearson(np.mean(found, axis=0)[off], np.mean(planted_r, axis=0)[off])
    text = f"r = {r:.3f} over 90 pairs of values, {len(each)} draws of n = 520 averaged"
    return f"{text} (single draws {min(each):.2f} to {max(each):.2f})", r >= 0.95


def erased(size: Sizes) -> tuple[str, bool]:
    """Make erasers on many queries, and probe others afresh, as they were and erased, against shuffled labels."""
    bench, many, draws = Bench(QUICK), 832 if size is FULL else 208, 2 * size.arms
    x, y, groups = _read(bench, many + 104, seed=41)
    made_on = np.arange(len(x)) < many * 5
    own = tuple(g for g, t in zip(groups, made_on, strict=True) if t)
    held = tuple(g for g, t in zip(groups, made_on, strict=True) if not t)
    code = stats.fold_of(held, 5, seed=0)
    before, after, inside = [], [], 0
    for column in range(10):
        made = directions.eraser(x[made_on], y[made_on][:, [column]], own)
        label = y[~made_on][:, column]
        mixed = controls.shuffle_ratings(label, held, draws=draws, seed=column).T
        r = _probed(made.apply(x[~made_on]), np.column_stack([label, mixed]), held, code)
        low, high = np.quantile(r[1:], (0.025, 0.975))
        before.append(float(_probed(x[~made_on], label[:, None], held, code)[0]))
        after.append(float(r[0]))
        inside += bool(low <= r[0] <= high)
    text = f"held-out r of new probes {min(before):.2f} to {max(before):.2f} before, {min(after):+.3f} to "
    text += (
        f"{max(after):+.3f} after; {inside} of 10 values within the 95 % band of {draws} label shuffles; erasers made "
    )
    return f"{text}on {int(made_on.sum())} items, probes on {len(held)} others", inside >= 9


def _probed(x: np.ndarray, y: np.ndarray, groups: tuple[str, ...], code: np.ndarray) -> np.ndarray:
    """Return the held-out r of a probe per column of labels, whole queries held out."""
    scored = np.full(y.shape, np.nan)
    for fold in range(5):
        train = code != fold
        own = tuple(g for g, t in zip(groups, train, strict=True) if t)
        scored[~train] = x[~train] @ directions.fit(x[train], y[train], own, method="covariance", seed=0).T
    return stats.within_r(scored, y, groups)


def _read(bench: Bench, queries: int, seed: int) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    drawn = organism.draw(queries, seed=seed)
    tokens = [prompts.encode(bench.backend.tokenizer, p) for p in prompts.render(drawn.benchmark, template="response")]
    x = activations.read_all(bench.backend, tokens, (bench.card.site,), "response_mean")[:, 0].astype(np.float64)
    ids = tuple(item.id for item in drawn.benchmark.items)
    return x, drawn.benchmark.loadings(ids, SCHWARTZ), drawn.benchmark.groups(ids)


def projected(size: Sizes) -> tuple[str, bool]:
    """Take one planted direction out, and compare how much of the ratings' variance each value tells."""
    world = Steered(size)
    card = world.bench.card
    out = operations.load("project_out", Given(target=0.0))
    ways = [world.bench.direction(u, v) for u, v in zip(card.u, SCHWARTZ, strict=True)]
    arms = [(), *((Steering(out, way, 1.0, "response"),) for way in ways)]
    ratings = world.ratings(arms)
    told = effects.effect_matrix(ratings, world.labels, world.groups, kind="unique", seed=0, resamples=1).effect ** 2
    own, others = [], []
    shown = [v for v in range(10) if told[0, v] >= 0.02 * told[0].sum()]
    for value in shown:
        rest = np.arange(10) != value
        own.append(1 - told[value + 1, value] / told[0, value])
        others.append(abs(1 - told[value + 1, rest].sum() / told[0, rest].sum()))
    text = (
        f"{min(own):.1%} to {max(own):.1%} of the target's variance share removed, of the others' {max(others):.1%} at "
        f"most ({len(shown)} values with at least 2 % of the variance)"
    )
    return text, min(own) >= 0.9 and max(others) <= 0.1


def solved(size: Sizes) -> tuple[str, bool]:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        drawn = organism.draw(312 if size is FULL else 156, seed=31, reliability=1.0)  # label noise is not steering's
        (work / "items").mkdir()
        planted.write(work / "items" / "planted.json", drawn.records, drawn.reliability)
        config = RunConfig(
            model=str(organism.load()), benchmark=("planted",), data=str(work / "items"), out=str(work / "run"),
            sites=("resid_post:1",), draws=19, method=("partial",), map=False, device="cpu", steer_method="partial",
            steer_site="resid_post.1", steer_versions=("v1",), steer_positions="response", strengths=(-0.08, 0.08),
            steer_limit=0,
        )  # fmt: skip
        backend = Bench(QUICK).backend
        pipeline.extract(config, backend=backend)
        pipeline.probe(work / "run", config)
        misses, kept = [], []
        for value, change in (("benevolence", 0.5), ("power", -0.4), ("tradition", 0.3)):
            others = tuple(v for v in ("power", "security", "hedonism") if v != value)
            pipeline.steer_solve(work / "run", config, Wish(((value, change),), others, 1.0), backend=backend)
            rows = load_rows(work / "run", "solved", SolvedRow)
            misses += [r.miss for r in rows if r.role == "target"]
            kept += [abs(r.miss) for r in rows if r.role == "keep"]
    shown = ", ".join(f"{miss:+.3f}" for miss in misses)
    return (
        f"misses of three targets {shown} points on {rows[0].n_items} untouched items with labels "
        f"free of noise; values to keep moved {max(kept):.3f} at most",
        max(abs(m) for m in misses) <= 0.05,
    )


def tested(*files: str) -> Callable[[Sizes], tuple[str, bool]]:
    """Return a row that is ok when some test files pass."""

    def run(_: Sizes) -> tuple[str, bool]:
        paths = [ROOT / "tests" / file for file in files]
        if missing := [path.name for path in paths if not path.exists()]:
            return f"no {', '.join(missing)}", False
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, paths)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        return done.stdout.strip().splitlines()[-1], done.returncode == 0

    return run


def timed(size: Sizes) -> tuple[str, bool]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.json"
        command = [sys.executable, str(ROOT / "scripts" / "bench_steering.py"), "--json", str(out)]
        done = subprocess.run([*command, *([] if size is FULL else ["--quick"])], capture_output=True, check=False)
        rows = json.loads(out.read_text(encoding="utf-8"))
    return "; ".join(row["value"] for row in rows), done.returncode == 0


ROWS: tuple[tuple[str, str, Callable[[Sizes], tuple[str, bool]]], ...] = (
    ("slope", "slope / natural slope in [.95, 1.05]", slope),
    ("dose", "dose Spearman 1 on 7 points; anti-steerable <= 5 % for truth", dose),
    ("permuted labels", "anti-steerable 50 +- 10 % for permuted labels averaged over >= 200 draws", permuted),
    ("leakage", "leakage <= 2 % of target for the true U, <= 12.5 % for estimated partial vectors at n = 520", leakage),
    ("marginal leakage", "marginal leakage matches the planted value correlation (r >= .95)", marginal),
    ("LEACE", "LEACE to the null band", erased),
    ("project-out",
     "project-out removes >= 90 % of the target's behavioural variance share and <= 10 % of others'", projected),
    ("steer-to-score", "steer-to-score within .05 points on untouched items", solved),
    ("operations",
     "Every operation against an independent reference written in the test (one forward with manual residual edits), "
     "on Llama, GPT-2, GPT-NeoX and Gemma tiny models, all backends that are there",
     tested("test_steering_reference.py")),
    ("bugs of peers", "Every bug listed as reproduced in PEERS has a test with its name", tested("test_peers.py")),
    ("many doses in one pass",
     "A 10 values x 7 strengths x 100 items sweep against the same sweep run one arm at a time: ratio >= 3.5x on CPU, "
     "same log-probs to 1e-4, greedy tokens identical", timed),
)  # fmt: skip
"""Name, target, and how it is measured."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--quick", action="store_true", help="few draws and items")
    parser.add_argument("--only", default="", help="only rows whose name contains this")
    wanted = parser.parse_args()
    size, found, begun = QUICK if wanted.quick else FULL, [], time.monotonic()
    for name, target, run in ROWS:
        if wanted.only not in name:
            found.append(Row(name, target, "not run", False))
            continue
        start = time.process_time()
        try:
            value, ok = run(size)
        except Exception as error:  # a row that breaks is a row that is not ok, and the others still run
            value, ok = f"{type(error).__name__}: {error}", False
        found.append(Row(name, target, value, bool(ok)))
        print(f"{'ok ' if ok else 'NOT'} {name}: {value}  [{target}] {time.process_time() - start:.0f} s", flush=True)
    ran = [row for row in found if row.value != "not run"]
    print(f"{sum(row.ok for row in ran)} of {len(ran)} rows ok, {time.monotonic() - begun:.0f} s")
    if wanted.json:
        wanted.json.write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n", encoding="utf-8")
    judged = ran if wanted.quick or wanted.only else found
    return 0 if judged and all(row.ok for row in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
