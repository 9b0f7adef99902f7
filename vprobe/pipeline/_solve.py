"""Steer to score: doses for a wanted change, found on some held-out queries and verified on others."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import damage, effects, steering, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError, RefusedError
from vprobe.pipeline._common import Stage, Tell, info, load_backend, load_benchmarks, quiet
from vprobe.pipeline._costs import drift, texts_of
from vprobe.pipeline._lookup import as_probed
from vprobe.pipeline._study import study
from vprobe.pipeline._trial import Tried, Vectors, fit_vectors, rated, tried
from vprobe.types import SolvedRow, Steering, Tokens
from vprobe.values import SCHWARTZ, find

Doses = Sequence[float] | Float[np.ndarray, " value"]
ROUNDS = 3
"""Corrections for what is not straight in the dose-response."""
FREE = 0.05
"""Weight of a value that is neither target nor to be kept, beside 1."""
SHRINK = (0.0, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Weights of the doses themselves, tried in turn until the budget is kept."""


@dataclass(frozen=True)
class Wish:
    """What is to change, what is to stay, and what it may cost.

    Args:
        targets: (value, change): rating points per SD of the value's label within queries.
        keep: Values that are to stay as they are.
        max_kl: Most KL(base || steered) of the next token on neutral texts, nats per token.

    Raises:
        InputError: No target, a value twice, a change that is not finite, or a budget that is not above 0.
    """

    targets: tuple[tuple[str, float], ...]
    keep: tuple[str, ...] = ()
    max_kl: float = math.inf

    def __post_init__(self) -> None:
        targets = tuple((find(value, where="--target"), float(change)) for value, change in self.targets)
        keep = tuple(find(value, where="--keep") for value in self.keep)
        names = [value for value, _ in targets] + list(keep)
        if not targets or len(set(names)) != len(names) or not all(math.isfinite(change) for _, change in targets):
            raise InputError(
                f"targets {self.targets}, keep {self.keep}", where="steer solve",
                expected="at least one target with a finite change, and every value once",
            )  # fmt: skip
        if not self.max_kl > 0:
            raise InputError(f"{self.max_kl:g} nats", where="--max-kl", expected="a number above 0")
        object.__setattr__(self, "targets", targets)
        object.__setattr__(self, "keep", keep)


@dataclass(frozen=True)
class _Bench:
    """Everything that measures a change: the model, the vectors, and the items of one side."""

    config: RunConfig
    backend: Backend
    vectors: Vectors
    values: tuple[str, ...]
    items: Tried
    texts: tuple[Tokens, ...]
    tell: Callable[[int, int], None]

    def steered(self, doses: Doses) -> tuple[Steering, ...]:
        """Return the changes that add every value's vector at its dose."""
        add = steering.load("add")
        pairs = [(self.vectors[value], dose) for value, dose in zip(self.values, doses, strict=True)]
        return tuple(Steering(add, v, d * v.unit, self.config.steer_positions) for v, d in pairs if d)

    def moved(self, arms: Sequence[Doses]) -> effects.Matrix:
        """Return what each arm changes in every value."""
        some = [self.steered(doses) for doses in ((0.0,) * len(self.values), *arms)]
        ratings = np.stack([one.expected for one in rated(self.config, self.items, self.backend, some, self.tell)])
        labels, groups = self.items.labels_of(self.values), self.items.groups
        return effects.effect_matrix(ratings[1:] - ratings[0], labels, groups, kind="unique", seed=self.config.seed)

    def kl(self, doses: Doses) -> float:
        """Return what the doses do to the next token of neutral texts, nats per token."""
        some = self.steered(doses)
        if not some:
            return 0.0
        return damage.mean_kl(drift(self.backend, self.texts, some, self.config))


def steer_solve(
    folder: Path, config: RunConfig, wish: Wish, *, backend: Backend | None = None, tell: Tell = quiet
) -> Stage:
    """Find doses of all values' vectors for a wanted change, and verify them on queries nothing was chosen on.

    Effects per unit of dose are measured on half of the held-out queries, turned round by bounded least squares with
    least leakage, corrected for curvature on the same half, and measured once on the other half.

    Args:
        folder: A run with activations and directions of all values.
        config: Model, strengths (their largest is the most that is tried), versions, method, site and seed.
        wish: What is to change.
        backend: A model already loaded.
        tell: Called with (stage, done, total).

    Raises:
        RefusedError: Too few held-out queries, or the budget cannot be kept.
        VprobeError: A run of another model, or an unknown value or site.
    """
    known = study(folder, as_probed(folder, config))
    values = tuple(value for value in known.keyed.values if value in SCHWARTZ)
    if missing := [v for v in (*dict(wish.targets), *wish.keep) if v not in values]:
        raise InputError(f"{missing[0]} was not probed in this run", where="steer solve", expected=", ".join(values))
    found = load_benchmarks(config)
    backend = backend or load_backend(config)
    items = tried(config, known, found, backend)
    tune, test = _halves(items)
    with store.timed(folder, "solve", device=backend.device):
        vectors = fit_vectors(folder, config, known, values, config.steer_method.replace("-", "_"), items)
        texts, left = texts_of(backend, config)
        bench = _Bench(config, backend, vectors, values, tune, texts, partial(tell, "steer solve"))
        doses, tuned = _solved(bench, wish)
        check = dataclasses.replace(bench, items=test)
        reached = check.moved([doses])
        kl = bench.kl(doses)
        rows = _rows(wish, bench, doses, tuned, reached, kl)
        store.save_rows(folder, "solved", rows, SolvedRow)
        store.save_info(folder, info("solve", config, backend.info, found, (*items.asked.counts, *left)), "solve")
    facts = (
        ("targets", ", ".join(f"{value} {change:+g}" for value, change in wish.targets)),
        ("KL on neutral texts", round(kl, 4)),
        ("largest miss of a target", round(max(abs(r.miss) for r in rows if r.role == "target"), 4)),
        ("items", f"{len(tune.item_ids)} to choose doses, {len(test.item_ids)} untouched"),
    )
    return Stage("steer solve", folder, facts, (*items.asked.counts, *left))


def _halves(items: Tried) -> tuple[Tried, Tried]:
    """Divide the items by query: every second one is left untouched."""
    queries = list(dict.fromkeys(items.groups))
    if len(queries) < 6:
        raise RefusedError(
            f"{len(queries)} held-out queries", where="steer solve", expected="at least 6: half of them verify",
            do="set --limit 0, or use a larger benchmark",
        )  # fmt: skip
    return items.only(frozenset(queries[0::2])), items.only(frozenset(queries[1::2]))


def _solved(bench: _Bench, wish: Wish) -> tuple[np.ndarray, np.ndarray]:
    """Return the doses, and what they change on the items they were chosen on."""
    most = max(abs(s) for s in bench.config.strengths)
    if not most > 0:
        raise InputError("no dose beside 0", where="--strengths", expected="the largest dose to try")
    size = len(bench.values)
    eye = np.eye(size) * most / 4
    both = bench.moved([*eye, *-eye])
    effect = (both.effect[:size] - both.effect[size:]) / (2 * most / 4)
    wanted, weights = _wanted(bench.values, wish)
    best: tuple[np.ndarray, np.ndarray] | None = None
    for shrink in SHRINK:
        doses, reached = _corrected(bench, effect, wanted, weights, np.full(size, most), shrink)
        best = (doses, reached)
        if bench.kl(doses) <= wish.max_kl:
            return best
    kl = bench.kl(best[0]) if best else math.nan
    raise RefusedError(
        f"KL {kl:.3g} with the smallest doses tried", where="steer solve", expected=f"at most {wish.max_kl:g}",
        do="ask for less, or allow more with --max-kl",
    )  # fmt: skip


def _corrected(
    bench: _Bench, effect: np.ndarray, wanted: np.ndarray, weights: np.ndarray, most: np.ndarray, shrink: float
) -> tuple[np.ndarray, np.ndarray]:
    """Solve, measure, and solve again for what was missed."""
    aim, doses, reached = wanted.copy(), np.zeros(len(most)), np.zeros(len(wanted))
    for _ in range(ROUNDS):
        doses = effects.least_leakage(effect, aim, weights, most=most, shrink=shrink)
        reached = bench.moved([doses]).effect[0]
        aim = aim + (wanted - reached)
    return doses, reached


def _wanted(values: Sequence[str], wish: Wish) -> tuple[Float[np.ndarray, " value"], Float[np.ndarray, " value"]]:
    targets = dict(wish.targets)
    weights = [100.0 if v in targets else 1.0 if v in wish.keep else FREE for v in values]
    return np.array([targets.get(value, 0.0) for value in values]), np.array(weights)


def _rows(
    wish: Wish, bench: _Bench, doses: np.ndarray, tuned: np.ndarray, reached: effects.Matrix, kl: float
) -> list[SolvedRow]:
    targets, out = dict(wish.targets), []
    for i, value in enumerate(bench.values):
        role = "target" if value in targets else "keep" if value in wish.keep else "free"
        asked = targets.get(value, 0.0 if role == "keep" else math.nan)
        now = float(reached.effect[0, i])
        out.append(
            SolvedRow(
                value, role, float(doses[i]), str(bench.vectors[value].site), asked, float(tuned[i]), now,
                float(reached.low[0, i]), float(reached.high[0, i]), now - asked, kl, reached.n_items,
                len(bench.items.item_ids),
            )
        )  # fmt: skip
    return out
