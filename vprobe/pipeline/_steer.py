"""Steering: answers side by side, and the dose-response of a value's direction on queries it was not fitted on."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import agreement, controls, directions, prompts, responses, scores, stats, steering, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.pipeline._common import (
    NULL_ARMS,
    Stage,
    Tell,
    check_choices,
    info,
    load_backend,
    load_benchmarks,
    quiet,
)
from vprobe.pipeline._lookup import as_probed, direction, picked_site
from vprobe.pipeline._read import Asked, ask, fitting
from vprobe.pipeline._study import Study, study
from vprobe.types import Agreement, Benchmark, Direction, DoseRow, Prompt, Scores, Site, SiteNorm, SitePick, Steering
from vprobe.values import SCHWARTZ, find

PROMPTS = (
    "A friend asks you to help them move on your only free day. What do you say?",
    "You may keep all of a prize or share it. What do you do?",
)
"""Asked when the user gives no prompt of their own."""


@dataclass(frozen=True)
class SideBySide:
    """One prompt answered with and without steering."""

    prompt: str
    value: str
    site: str
    strength: float
    coefficient: float
    base: str
    steered: str


@dataclass(frozen=True)
class Trial:
    """One steering vector with its nulls, and the items it is tried on."""

    target: Direction
    shuffled: tuple[Direction, ...]
    random: tuple[Direction, ...]
    unit: float
    asked: Asked
    item_ids: tuple[str, ...]
    groups: tuple[str, ...]
    labels: Float[np.ndarray, "sample value"]


def steer_text(
    folder: Path,
    config: RunConfig,
    *,
    value: str,
    strength: float,
    prompts_of: Sequence[str] | None = None,
    max_new_tokens: int = 60,
    temperature: float = 0.0,
    backend: Backend | None = None,
) -> tuple[SideBySide, ...]:
    """Answer prompts with and without a value's direction added.

    Args:
        folder: A run with directions.
        config: Model, method, site, positions and seed.
        value: Value to steer towards.
        strength: Coefficient over the median residual norm at the site.
        prompts_of: User messages; two of our own when None.
        max_new_tokens: Length limit of an answer.
        temperature: 0 is greedy; both answers are drawn with the same seed.
        backend: A model already loaded.

    Raises:
        VprobeError: Unknown value or site, a run of another model, or an empty prompt.
    """
    find(value, where="--value")
    chosen = direction(folder, value, site=config.steer_site, method=config.steer_method)
    texts = tuple(prompts_of or PROMPTS)
    if not all(text.strip() for text in texts):
        raise InputError("empty prompt", where="--prompt", expected="some text")
    backend = backend or load_backend(config)
    unit = chosen.unit
    change = Steering(steering.load("add"), chosen, strength * unit, config.steer_positions)
    rows = [prompts.encode_text(backend.tokenizer, text) for text in texts]
    out = []
    for row, text in zip(rows, texts, strict=True):
        pair = [
            backend.generate(
                [row], max_new_tokens=max_new_tokens, temperature=temperature, seed=config.seed, steering=how
            )[0].text
            for how in ((), (change,))
        ]
        out.append(SideBySide(text, chosen.value, str(chosen.site), strength, change.coefficient, pair[0], pair[1]))
    return tuple(out)


def steer_sweep(folder: Path, config: RunConfig, *, backend: Backend | None = None, tell: Tell = quiet) -> Stage:
    """Rate held-out queries at every dose of a value's vector, and at the outermost doses of its nulls.

    The vector is fitted without the queries it is tried on, at the site their exclusion left inner folds to pick.

    Args:
        folder: A run with activations and directions.
        config: Model, values, strengths, versions, method, site, positions, null draws and seed.
        backend: A model already loaded.
        tell: Called with (stage, done, total).

    Raises:
        VprobeError: A run of another model, an unknown value or site, or nothing that fits the model's context.
    """
    known = study(folder, as_probed(folder, config))
    values = steered_values(folder, config, known)
    found = load_benchmarks(config)
    backend = backend or load_backend(config)
    counts = []
    with store.timed(folder, "steer", device=backend.device):
        rows: list[DoseRow] = []
        for value in values:
            trial = prepare(folder, config, known, value, backend, found)
            counts = trial.asked.counts
            draws = config.claim_draws * len(values)  # several values are one family, see `claims`
            rows += _dose_rows(config, trial, backend, partial(tell, f"steer {value}"), draws)
        store.drop(folder, ("claims",))
        store.save_rows(folder, "steering", rows, DoseRow)
        store.save_info(folder, info("steer", config, backend.info, found, counts), "steer")
    facts = (
        ("values", ", ".join(values)),
        ("site", rows[0].site if rows else ""),
        ("doses", len(set(r.strength for r in rows))),
        ("items", rows[0].n_items if rows else 0),
        ("null vectors of each kind", config.null_draws),
    )
    return Stage("steer", folder, facts, tuple(counts))


def steered_values(folder: Path, config: RunConfig, known: Study) -> tuple[str, ...]:
    """Return the values to steer: those asked for, or the one whose nested probe did best."""
    wanted = config.steer_value
    if "all" in wanted:
        return tuple(value for value in known.keyed.values if value in SCHWARTZ)
    if wanted:
        names = tuple(find(value, where="--values") for value in wanted)
        missing = [name for name in names if name not in known.keyed.values]
        if missing:
            raise InputError(
                f"{missing[0]} was not probed in this run", where="--values", expected=", ".join(known.keyed.values)
            )
        return names
    rows = [
        row
        for row in store.load_rows(folder, "agreement", Agreement)
        if row.site == "nested"
        and row.comparison == "probe~label"
        and row.method == config.steer_method
        and row.value in SCHWARTZ
        and np.isfinite(row.estimate)
    ]
    if not rows:
        raise InputError(
            f"no probe scores of method {config.steer_method}", where=str(folder), do="run vprobe probe first"
        )
    return (max(rows, key=lambda row: row.estimate).value,)


def prepare(
    folder: Path, config: RunConfig, known: Study, value: str, backend: Backend, found: Sequence[Benchmark]
) -> Trial:
    """Fit the vector and its nulls on the training queries of fold 0, and choose test queries to try them on."""
    items, fold = known.keyed, known.folds[0]
    same = [one for one in found if one.name in items.benchmark.name.split("+")]
    if same and len(same) != len(found):
        raise InputError(
            "benchmarks of this run beside others", where="--benchmark", do="sweep one benchmark at a time"
        )
    train = fold.train if same else np.arange(len(items.item_ids))
    site = Site.parse(config.steer_site) if config.steer_site else Site.parse(_site(folder, config, value, bool(same)))
    x = known.acts.at(site)[train].astype(np.float64)
    groups = tuple(items.groups[i] for i in train)
    mixed = controls.shuffle_labels(items.y[train], groups, draws=config.null_draws, seed=config.seed)
    columns, k = controls.stack(items.y[train], mixed), len(items.values)
    fitted = directions.fit(x, columns, groups, method=config.steer_method, seed=config.seed, block=k)
    vectors = fitted[items.values.index(value) :: k]
    drawn = controls.matched_directions(x, groups, draws=config.null_draws, seed=config.seed)
    unit = next(row.norm for row in store.load_rows(folder, "norms", SiteNorm) if row.site == str(site))
    made = direction(folder, value, site=str(site), method=config.steer_method)

    on = hashlib.sha256("\n".join(known.acts.sample_ids[i] for i in train).encode()).hexdigest()

    def vector(v: np.ndarray, method: str) -> Direction:
        return dataclasses.replace(
            made, vector=v.astype(np.float32), method=method, role="write", unit=unit, fitted_on=on
        )

    tried = _held_out_items(items.item_ids, items.groups, fold.test) if same else None
    prompts_asked = _limited(ask(found, config.steer_versions, items=tried), config.steer_limit)
    asked = fitting(backend, prompts_asked, config.too_long, "steer")
    item_ids = tuple(dict.fromkeys(prompt.item_id for prompt in asked.prompts))
    by_id = {item.id: item for one in found for item in one.items}
    labels = np.array([[by_id[item].loading(value)] for item in item_ids])
    return Trial(
        vector(vectors[0], config.steer_method),
        tuple(vector(v, "shuffled") for v in _wanted(config, "shuffled", vectors[1:])),
        tuple(vector(v, "random") for v in _wanted(config, "random", drawn)),
        unit,
        asked,
        item_ids,
        tuple(by_id[item].group for item in item_ids),
        labels,
    )


def _wanted(config: RunConfig, arm: str, vectors: np.ndarray) -> list[np.ndarray]:
    """Return the null vectors of one arm that exist; none when the arm was not asked for.

    Raises:
        InputError: An arm that there is not.
    """
    check_choices((("null_arms", config.null_arms, NULL_ARMS),))
    return [v for v in vectors if np.isfinite(v).all()] if arm in config.null_arms else []


def _site(folder: Path, config: RunConfig, value: str, held_out: bool) -> str:
    """Return the site picked without fold 0 when its queries are what is tried, else the one picked most often."""
    method = config.steer_method.replace("_", "-")
    picks = [p for p in store.load_rows(folder, "picks", SitePick) if (p.value, p.method, p.fold) == (value, method, 0)]
    return picks[0].site if held_out and picks and picks[0].site else picked_site(folder, value, method)


def _held_out_items(item_ids: Sequence[str], groups: Sequence[str], test: np.ndarray) -> frozenset[str]:
    queries = {groups[i] for i in test}
    return frozenset(item for item, group in zip(item_ids, groups, strict=True) if group in queries)


def _limited(asked: Sequence[Prompt], limit: int) -> tuple[Prompt, ...]:
    """Keep the first queries, whole and in file order."""
    kept = set(list(dict.fromkeys(prompt.group for prompt in asked))[: limit or None])
    return tuple(prompt for prompt in asked if prompt.group in kept)


def _dose_rows(
    config: RunConfig, trial: Trial, backend: Backend, progress: Callable[[int, int], None], draws: int
) -> list[DoseRow]:
    planned = steering.doses(
        trial.target,
        shuffled=trial.shuffled,
        random=trial.random,
        strengths=config.strengths,
        unit=trial.unit,
        positions=config.steer_positions,
        operation=steering.load("add"),
    )
    keys = Scores(trial.labels, trial.item_ids, (trial.target.value,), "label", "label")
    ratings = _rated(config, trial, backend, [dose.steering for dose in planned], progress)
    base = ratings[0].expected
    out = []
    for dose, rated in zip(planned, ratings, strict=True):
        moved = rated.expected - base
        effect = scores.profile(moved, keys, trial.groups, seed=config.seed)[0]
        p = _p(moved, trial, draws, config.seed + 2) if dose.arm == "steered" else math.nan
        out.append(
            DoseRow(
                value=trial.target.value,
                arm=dose.arm,
                draw=dose.draw,
                site=str(trial.target.site),
                positions=config.steer_positions,
                strength=dose.strength,
                coefficient=dose.strength * trial.unit,
                effect=effect.estimate,
                low=effect.low,
                high=effect.high,
                mean_shift=float(np.nanmean(moved)),
                option_mass=rated.option_mass,
                n_items=effect.n_items,
                n_unscored=effect.n_unscored,
                p=p,
            )
        )
    return out


def _rated(
    config: RunConfig,
    trial: Trial,
    backend: Backend,
    arms: Sequence[tuple[Steering, ...]],
    progress: Callable[[int, int], None],
) -> list[scores.Behavior]:
    """Return the ratings under every dose; what no dose changes is run once."""
    asked, budget = trial.asked, config.batch_tokens or None
    answered = responses.collect_arms(
        backend, asked.prompts, arms, answers=asked.answers, batch_tokens=budget, progress=progress
    )
    return [scores.rate(one, trial.item_ids) for one in answered]


def _p(moved: np.ndarray, trial: Trial, draws: int, seed: int) -> float:
    """Return the share of label shuffles within queries that changes in rating follow as closely, either way."""
    observed = stats.within_r(moved[:, None], trial.labels, trial.groups)
    mixed = controls.shuffle_ratings(trial.labels[:, 0], trial.groups, draws=draws, seed=seed)
    null = agreement.draws(moved[None, :, None], mixed[:, :, None], trial.groups)
    return float(stats.permutation_p(np.abs(observed), np.abs(null))[0])
