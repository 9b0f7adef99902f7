"""Steering: answers side by side, and the dose-response of a value's direction on queries it was not fitted on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from vprobe import agreement, controls, prompts, scores, stats, steering, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.pipeline._common import (
    Stage,
    Tell,
    info,
    load_backend,
    load_benchmarks,
    quiet,
)
from vprobe.pipeline._costs import unit_of
from vprobe.pipeline._lookup import as_probed, direction
from vprobe.pipeline._manner import Manner, manner
from vprobe.pipeline._study import Study, study
from vprobe.pipeline._trial import Trial, prepare, rated
from vprobe.types import (
    Agreement,
    DoseRow,
    Scores,
    Steering,
)
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
        config: Model, method, site, positions, operation, gate, conflict policy and seed.
        value: Value to steer towards, or several with their strengths: `benevolence=0.3,power=-0.1`.
        strength: Coefficient over the median residual norm at the site, in the operation's measure, or multiples of
            `config.dose`.
        prompts_of: User messages; two of our own when None.
        max_new_tokens: Length limit of an answer.
        temperature: 0 is greedy; both answers are drawn with the same seed.
        backend: A model already loaded.

    Raises:
        VprobeError: Unknown value or site, a run of another model, or an empty prompt.
    """
    wanted = _pairs(value, strength)
    chosen = [direction(folder, one, site=config.steer_site, method=config.steer_method) for one, _ in wanted]
    texts = tuple(prompts_of or PROMPTS)
    if not all(text.strip() for text in texts):
        raise InputError("empty prompt", where="--prompt", expected="some text")
    backend = backend or load_backend(config)
    changes = []
    for one, (_, size) in zip(chosen, wanted, strict=True):
        how = manner(folder, config, one)
        changes.append(how.change(one, size * unit_of(backend, how, one, config)[0]))
    rows = [prompts.encode_text(backend.tokenizer, text) for text in texts]
    out = []
    for row, text in zip(rows, texts, strict=True):
        pair = [
            backend.generate(
                [row], max_new_tokens=max_new_tokens, temperature=temperature, seed=config.seed, steering=how
            )[0].text
            for how in ((), changes)
        ]
        out.append(_beside(text, changes, wanted, pair))
    return tuple(out)


def _pairs(value: str, strength: float) -> tuple[tuple[str, float], ...]:
    """Return values with their strengths: `benevolence`, or several as `benevolence=0.3,power=-0.1`.

    Raises:
        InputError: An unknown value, one given twice, or a strength that is no number.
    """
    out: dict[str, float] = {}
    for part in value.split(","):
        name, equals, size = part.partition("=")
        known = find(name.strip(), where="--value")
        if known in out:
            raise InputError(f"{known} stands twice", where="--value", expected="each value once")
        try:
            out[known] = float(size) if equals else strength
        except ValueError:
            raise InputError(f"{part!r}", where="--value", expected="VALUE=STRENGTH, such as power=-0.1") from None
    return tuple(out.items())


def _beside(
    prompt: str, changes: Sequence[Steering], wanted: Sequence[tuple[str, float]], pair: Sequence[str]
) -> SideBySide:
    """Return one prompt's answers; several values are named with their strengths, and have no single one."""
    one = changes[0]
    if len(changes) == 1:
        return SideBySide(prompt, one.direction.value, str(one.at), wanted[0][1], one.coefficient, *pair)
    named = ", ".join(f"{value} {size:g}" for value, size in wanted)
    sites = ", ".join(dict.fromkeys(str(change.at) for change in changes))
    return SideBySide(prompt, named, sites, math.nan, math.nan, *pair)


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
            counts = trial.on.asked.counts
            draws = config.claim_draws * len(values)  # several values are one family, see `claims`
            rows += _dose_rows(folder, config, trial, backend, partial(tell, f"steer {value}"), draws)
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


def _dose_rows(
    folder: Path, config: RunConfig, trial: Trial, backend: Backend, progress: Callable[[int, int], None], draws: int
) -> list[DoseRow]:
    how = manner(folder, config, trial.target, samples=trial.on.train)
    _check_nulls(how, trial)
    unit, name = unit_of(backend, how, trial.target, config)
    asked = {float(strength) * unit: float(strength) for strength in config.strengths}
    planned = steering.doses(
        trial.target,
        shuffled=trial.shuffled,
        random=trial.random,
        strengths=tuple(asked),
        unit=trial.unit,
        positions=config.steer_positions,
        operation=how.operation,
        gate=how.gate,
        each=how.each,
    )
    keys = Scores(trial.labels, trial.on.item_ids, (trial.target.value,), "label", "label")
    ratings = rated(config, trial.on, backend, [dose.steering for dose in planned], progress)
    base = ratings[0].expected
    out = []
    for dose, found in zip(planned, ratings, strict=True):
        moved = found.expected - base
        effect = scores.profile(moved, keys, trial.on.groups, seed=config.seed)[0]
        p = _p(moved, trial, draws, config.seed + 2) if dose.arm == "steered" else math.nan
        out.append(
            DoseRow(
                value=trial.target.value,
                arm=dose.arm,
                draw=dose.draw,
                site=str(trial.target.site),
                positions=config.steer_positions,
                strength=asked.get(dose.strength, dose.strength),
                coefficient=dose.steering[0].coefficient if dose.steering else 0.0,
                effect=effect.estimate,
                low=effect.low,
                high=effect.high,
                mean_shift=float(np.nanmean(moved)),
                option_mass=found.option_mass,
                n_items=effect.n_items,
                n_unscored=effect.n_unscored,
                p=p,
                operation=how.operation.name,
                unit=name,
            )
        )
    return out


def _check_nulls(how: Manner, trial: Trial) -> None:
    """Refuse null vectors for an operation that does not depend on the vector."""
    if how.operation.name == "leace" and (trial.shuffled or trial.random):
        raise InputError(
            "leace erases the same whatever the vector, so it has no null vectors",
            where="--operation",
            do="sweep project-out, or give --null-draws 0",
        )


def _p(moved: np.ndarray, trial: Trial, draws: int, seed: int) -> float:
    """Return the share of label shuffles within queries that changes in rating follow as closely, either way."""
    observed = stats.within_r(moved[:, None], trial.labels, trial.on.groups)
    mixed = controls.shuffle_ratings(trial.labels[:, 0], trial.on.groups, draws=draws, seed=seed)
    null = agreement.draws(moved[None, :, None], mixed[:, :, None], trial.on.groups)
    return float(stats.permutation_p(np.abs(observed), np.abs(null))[0])
