"""Show what vprobe recovers of the organism's planted values, and that it refuses what is false in nine failure worlds.

One row per figure, with its target; exits with 1 when a row is not ok. A row that was not run is not ok. `--quick`
runs most rows with few seeds and few draws and judges those alone; `--only PART` runs the rows whose name contains
PART. One thread each.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: two threads on small models are far slower than one
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Large arrays are kept for the next one instead of going back to the system, page by page: an eighth of all time.
os.environ |= {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**32)}

import numpy as np
from vprobe import (
    activations,
    backends,
    benchmarks,
    controls,
    directions,
    organism,
    pipeline,
    prompts,
    responses,
    scores,
    stats,
    steering,
    store,
)
from vprobe.benchmarks import planted
from vprobe.config import RunConfig
from vprobe.pipeline import _truth
from vprobe.types import ClaimRow, Direction, Prompt, Steering
from vprobe.values import SCHWARTZ

from rows import NOT_RUN, Row, closed

ALPHA, DRAWS = 0.001, 2000
LINEAR = 1.25
"""Rating points from the middle of the scale up to which its ends bend nothing."""


@dataclass(frozen=True)
class Sizes:
    """How much is run."""

    seeds: int
    queries: int
    personas: int
    persona_queries: int
    redraws: int
    arms: int
    refits: int
    population: int


FULL = Sizes(seeds=20, queries=104, personas=48, persona_queries=24, redraws=200, arms=100, refits=20, population=500)
QUICK = Sizes(seeds=1, queries=24, personas=40, persona_queries=12, redraws=40, arms=20, refits=8, population=120)


class Bench:
    """The organism with what several rows need, each made once."""

    def __init__(self, size: Sizes) -> None:
        self.size = size
        self.backend = backends.load(str(organism.load()), device="cpu")
        self.card = organism.read_card(organism.load())
        self.items = benchmarks.load("planted", limit=size.queries)
        self.truth = planted.truths()
        self.loadings = np.array([self.truth[item.id] for item in self.items.items])
        self.groups = tuple(item.group for item in self.items.items)

    def rated(self, asked: tuple[Prompt, ...], ids: tuple[str, ...], change: tuple[Steering, ...] = ()) -> np.ndarray:
        """Return the expected rating of each item, its versions averaged."""
        answered = responses.collect(self.backend, asked, steering=change)
        return scores.rate(answered, ids).expected

    def asked(self, *versions: str) -> tuple[Prompt, ...]:
        """Return the items' prompts in some versions."""
        return tuple(prompt for name in versions for prompt in prompts.render(self.items, template=name))

    def direction(self, vector: np.ndarray, value: str) -> Direction:
        """Return a vector as a direction at the planted site."""
        return Direction(vector.astype(np.float32), self.card.site, value, "planted", "write")


# --- recovery --------------------------------------------------------------------------------------------------------


def rating(size: Sizes) -> tuple[str, bool]:
    bench = Bench(size)
    ids = tuple(item.id for item in bench.items.items)
    found = bench.rated(bench.asked("v1", "v1_reversed"), ids)
    oracle = bench.card.expected_rating(bench.card.default, bench.loadings)
    r = stats.pearson(found, oracle)
    return (
        f"r = {r:.4f}, mean absolute difference {np.abs(found - oracle).mean():.3f} points, n = {len(ids)}",
        r >= 0.97,
    )


def steered_slopes(size: Sizes) -> tuple[str, bool]:
    bench = Bench(size)
    kept = tuple(dict.fromkeys(bench.groups))[: max(12, size.queries // 4)]
    asked = tuple(p for p in bench.asked("v1", "v1_reversed") if p.group in kept)
    ids = tuple(dict.fromkeys(p.item_id for p in asked))
    shown = bench.card.gain * np.array([bench.truth[item] for item in ids])
    natural = _natural(bench, asked, ids, shown)
    ratios, off = [], []
    for column, value in enumerate(SCHWARTZ):
        way = bench.direction(bench.card.u[column], value)
        low, high = (
            bench.rated(asked, ids, (Steering(steering.load("add"), way, dose, "all"),)) for dose in (-0.5, 0.5)
        )
        base = bench.card.rating_gain * shown @ bench.card.default
        straight = np.abs(base) + bench.card.rating_gain * np.abs(shown[:, column]) / 2 <= LINEAR
        design = np.column_stack([shown[straight], np.ones(int(straight.sum()))])
        slopes = np.linalg.lstsq(design, (high - low)[straight], rcond=None)[0][:10]
        ratios.append(slopes[column] / natural)
        off.append(np.abs(np.delete(slopes, column)).mean() / slopes[column])
    worst = max(ratios, key=lambda x: abs(x - 1))
    value = (
        f"slope / natural slope {min(ratios):.3f} to {max(ratios):.3f} over ten values; off-target mean "
        f"{np.mean(off):.2%}, worst value {max(off):.2%}"
    )
    return value, 0.95 <= worst <= 1.05 and max(off) <= 0.02


def _natural(bench: Bench, asked: tuple[Prompt, ...], ids: tuple[str, ...], shown: np.ndarray) -> float:
    """Return rating points per unit of profile times unit shown, over personas, away from the ends of the scale."""
    x, y = [], []
    for one in bench.card.speakers[: max(6, bench.size.personas // 6)]:
        rated = bench.rated(tuple(prompts.with_system(p, one.text, name=one.id) for p in asked), ids)
        product = shown @ np.asarray(one.profile)
        straight = np.abs(product) * bench.card.rating_gain <= LINEAR
        x.append(product[straight])
        y.append(rated[straight])
    return float(np.polyfit(np.concatenate(x), np.concatenate(y), 1)[0])


def _sample(bench: Bench, seed: int) -> tuple[organism.Drawn, np.ndarray]:
    """Draw 520 items and read them at the site."""
    drawn = organism.draw(104, seed=1000 + seed)
    tokens = [prompts.encode(bench.backend.tokenizer, p) for p in prompts.render(drawn.benchmark, template="response")]
    x = activations.read_all(bench.backend, tokens, (bench.card.site,), "response_mean")
    return drawn, x[:, 0].astype(np.float64)


def recovered(size: Sizes) -> tuple[str, bool]:
    bench = Bench(size)
    cosines, theory, chosen = [], [], []
    for seed in range(size.refits):
        drawn, x = _sample(bench, seed)
        ids = tuple(item.id for item in drawn.benchmark.items)
        y, groups = drawn.benchmark.loadings(ids, SCHWARTZ), drawn.benchmark.groups(ids)
        found = directions.fit(x, y, groups, method="partial", seed=seed) @ bench.card.u.T
        cosines.append(np.diag(found))
        theory.append(_truth.expected_cosines(x, y, drawn.loadings, groups))
        off = np.abs(found - np.diag(np.diag(found))).sum(axis=1) / 9
        chosen.append(np.diag(found) / off)
    cosine, expected, selectivity = np.mean(cosines), np.mean(theory), np.median(chosen)
    least = float(min(np.mean(cosines, axis=0) - np.mean(theory, axis=0)))
    text = (
        f"cosine {cosine:.3f}, theory {expected:.3f} (least value {least:+.3f}); selectivity {selectivity:.1f}; "
        f"{size.refits} draws of n = 520"
    )
    return text, bool(least >= -0.02 and selectivity >= 8)


def marginal(size: Sizes) -> tuple[str, bool]:
    bench, spill, true, words = Bench(size), [], [], set()
    for seed in range(size.refits):
        drawn, x = _sample(bench, seed)
        ids = tuple(item.id for item in drawn.benchmark.items)
        y, groups = drawn.benchmark.loadings(ids, SCHWARTZ), drawn.benchmark.groups(ids)
        spill.append(directions.fit(x, y, groups, method="covariance", seed=seed) @ bench.card.u.T)
        true.append(np.corrcoef(stats.centre(drawn.loadings, groups).T))
        acts = _acts(bench, x, ids)
        made = directions.fit_all(acts, drawn.benchmark, ids, method="covariance", values=SCHWARTZ, seed=0)
        words |= {one.effect for one in made}
    upper = ~np.eye(10, dtype=bool)
    r = stats.pearson(np.mean(spill, axis=0)[upper], np.mean(true, axis=0)[upper])
    return f"labelled {', '.join(sorted(words))}; r of spillover with label correlations {r:.3f}", words == {
        "marginal"
    } and r >= 0.95


def _acts(bench: Bench, x: np.ndarray, ids: tuple[str, ...]):
    from vprobe.types import Activations

    return Activations(x[:, None].astype(np.float32), ids, (bench.card.site,), "response_mean", "")


# --- agreement -------------------------------------------------------------------------------------------------------


def personas(size: Sizes) -> tuple[str, bool]:
    with tempfile.TemporaryDirectory() as work:
        config = RunConfig(
            model=str(organism.load()), benchmark=("planted",), out=work, sites=("resid_post:1",), method=("partial",),
            draws=19, map=False, versions=("v1",), steer_method="partial", steer_site="resid_post.1",
            steer_versions=("v1",), personas=size.personas, persona_limit=size.persona_queries, device="cpu",
        )  # fmt: skip
        backend = backends.load(config.model, device="cpu")
        pipeline.extract(config, backend=backend)
        pipeline.probe(Path(work), config)
        pipeline.personas(Path(work), config, backend=backend)
        from vprobe.types import Agreement

        row = [r for r in store.load_rows(Path(work), "agreement", Agreement) if r.level == "condition"][-1]
    text = (
        f"mean r over ten values {row.estimate:.3f} ({row.low:.3f} to {row.high:.3f}), {row.n_scored} conditions, "
        f"p = {row.p:.4f}"
    )
    return text, row.estimate >= 0.95 and row.n_scored >= 40


def coverage(size: Sizes) -> tuple[str, bool]:
    """Redraw queries, with replacement, from a large drawn population, and label noise; do intervals hold the truth?"""
    bench = Bench(size)
    n_queries = size.population
    drawn = organism.draw(n_queries, seed=77, reliability=1.0)
    asked = prompts.render(drawn.benchmark, template="v1")
    ids = tuple(item.id for item in drawn.benchmark.items)
    ratings = bench.rated(asked, ids).reshape(n_queries, 5)
    truth = drawn.benchmark.loadings(ids, SCHWARTZ).reshape(n_queries, 5, 10)
    noise = (truth - truth.mean(axis=1, keepdims=True)).std(axis=(0, 1)) * np.sqrt(5 / 4) / 2
    rng, hits, tried = np.random.default_rng(5), np.zeros(2), 0
    population = np.mean([_pair(truth + rng.standard_normal(truth.shape) * noise, ratings) for _ in range(40)], axis=0)
    for _ in range(size.redraws):
        chosen = rng.integers(n_queries, size=104)
        y = truth[chosen] + rng.standard_normal((104, 5, 10)) * noise
        groups = np.repeat(np.arange(104), 5)
        sums = stats.within(y.reshape(-1, 10), ratings[chosen].reshape(-1, 1), groups)
        column = int(rng.integers(10))
        for kind, statistic in enumerate((stats.correlation_of, stats.slope_of)):
            ends = stats.interval(sums.column(column), statistic, seed=int(rng.integers(2**31)))
            hits[kind] += ends.low <= population[kind, column] <= ends.high
        tried += 1
    share = hits / tried
    text = f"within-query r: {share[0]:.3f}; slope: {share[1]:.3f}; {tried} redraws of 104 queries"
    return text, bool(((share >= 0.90) & (share <= 0.98)).all()) and tried >= min(200, size.redraws)


def _pair(y: np.ndarray, ratings: np.ndarray) -> np.ndarray:
    groups = np.repeat(np.arange(len(y)), y.shape[1])
    totals = stats.within(y.reshape(-1, y.shape[2]), ratings.reshape(-1, 1), groups).totals
    return np.stack([stats.correlation_of(totals), stats.slope_of(totals)])


# --- null arms -------------------------------------------------------------------------------------------------------


def arms(size: Sizes) -> tuple[str, bool]:
    """Steer with vectors of permuted labels for each of the ten values; z is of each draw's mean over the values."""
    bench, dose = Bench(size), 0.8
    drawn, x = _sample(bench, 0)
    ids = tuple(item.id for item in drawn.benchmark.items)
    y, groups = drawn.benchmark.loadings(ids, SCHWARTZ), drawn.benchmark.groups(ids)
    mixed = controls.shuffle_labels(y, groups, draws=size.arms, seed=3)
    found = directions.fit(x, controls.stack(y, mixed), groups, method="partial", seed=0, block=10)
    kept = tuple(dict.fromkeys(bench.groups))[:8]
    asked = tuple(p for p in bench.asked("v1") if p.group in kept)
    labels = np.array([bench.truth[p.item_id] for p in asked])
    inside = tuple(p.group for p in asked)
    add = steering.load("add")
    changes = [
        (Steering(add, bench.direction(v, SCHWARTZ[i % 10]), sign * dose, "response"),)
        for sign in (1, -1)
        for i, v in enumerate(found)
    ]
    answered = responses.collect_arms(bench.backend, asked, changes)
    rated = np.stack([scores.rate(one, tuple(p.item_id for p in asked)).expected for one in answered])
    up, down = rated.reshape(2, -1, 10, len(asked))
    moved = (up - down) / 2  # any vector, either way, flattens a profile a little: that is no effect of its label
    effects = np.array(
        [[stats.slope_of(stats.within(labels[:, [v]], one[v][:, None], inside).totals)[0] for v in range(10)]
         for one in moved]
    )  # fmt: skip
    true, null = effects[0], effects[1:]
    pooled = (null / null.std(axis=0, ddof=1)).mean(axis=1)
    z = pooled.mean() / (pooled.std(ddof=1) / np.sqrt(len(pooled)))
    each = null.mean(axis=0) / (null.std(axis=0, ddof=1) / np.sqrt(len(null)))
    above = np.quantile(null, 0.99, axis=0)
    text = (
        f"pooled over ten values z = {z:+.2f} (values {each.min():+.2f} to {each.max():+.2f}); the true effect is "
        f"beyond the 99th percentile for {(true > above).sum()} of 10 values, {(true / above).min():.2f} to "
        f"{(true / above).max():.2f} times it; {size.arms} draws each"
    )
    return text, bool(abs(z) <= 3 and np.abs(each).max() <= 3 and (true > above).all())


# --- worlds ----------------------------------------------------------------------------------------------------------

NEEDED = {"W1": ("decodable",), "W2": ("decodable",), "W3": ("decodable", "causal"), "W4": ("decodable", "causal"),
          "W5": ("decodable",), "W6": ("decodable", "beyond text"), "W7": ("circle",), "W8": ("unique",),
          "W9": ("dimensions",)}  # fmt: skip
"""Claims decided in each world; in the good world all that must stand."""
STEERED = (16, 8)
"""Queries rated at every dose: more where the claim must stand, as a refusal needs no power."""
GOOD = ("decodable", "beyond text", "unique", "dimensions", "causal")


def studied(name: str, seed: int) -> tuple[bool, str]:
    """Run one study of a world and say whether vprobe answered rightly, and how it put it."""
    world = organism.find_world(name)
    kinds = NEEDED.get(world.name, GOOD)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        drawn = organism.draw(104, seed=2000 + seed, labels=world.labels, codes=world.codes, alone=world.alone)
        (work / "items").mkdir()
        planted.write(work / "items" / "planted.json", drawn.records, drawn.reliability)
        sites = dict.fromkeys((world.site.replace(".", ":"), "resid_post:1"))
        value = SCHWARTZ[seed % 10]
        config = RunConfig(
            model=str(organism.load(world.name)), benchmark=("planted",), data=str(work / "items"), device="cpu",
            out=str(work / "run"), sites=tuple(sites), method=(world.method,), draws=19, map=False, seed=seed,
            steer_method=world.method, steer_site=world.site, steer_value=(value,), steer_versions=("v1",),
            strengths=(-0.03, 0.03), steer_limit=STEERED[bool(world.refused)], null_draws=20,
            null_arms=("shuffled",), steer_positions="response", alpha=ALPHA, claim_draws=DRAWS,
        )  # fmt: skip
        backend = backends.load(config.model, device="cpu")
        pipeline.extract(config, backend=backend)
        pipeline.probe(work / "run", config)
        if "causal" in kinds:
            pipeline.steer_sweep(work / "run", config, backend=backend)
        pipeline.claims(work / "run", config, only=kinds)
        rows = store.load_rows(work / "run", "claims", ClaimRow)
    return judged(world, rows)


def judged(world: organism.World, rows: tuple[ClaimRow, ...]) -> tuple[bool, str]:
    """Compare the claims with what is so in a world."""
    if not world.refused:
        no = [f"{row.claim} {row.value}: {row.reason}" for row in rows if not row.made]
        return not no, "; ".join(no) or "all stand"
    mine = [row for row in rows if row.claim == world.refused]
    if world.name == "W8":
        mine = [row for row in mine if row.value in ("conformity", "tradition")]
    right = [not row.made and world.reason in row.reason for row in mine]
    if world.name in ("W3", "W4", "W6"):  # the value is decodable there, which must be said too
        decoded = [row.made for row in rows if row.claim == "decodable"]
        right.append(all(decoded))
    wrong = [f"{row.value}: {row.reason or 'stands'}" for row in mine if row.made or world.reason not in row.reason]
    return bool(mine) and all(right), "; ".join(wrong) or (mine[0].reason if mine else "no such claim")


def world_value(found: list[tuple[bool, str]]) -> tuple[str, bool]:
    """Sum up one world's studies; the first wrong answer is shown, else the first answer."""
    right = sum(ok for ok, _ in found)
    first = next((text for ok, text in found if not ok), found[0][1])
    return f"{right} of {len(found)}: {first[:300]}", right == len(found)


# --- running ---------------------------------------------------------------------------------------------------------

RECOVERY: tuple[tuple[str, str, Callable[[Sizes], tuple[str, bool]], bool], ...] = (
    ("rating", "E[rating] vs planted truth r >= .97", rating, True),
    ("steering slope",
     "steering along the true direction: slope / natural slope in [.95, 1.05], off-target <= 2 % of target",
     steered_slopes, True),
    ("partial direction", "cosine >= theory - .02 at n = 520, selectivity >= 8", recovered, True),
    ("marginal direction", "the marginal direction is labelled so", marginal, True),
    ("personas", "Probe-vs-behaviour agreement across >= 40 persona conditions r >= .95", personas, False),
    ("coverage", "the pipeline's 95 % intervals cover the truth in .90-.98 of >= 200 redraws", coverage, False),
    ("permuted arms",
     "Permuted-label steering arms: mean effect pooled |z| <= 3; true effect beyond the 99th percentile of 100 draws",
     arms, True),
)  # fmt: skip
"""Name, target, how it is measured, and whether the quick run holds it."""
Answer = Callable[[], tuple[str, bool]]


def submitted(
    pool: ProcessPoolExecutor, size: Sizes, wanted: argparse.Namespace
) -> list[tuple[str, str, Answer | None]]:
    """Hand everything out at once; each row comes with a way to wait for its answer, None when it is not run."""
    out: list[tuple[str, str, Answer | None]] = []
    for name, target, run, quick in RECOVERY:
        go = wanted.only in name and (quick or not wanted.quick)
        out.append((name, target, pool.submit(run, size).result if go else None))
    for world in organism.WORLDS:
        name = "good world" if world.name == "good" else world.name
        target = f"20 of 20 seeds answered correctly: {world.what}"
        target = "the good world never refused (20 of 20)" if world.name == "good" else target
        jobs = [pool.submit(studied, world.name, seed) for seed in range(size.seeds)] if wanted.only in name else []
        out.append((name, target, (lambda jobs=jobs: world_value([job.result() for job in jobs])) if jobs else None))
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--quick", action="store_true", help="few seeds and draws, about three minutes")
    parser.add_argument("--only", default="", help="only rows whose name contains this")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    wanted = parser.parse_args()
    size, found, begun = QUICK if wanted.quick else FULL, [], time.monotonic()
    with ProcessPoolExecutor(wanted.jobs, mp_context=get_context("spawn")) as pool:
        for name, target, answer in submitted(pool, size, wanted):
            if answer is None:
                found.append(Row(name, target, NOT_RUN, False))
                continue
            try:
                value, ok = answer()
            except Exception as error:  # a row that breaks is a row that is not ok, and the others still run
                value, ok = f"{type(error).__name__}: {error}", False
            found.append(Row(name, target, value, bool(ok)))
            print(
                f"{'ok ' if ok else 'NOT'} {name}: {value}  [{target}] at {time.monotonic() - begun:.0f} s", flush=True
            )
    more = f"; {time.monotonic() - begun:.0f} s"
    return closed(found, wanted.json, some=bool(wanted.quick or wanted.only), more=more)


if __name__ == "__main__":
    sys.exit(main())
