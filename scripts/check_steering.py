"""Show that steering does what it says on the model with planted values: one row per figure, with its target.

Exits with 1 when a row is not ok; a row that was not run is not. `--quick` runs with few draws and items;
`--only PART;PART` runs the rows whose name contains one of them. One thread each.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: two threads on small models are far slower than one
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
from vprobe import (
    activations,
    controls,
    directions,
    effects,
    exports,
    organism,
    pipeline,
    prompts,
    responses,
    scores,
    stats,
)
from vprobe import steering as operations
from vprobe.benchmarks import planted
from vprobe.config import RunConfig
from vprobe.pipeline import Wish
from vprobe.steering import Given
from vprobe.store import load_rows
from vprobe.types import Site, SolvedRow, Steering
from vprobe.values import SCHWARTZ

import check_organism as planted_checks
import steering_audits as audits
import steering_cards
import steering_causal
from check_organism import FULL, QUICK, Bench, Sizes
from rows import NOT_RUN, Row, closed

ROOT = Path(__file__).resolve().parent.parent
DOSES = np.array([-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6])
PERMUTED = 200
SOLVED = 1200
"""Queries steer-to-score is tried on, half to choose doses. An effect of .5 points has a sampling SD of .75 points over
the root of the number of items, so two halves of 3,000 items differ by .019 (SD) and two of 155 by .085."""


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


@lru_cache(maxsize=1)
def _dosed(size: Sizes) -> tuple[list[effects.DoseResponse], int]:
    """Return the dose-response of each value's true direction, and its items."""
    world, out = Steered(size), []
    for column, value in enumerate(SCHWARTZ):
        ratings = world.ratings([world.add(world.bench.card.u[column], value, d) for d in DOSES])
        out.append(effects.dose_response(ratings, DOSES, world.labels[:, column], world.groups, seed=0, keyed=0.5))
    return out, out[-1].n_items


def dose(size: Sizes) -> tuple[str, bool]:
    found, n = _dosed(size)
    rho = [one.rho for one in found]
    text = f"Spearman {min(rho):.3f} to {max(rho):.3f} over ten values on {len(DOSES)} points, {n} items each"
    return text, min(rho) > 0.999


def against(size: Sizes) -> tuple[str, bool]:
    found, n = _dosed(size)
    anti = [one.anti for one in found]
    return f"{max(anti):.1%} at most, mean {np.mean(anti):.2%} (ten values, {n} items each)", max(anti) <= 0.05


def permuted(size: Sizes) -> tuple[str, bool]:
    world = Steered(size)
    draws = PERMUTED if size == FULL else 20
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
    return f"{exact.mean():.2%} of target, worst value {exact.max():.2%}", exact.max() <= 0.02


def estimated(size: Sizes) -> tuple[str, bool]:
    world = Steered(size)
    fitted = effects.selectivity(world.matrix(_fitted(world, "partial")))
    return f"{fitted.mean():.1%} of target, worst value {fitted.max():.1%}", fitted.mean() <= 0.125


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
    bench, many, draws = Bench(QUICK), 832 if size == FULL else 208, 2 * size.arms
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
    """Record 520 items, and solve for three changes on many more that the run never saw, half of them untouched."""
    more = SOLVED if size == FULL else 100
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        drawn = organism.draw(104 + more, seed=31)
        (work / "items").mkdir()
        planted.write(work / "items" / "planted.json", drawn.records, drawn.reliability)
        config = RunConfig(
            model=str(organism.load()), benchmark=("planted",), data=str(work / "items"), out=str(work / "run"),
            sites=("resid_post:1",), draws=19, method=("partial",), map=False, device="cpu", steer_method="partial",
            steer_site="resid_post.1", steer_versions=("v1",), steer_positions="response", strengths=(-0.1, 0.1),
            steer_limit=0,
        )  # fmt: skip
        backend, few = Bench(QUICK).backend, replace(config, limit=104)
        pipeline.extract(few, backend=backend)
        pipeline.probe(work / "run", few)
        misses, kept, seen = [], [], []
        for value, change in (("benevolence", 0.5), ("power", -0.4), ("tradition", 0.3)):
            others = tuple(v for v in ("power", "security", "hedonism") if v != value)
            pipeline.steer_solve(work / "run", config, Wish(((value, change),), others, 1.0), backend=backend)
            rows = load_rows(work / "run", "solved", SolvedRow)
            mine = next(r for r in rows if r.role == "target")
            misses.append(mine.miss)
            kept += [abs(r.miss) for r in rows if r.role == "keep"]
            seen.append(
                f"{value} {change:+g}: {mine.miss:+.3f} ({mine.low - change:+.3f} to {mine.high - change:+.3f})"
            )
    return (
        f"misses {', '.join(seen)} points on {rows[0].n_items} untouched items, doses chosen on {rows[0].n_tuned} "
        f"others; values to keep moved {max(kept):.3f} at most",
        max(abs(m) for m in misses) <= 0.05,
    )


def control_vector(size: Sizes) -> tuple[str, bool]:
    """Write the fitted vectors of one value for blocks 1 and 2, and look at every field with the `gguf` package."""
    import gguf

    world = Steered(size)
    found = _fitted(world, "partial")
    names = {1: "benevolence", 2: "power"}
    given = [
        replace(world.bench.direction(found[SCHWARTZ.index(value)], value), site=Site(layer), unit=20.0 + layer)
        for layer, value in names.items()
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = exports.write(Path(folder) / "v.gguf", given, strength=0.3, family="llama")
        file = gguf.GGUFReader(str(path))
        fields = [
            _field(file, "general.architecture") == "controlvector",
            _field(file, "controlvector.model_hint") == "llama",
            _field(file, "controlvector.layer_count") == len(given),
            [t.name for t in file.tensors] == [f"direction.{one.site.layer}" for one in given],
            all(t.tensor_type == gguf.GGMLQuantizationType.F32 for t in file.tensors),
            all(list(t.shape) == [len(one.vector)] for t, one in zip(file.tensors, given, strict=True)),
            all(
                np.array_equal(t.data, (0.3 * one.unit * one.vector.astype(np.float64)).astype(np.float32))
                for t, one in zip(file.tensors, given, strict=True)
            ),
        ]
        held = [np.array(t.data, dtype=np.float64) for t in file.tensors]
        again = exports.read(path)
        fields.append(all(np.allclose(a.vector, b.vector, atol=1e-6) and a.site == b.site
                          for a, b in zip(again, given, strict=True)))  # fmt: skip
    # llama.cpp adds direction.N to the output of block N, from 0: the same as steering resid_post.N with the file's own
    arms = []
    for vector, one in zip(held, given, strict=True):
        length = float(np.linalg.norm(vector))
        arms += [
            (Steering(operations.load("add"), one, 0.3 * one.unit, "response"),),
            (
                Steering(
                    operations.load("add"),
                    replace(one, vector=(vector / length).astype(np.float32)),
                    length,
                    "response",
                ),
            ),
        ]
    ratings = world.ratings([(), *arms])
    worst = max(float(np.abs(ratings[i] - ratings[i + 1]).max()) for i in (1, 3))
    moved = float(np.abs(ratings[1] - ratings[0]).max())
    fields.append(worst < 1e-3 < moved)
    text = f"{sum(fields)} of {len(fields)} checks hold; ratings under the file's vectors differ by {worst:.0e} from "
    return f"{text}those under the vectors written, which move them by up to {moved:.2f}", all(fields)


def _field(file: Any, name: str) -> Any:
    field = file.get_field(name)
    return None if field is None else field.contents()


def tested(*files: str) -> Callable[[Sizes], tuple[str, bool]]:
    """Return a row that is ok when some test files pass."""

    def run(_: Sizes) -> tuple[str, bool]:
        paths = [ROOT / "tests" / file for file in files]
        if missing := [path.name for path in paths if not path.exists()]:
            return f"no {', '.join(missing)}", False
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, paths)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        return done.stdout.strip().splitlines()[-1], done.returncode == 0

    return run


def timed(size: Sizes) -> tuple[str, bool]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.json"
        command = [sys.executable, str(ROOT / "scripts" / "bench_steering.py"), "--json", str(out)]
        done = subprocess.run([*command, *([] if size == FULL else ["--quick"])], capture_output=True, check=False)
        rows = json.loads(out.read_text(encoding="utf-8"))
    return "; ".join(row["value"] for row in rows), done.returncode == 0


Run = Callable[[Sizes], tuple[str, bool]]
ROWS: tuple[tuple[str, str, Run], ...] = (
    ("slope", "slope / natural slope in [.95, 1.05]", slope),
    ("dose", "dose Spearman 1 on 7 points", dose),
    ("anti-steerable", "anti-steerable <= 5 % for truth", against),
    ("permuted labels", "anti-steerable 50 +- 10 % for permuted labels averaged over >= 200 draws", permuted),
    ("leakage of truth", "leakage <= 2 % of target for the true U", leakage),
    ("leakage of estimates", "leakage <= 12.5 % for estimated partial vectors at n = 520", estimated),
    ("marginal leakage", "marginal leakage matches the planted value correlation (r >= .95)", marginal),
    ("LEACE", "LEACE to the null band", erased),
    ("project-out",
     "project-out removes >= 90 % of the target's behavioural variance share and <= 10 % of others'", projected),
    ("interchange", "interchange: predicted delta = u-difference (r, slope)", steering_causal.interchange),
    ("ablation ladder",
     "ablation beyond the null arms' 95th percentile takes values past rung 5, and not in W4 (decodable, not causal)",
     steering_causal.climbed),
    ("steer-to-score", "steer-to-score within .05 points on untouched items", solved),
    ("null arms",
     "Null arms (norm-matched, same site and tokens, >= 20 draws): isotropic, covariance-matched, label-permuted "
     "through the whole pipeline, another value's vector, acquiescence direction", audits.null_arms),
    ("prompt baseline", "prompt baseline with the same value always in the table", audits.prompt_baseline),
    ("option remap", "option remap (does it follow the option's index or its meaning)", audits.option_remap),
    ("reverse-keyed items", "reverse-keyed items (sign must flip)", audits.reversed_items),
    ("compliance channel", "compliance channel (is the prompted vector a generic instruction-following direction)",
     audits.compliance),
    ("operations",
     "Every operation against an independent reference written in the test (one forward with manual residual edits), "
     "on Llama, GPT-2, GPT-NeoX and Gemma tiny models, all backends that are there",
     tested("test_steering_reference.py", "test_steering_reference_engines.py")),
    ("bugs of peers", "Every bug listed as reproduced in PEERS has a test with its name", tested("test_peers.py")),
    ("GGUF", "GGUF file loads in the `gguf` reader with llama.cpp's layer convention, checked field by field",
     control_vector),
    ("criterion 25", "Criterion 25 of SCIENCE as far as small models allow, with what they cannot show said",
     steering_cards.criterion_25),
    ("tinytalk",
     "On `tinytalk-3m`: a happy/sad and at least one value direction steered with full card; honest result",
     steering_cards.tinytalk),
    ("many doses in one pass",
     "A 10 values x 7 strengths x 100 items sweep against the same sweep run one arm at a time: ratio >= 3.5x on CPU, "
     "same log-probs to 1e-4, greedy tokens identical", timed),
)  # fmt: skip
"""Name, target, and how it is measured."""
ALONE = "many doses in one pass"
"""The row that is a timing runs when nothing else does."""


def measured(name: str, size: Sizes) -> tuple[str, bool, float]:
    """Run one row, and say what it took: user seconds, with those of programs it ran."""
    run = next(run for known, _, run in ROWS if known == name)
    size = FULL if size == FULL else QUICK  # a copy came from the other process, and rows ask which of the two it is
    before = _seconds()
    try:
        value, ok = run(size)
    except Exception as error:  # a row that breaks is a row that is not ok, and the others still run
        value, ok = f"{type(error).__name__}: {error}", False
    return value, bool(ok), _seconds() - before


def _seconds() -> float:
    return sum(resource.getrusage(who).ru_utime for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--quick", action="store_true", help="few draws and items")
    parser.add_argument("--only", default="", help="only rows whose name contains this; several with ;")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    wanted = parser.parse_args()
    size, begun, found = QUICK if wanted.quick else FULL, time.monotonic(), {}
    names = [name for name, _, _ in ROWS if any(part.strip() in name for part in wanted.only.split(";"))]
    with ProcessPoolExecutor(wanted.jobs, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(measured, name, size): name for name in names if name != ALONE}
        for one in as_completed(waiting):
            found[waiting[one]] = _told(waiting[one], *one.result())
    if ALONE in names:
        found[ALONE] = _told(ALONE, *measured(ALONE, size))
    rows = [found.get(name, Row(name, target, NOT_RUN, False)) for name, target, _ in ROWS]
    more = f"; {time.monotonic() - begun:.0f} s"
    return closed(rows, wanted.json, some=bool(wanted.quick or wanted.only), more=more)


def _told(name: str, value: str, ok: bool, took: float) -> Row:
    row = Row(name, next(target for known, target, _ in ROWS if known == name), value, ok)
    print(f"{'ok ' if ok else 'NOT'} {name}: {value}  [{row.target}] {took:.0f} s of user time", flush=True)
    return row


if __name__ == "__main__":
    sys.exit(main())
