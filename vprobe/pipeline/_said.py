"""`steer said`: what steering does to how likely a model finds each response to a query as its own words.

Small models give the options of a rating question no probability at all, so what ratings say of them is nothing. Every
language model has a probability for a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy import stats as scipy_stats

from vprobe import activations, controls, directions, generation, prompts, responses, stats, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError, ModelError
from vprobe.pipeline._common import Stage, Tell, info, load_backend, load_benchmarks, quiet
from vprobe.pipeline._lookup import as_probed
from vprobe.pipeline._manner import check_nulls
from vprobe.pipeline._push import push_of
from vprobe.pipeline._read import Asked
from vprobe.pipeline._resumed import at_work
from vprobe.pipeline._steer import steered_values
from vprobe.pipeline._study import Study, study
from vprobe.pipeline._trial import Fit, Tried, site_of
from vprobe.types import Answers, Benchmark, Count, Direction, Item, Prompt, SaidRow, Site, Steering

DRAWS = 999
_STILL = 1e-5
"""Nats per token: what runs of one model on batches of another shape differ by."""
STEERED, SHUFFLED, RANDOM = "steered", "shuffled", "random"


@dataclass(frozen=True)
class _Queries:
    """Queries with their responses as options, and the items behind them in the same order."""

    name: str
    asked: tuple[Prompt, ...]
    answers: tuple[Answers, ...]
    items: tuple[Item, ...]
    counts: tuple[Count, ...]
    lost: int

    @property
    def groups(self) -> tuple[str, ...]:
        """The query of each item."""
        return tuple(item.group for item in self.items)


@dataclass(frozen=True)
class _Arm:
    arm: str
    draw: int
    strength: float
    change: tuple[Steering, ...]


def steer_said(folder: Path, config: RunConfig, *, backend: Backend | None = None, tell: Tell = quiet) -> Stage:
    """Take the log-probability of every response to held-out queries at every dose, beside null vectors.

    Args:
        folder: A run with activations and directions.
        config: Model, benchmark, values, strengths, null draws, most queries, method, site, positions and seed.
        backend: A model already loaded.
        tell: Called with (stage, done, total).

    Raises:
        InputError: A benchmark with one response to a query, or an unknown value or site.
        ModelError: No query fits the model's context.
    """
    known = study(folder, as_probed(folder, config))
    values = steered_values(folder, config, known)
    found = load_benchmarks(config)
    backend = backend or load_backend(config, of=folder)
    on, queries = _tried(config, known, found, backend)
    rows: list[SaidRow] = []
    with at_work(folder, "said", backend, config) as backend:
        for value in values:
            rows += _rows(folder, config, known, value, on, queries, backend, partial(tell, f"steer said {value}"))
        store.save_rows(folder, "said", rows, SaidRow)
        store.save_info(folder, info("said", config, backend.info, found, queries.counts), "said")
    facts = (("values", ", ".join(values)), ("queries", len(queries.asked)), ("responses", len(queries.items)),
             ("null vectors of each kind", config.null_draws))  # fmt: skip
    return Stage("steer said", folder, facts, queries.counts)


def _tried(config: RunConfig, known: Study, found: Sequence[Benchmark], backend: Backend) -> tuple[Tried, _Queries]:
    """Choose the queries: those of fold 0 of the run's own benchmark, or all of another's."""
    own = known.keyed.benchmark.name.split("+")
    same = found[0].name in own
    if len(found) > 1:
        raise InputError("several benchmarks", where="--benchmark", do="take one at a time")
    held = {known.keyed.groups[i] for i in known.folds[0].test}
    wanted = [one for one in generation.ask(found[0]) if not same or one.group in held]
    wanted = wanted[: config.steer_limit or None]
    encoded = [prompts.encode_answers(backend.tokenizer, one) for one in wanted]
    fit = activations.fits(wanted, encoded, backend.info.context, policy=config.too_long, stage="said")
    if not fit.kept:
        raise ModelError(f"no query fits the model's context of {backend.info.context} tokens", where="steer said")
    asked = tuple(wanted[i] for i in fit.kept)
    items = tuple(item for one in asked for item in found[0].items if item.group == one.group)
    lost = sum(item.group in {one.group for one in wanted} for item in found[0].items) - len(items)
    queries = _Queries(found[0].name, asked, tuple(encoded[i] for i in fit.kept), items, fit.counts, lost)
    train = known.folds[0].train if same else np.arange(len(known.keyed.item_ids))
    return Tried(train, same, Asked((), (), ()), (), (), ()), queries


def _rows(
    folder: Path,
    config: RunConfig,
    known: Study,
    value: str,
    on: Tried,
    queries: _Queries,
    backend: Backend,
    progress: Callable[[int, int], None],
) -> list[SaidRow]:
    fit = Fit(folder, config, known, on, Site.parse(site_of(folder, config, value, on.held_out)))
    every = _vectors(config, known, value, fit)
    vector = every[0][1]
    push = push_of(folder, config, backend, vector, samples=on.train)
    check_nulls(push.how, len(every) - 1)
    doses = sorted({float(one) for one in config.strengths} - {0.0})
    arms = [
        _Arm(arm, draw, strength, push.change(strength, one))
        for draw, (arm, one) in _numbered(every)
        for strength in doses
    ]
    told = responses.collect_arms(
        backend, queries.asked, [(), *(one.change for one in arms)], answers=queries.answers,
        batch_tokens=config.batch_tokens or None, progress=progress,
    )  # fmt: skip
    sizes = [len(option) for one in queries.answers for option in one.options]
    each = np.array([[x for one in some for x in one.logprobs or ()] for some in told]) / np.array(sizes)
    labels = np.array([item.loading(value) for item in queries.items])
    return [
        _row(config, value, one, vector, push.name, each[number] - each[0], labels, queries)
        for number, one in enumerate(arms, start=1)
    ]


def _vectors(config: RunConfig, known: Study, value: str, fit: Fit) -> list[tuple[str, Direction]]:
    """Return the vector, those of shuffled labels and random ones."""
    k, column = len(known.keyed.values), known.keyed.values.index(value)
    method, draws = config.steer_method.replace("-", "_"), config.null_draws
    mixed = controls.shuffle_labels(fit.y, fit.groups, draws=draws, seed=config.seed)
    fitted = directions.fit(
        fit.x, controls.stack(fit.y, mixed), fit.groups, method=method, seed=config.seed, block=k
    )  # fmt: skip
    drawn = controls.matched_directions(fit.x, fit.groups, draws=draws, seed=config.seed)
    nulls = [(SHUFFLED, v) for v in fitted[column + k :: k]] + [(RANDOM, v) for v in drawn]
    real = [(arm, fit.direction(value, v, method, called=arm)) for arm, v in nulls if np.isfinite(v).all()]
    return [(STEERED, fit.direction(value, fitted[column], method)), *real]


def _numbered(every: Sequence[tuple[str, Direction]]) -> list[tuple[int, tuple[str, Direction]]]:
    """Count the vectors of each arm from 0."""
    seen: dict[str, int] = {}
    out = []
    for arm, one in every:
        out.append((seen.get(arm, 0), (arm, one)))
        seen[arm] = seen.get(arm, 0) + 1
    return out


def _row(
    config: RunConfig, value: str, one: _Arm, vector: Direction, dose: str, moved: np.ndarray, labels: np.ndarray,
    queries: _Queries,
) -> SaidRow:  # fmt: skip
    groups, known = queries.groups, np.isfinite(labels)
    mine, label = moved[known], labels[known]
    names = tuple(name for name, kept in zip(groups, known, strict=True) if kept)
    sums = stats.within(label[:, None], mine[:, None], names)
    effect = float(stats.slope_of(sums.totals)[0])
    ends = stats.interval(sums.column(0), stats.slope_of, seed=config.seed)
    against = _against(mine, label, names, one.strength)
    kept = scipy_stats.binomtest(against[0], against[1]).proportion_ci(method="exact") if against[1] else None
    change = one.change[0]
    return SaidRow(
        value=value, method=vector.method.replace("_", "-"), site=str(change.at), positions=change.positions,
        arm=one.arm, draw=one.draw, strength=one.strength, coefficient=change.coefficient, dose=dose, effect=effect,
        low=ends.low, high=ends.high, p=_p(effect, mine, label, names, config.seed) if one.arm == STEERED else math.nan,
        anti=against[0] / against[1] if against[1] else math.nan, anti_low=float(kept.low) if kept else math.nan,
        anti_high=float(kept.high) if kept else math.nan, mean_shift=float(moved.mean()), n_items=int(known.sum()),
        n_queries=len(set(names)), n_unscored=int((~known).sum()) + queries.lost, instrument=queries.name,
    )  # fmt: skip


def _against(
    moved: Float[np.ndarray, " item"], labels: Float[np.ndarray, " item"], groups: tuple[str, ...], strength: float
) -> tuple[int, int]:
    """Count queries whose own slope goes against the dose by more than round-off, among those whose labels differ."""
    sums = stats.within(labels[:, None], moved[:, None], groups)
    differ = sums.xx[:, 0] > 0
    mine = sums.xy[differ, 0] * math.copysign(1.0, strength)
    return int((mine < -_STILL * np.sqrt(sums.xx[differ, 0])).sum()), int(differ.sum())


def _p(effect: float, moved: np.ndarray, labels: np.ndarray, groups: tuple[str, ...], seed: int) -> float:
    """Return the share of label shuffles within queries with an effect of at least this size, either way."""
    mixed = controls.shuffle_ratings(labels, groups, draws=DRAWS, seed=seed)
    sums = stats.within(mixed.T, np.repeat(moved[:, None], len(mixed), axis=1), groups)
    null = stats.slope_of(sums.totals)
    return float(stats.permutation_p(np.abs(np.array([effect])), np.abs(null)[:, None])[0])
