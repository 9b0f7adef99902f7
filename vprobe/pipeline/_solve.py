"""Steer to score: doses for a wanted change, found on some queries and verified on others."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import damage, effects, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError, RefusedError
from vprobe.pipeline._common import Stage, Tell, info, load_backend, load_benchmarks, quiet
from vprobe.pipeline._costs import drift, texts_of
from vprobe.pipeline._import import about
from vprobe.pipeline._lookup import as_probed
from vprobe.pipeline._push import Push, spread_of
from vprobe.pipeline._replaced import named_by, replaced
from vprobe.pipeline._resumed import at_work
from vprobe.pipeline._study import study
from vprobe.pipeline._trial import Tried, rated, tried
from vprobe.pipeline._wish import TOLERANCE, Point, Search, Wish
from vprobe.types import SolvedRow, Steering, Tokens
from vprobe.values import SCHWARTZ

Doses = Float[np.ndarray, " value"]
NEAR = 0.05
"""Points either way that the interval of a miss should have; what that takes is said."""
FIRST_QUERIES = 60
"""Queries on which the first effects are measured: they only say where to begin."""


@dataclass(frozen=True)
class _Bench:
    """Everything that measures a change: the model, the vectors, and the items of one side."""

    config: RunConfig
    backend: Backend
    pushes: Mapping[str, Push]
    spread: Float[np.ndarray, " value"]
    items: Tried
    texts: tuple[Tokens, ...]
    tell: Callable[[int, int], None]

    def steered(self, doses: Doses) -> tuple[Steering, ...]:
        """Return the changes that put in every value's vector at its dose."""
        pairs = zip(self.pushes.values(), doses, strict=True)
        return tuple(change for push, dose in pairs for change in push.change(float(dose)))

    @cached_property
    def _base(self) -> np.ndarray:
        return rated(self.config, self.items, self.backend, [()], self.tell)[0].expected

    def moved(self, arms: Sequence[Doses]) -> effects.Matrix:
        """Return what each arm changes in every value."""
        some = [self.steered(doses) for doses in arms]
        ratings = np.stack([one.expected for one in rated(self.config, self.items, self.backend, some, self.tell)])
        labels, groups = self.items.labels_of(tuple(self.pushes)), self.items.groups
        return effects.effect_matrix(
            ratings - self._base, labels, groups, kind="unique", seed=self.config.seed, spread=self.spread
        )

    def first(self, most: float) -> Float[np.ndarray, "value measured"]:
        """Return the change of each value per unit of dose of each vector, from a quarter of the largest dose."""
        few = frozenset(list(dict.fromkeys(self.items.groups))[:FIRST_QUERIES])
        size, step = len(self.pushes), most / 4
        arms = np.eye(size) * step
        both = dataclasses.replace(self, items=self.items.only(few)).moved([*arms, *-arms]).effect
        return (both[:size] - both[size:]) / (2 * step)

    def kl(self, doses: Doses) -> float:
        """Return what the doses do to the next token of neutral texts, nats per token."""
        some = self.steered(doses)
        return damage.mean_kl(drift(self.backend, self.texts, some, self.config)) if some else 0.0


def steer_solve(
    folder: Path, config: RunConfig, wish: Wish, *, backend: Backend | None = None, tell: Tell = quiet
) -> Stage:
    """Find doses of all values' vectors for a wanted change, and verify them on queries nothing was chosen on.

    Effects are measured on half of the held-out queries, turned round by bounded least squares with least leakage,
    corrected by what every try changes there until the targets are reached, and measured once on the other half. They
    count in the SD of each label over the whole benchmark, so that both halves use one unit. Queries of the run's own
    benchmark that the run never recorded are held out too.

    Args:
        folder: A run with activations and directions of all values.
        config: Model, strengths (their largest is the most that is tried) and their unit, operation, versions, method,
            site, seed, and a file whose vector takes the place of its value's.
        wish: What is to change.
        backend: A model already loaded.
        tell: Called with (stage, done, total).

    Raises:
        RefusedError: Too few held-out queries, or a target out of reach of the doses, the scale or the budget.
        VprobeError: A run of another model, an unknown value or site, or an operation that acts one way only.
    """
    known = study(folder, as_probed(folder, config))
    values = tuple(value for value in known.keyed.values if value in SCHWARTZ)
    if missing := [v for v in (*dict(wish.targets), *wish.keep) if v not in values]:
        raise InputError(f"{missing[0]} was not probed in this run", where="steer solve", expected=", ".join(values))
    name = named_by(folder, config, values, where="--vector")
    source = about(config, name, store.load_info(folder).model)
    found = load_benchmarks(config)
    backend = backend or load_backend(config, of=folder)
    items = tried(config, known, found, backend, unrecorded=True)
    tune, test = _halves(items)
    stage, table = ("imported_solve", "imported_solved") if name else ("solve", "solved")
    with at_work(folder, stage, backend, config) as backend:
        method = config.steer_method.replace("-", "_")
        pushes = _both_ways(replaced(folder, config, known, values, name, method, items, backend))
        texts, left = texts_of(backend, config)
        bench = _Bench(config, backend, pushes, spread_of(found, values), tune, texts, partial(tell, "steer solve"))
        best = _search(bench, wish)
        check = dataclasses.replace(bench, items=test).moved([best.doses])
        rows = _rows(wish, bench, best, check, bench.kl(best.doses))
        counts = (*items.asked.counts, *left)
        store.save_rows(folder, table, rows, SolvedRow)
        store.save_info(folder, info("solve", config, backend.info, found, counts, source), stage)
    return Stage("steer solve", folder, (*_facts(wish, rows), *source), counts)


def _both_ways(pushes: dict[str, Push]) -> dict[str, Push]:
    """Refuse operations whose doses have no two sides: they take away or set, and cannot push a value up or down."""
    for push in pushes.values():
        if push.how.operation.measure == "share":
            raise InputError(
                f"{push.how.operation.name} has doses from none to all of one change", where="--operation",
                expected="an operation that goes either way: add, norm-preserving-add or rotate",
            )  # fmt: skip
    return pushes


def _halves(items: Tried) -> tuple[Tried, Tried]:
    """Divide the items by query: every second one is left untouched."""
    queries = list(dict.fromkeys(items.groups))
    if len(queries) < 6:
        raise RefusedError(
            f"{len(queries)} held-out queries", where="steer solve", expected="at least 6: half of them verify",
            do="set --limit 0, or use a larger benchmark",
        )  # fmt: skip
    return items.only(frozenset(queries[0::2])), items.only(frozenset(queries[1::2]))


def _search(bench: _Bench, wish: Wish) -> Point:
    most = max((abs(s) for s in bench.config.strengths), default=0.0)
    if not most > 0:
        raise InputError("no dose beside 0", where="--strengths", expected="the largest dose to try")
    search = Search(tuple(bench.pushes), wish, most, lambda doses: bench.moved([doses]).effect[0], bench.kl)
    first = bench.first(most)
    lost = [value for value, effect in zip(bench.pushes, first.T, strict=True) if not np.isfinite(effect).all()]
    if lost:
        raise RefusedError(
            f"no effect on {', '.join(lost)} is known: labels do not vary within the first {FIRST_QUERIES} queries, or "
            "ratings are missing", where="steer solve", expected="items that tell all values apart",
            do="raise --limit (0 is all queries), or use a benchmark with labels of every value on each item",
        )  # fmt: skip
    return search.run(first)


def _rows(wish: Wish, bench: _Bench, best: Point, reached: effects.Matrix, kl: float) -> list[SolvedRow]:
    targets, out = dict(wish.targets), []
    for i, (value, push) in enumerate(bench.pushes.items()):
        role = wish.role(value)
        asked = targets.get(value, 0.0 if role == "keep" else math.nan)
        now, low, high = (float(x[0, i]) for x in (reached.effect, reached.low, reached.high))
        needed = math.ceil(reached.n_items * ((high - low) / 2 / NEAR) ** 2) if math.isfinite(high - low) else math.nan
        out.append(
            SolvedRow(
                value, role, float(best.doses[i]), str(push.vector.site), asked, float(best.reached[i]), now, low, high,
                now - asked, kl, reached.n_items, len(bench.items.item_ids), float(needed), float(bench.spread[i]),
                best.rounds, push.how.operation.name, push.name,
            )
        )  # fmt: skip
    return out


def _facts(wish: Wish, rows: Sequence[SolvedRow]) -> tuple[tuple[str, object], ...]:
    mine = [row for row in rows if row.role == "target"]
    missed = [
        f"{r.value} {r.miss:+z.3f} "
        + ("(no interval: too few queries)" if math.isnan(r.low)
           else f"({r.low - r.wanted:+z.3f} to {r.high - r.wanted:+z.3f})")
        for r in mine
    ]  # fmt: skip
    return (
        ("targets", ", ".join(f"{value} {change:+g}" for value, change in wish.targets)),
        ("rounds", f"{rows[0].rounds}, until within {TOLERANCE:g} points on the items doses were chosen on"),
        ("KL on neutral texts", round(rows[0].kl, 4)),
        ("misses on untouched items", ", ".join(missed)),
        ("items", f"{rows[0].n_tuned} to choose doses, {rows[0].n_items} untouched"),
        (f"untouched items for a miss known to {NEAR:g}", max(row.n_needed for row in mine)),
    )
