"""The rows of a sweep: ratings under every dose of a vector and of what it is held against."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import agreement, controls, effects, scores, stats, steering
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.pipeline._manner import Manner, check_nulls
from vprobe.pipeline._nulls import Trial
from vprobe.pipeline._push import push_of
from vprobe.pipeline._trial import rated
from vprobe.steering import Dose
from vprobe.types import ChangeRow, DoseRow, Scores

KEYED = 0.5
"""Share of the items, those that express a value most, of which it is said whether they go against their label."""


@dataclass(frozen=True)
class Dosed:
    """What a sweep of one value found.

    Args:
        rows: Every dose of every arm.
        changes: Item by item, what the steered vector did at its outermost doses.
        base: Rating of each item without steering.
    """

    rows: tuple[DoseRow, ...]
    changes: tuple[ChangeRow, ...]
    base: Float[np.ndarray, " item"]


def dosed(
    folder: Path, config: RunConfig, trial: Trial, backend: Backend, progress: Callable[[int, int], None], draws: int
) -> Dosed:
    """Rate the items under every dose of a vector, and at the outermost doses under its nulls.

    Args:
        folder: A run with activations and directions.
        config: Strengths, operation, gate, tokens and seed.
        trial: The vector, its nulls and the items.
        backend: The model.
        progress: Called with prompts done and prompts in all.
        draws: Label shuffles behind each p.

    Raises:
        InputError: Null vectors for an operation that does not depend on the vector, no dose, or an unusable one.
    """
    if not any(config.strengths):
        raise InputError("no dose beside 0", where="--strengths", expected="at least one other number")
    push = push_of(folder, config, backend, trial.target, samples=trial.on.train)
    how = push.how
    check_nulls(how, len(trial.nulls))
    asked = {push.dose(float(strength)): float(strength) for strength in config.strengths}
    planned = steering.doses(
        trial.target, nulls=trial.nulls, strengths=tuple(asked), unit=trial.unit, positions=config.steer_positions,
        operation=how.operation, gate=how.gate, each=how.each,
    )  # fmt: skip
    ratings = rated(config, trial.on, backend, [dose.steering for dose in planned], progress)
    base = ratings[0].expected
    plain = _plain(config, trial, how, push.name)
    rows = []
    for dose, found in zip(planned, ratings, strict=True):
        row = replace(
            plain, arm=dose.arm, draw=dose.draw, strength=asked.get(dose.strength, dose.strength), of=dose.of,
            coefficient=dose.steering[0].coefficient if dose.steering else 0.0, option_mass=found.option_mass,
        )  # fmt: skip
        shuffles = draws if dose.arm == "steered" else 0
        rows.append(measured(row, found.expected - base, trial, config.seed, shuffles))
    return Dosed(tuple(rows), _changes(planned, rows, ratings, trial), base)


def _plain(config: RunConfig, trial: Trial, how: Manner, unit: str) -> DoseRow:
    """Return what all rows of a sweep have in common."""
    nothing = math.nan
    return DoseRow(
        value=trial.target.value, arm="baseline", draw=0, site=str(trial.target.site),
        positions=config.steer_positions, strength=0.0, coefficient=0.0, effect=nothing, low=nothing, high=nothing,
        mean_shift=nothing, option_mass=nothing, n_items=0, n_unscored=0, operation=how.operation.name, unit=unit,
    )  # fmt: skip


def measured(row: DoseRow, moved: Float[np.ndarray, " item"], trial: Trial, seed: int, draws: int) -> DoseRow:
    """Fill in what a change of ratings says: its slope on the label, the shift of all items, and who goes against it.

    Args:
        row: Arm, dose and so on.
        moved: Change of each item's rating, NaN not rated.
        trial: Items with their labels.
        seed: Seed of bootstrap and shuffles.
        draws: Label shuffles behind p; 0 leaves p NaN.
    """
    keys = Scores(trial.labels, trial.on.item_ids, (trial.target.value,), "label", "label")
    effect = scores.profile(moved, keys, trial.on.groups, seed=seed)[0]
    shifts = moved[np.isfinite(moved)]
    return replace(
        row, effect=effect.estimate, low=effect.low, high=effect.high, n_items=effect.n_items,
        n_unscored=effect.n_unscored, mean_shift=float(shifts.mean()) if len(shifts) else math.nan,
        p=_p(moved, trial, draws, seed + 2) if draws else math.nan,
        anti=effects.against_label(moved * np.sign(row.strength or math.nan), trial.labels[:, 0], keyed=KEYED),
    )  # fmt: skip


def change_rows(
    trial: Trial, arm: str, draw: int, strength: float, moved: Float[np.ndarray, " item"]
) -> tuple[ChangeRow, ...]:
    """Lay one arm's changes out item by item; items it could not be tried on are left out.

    Args:
        trial: Items with their labels.
        arm: Of `ChangeRow`.
        draw: Which prompt.
        strength: Its dose.
        moved: Change of each item's rating, NaN not rated.
    """
    return tuple(
        ChangeRow(trial.target.value, arm, draw, strength, "", item, group, float(label), float(change))
        for item, group, label, change in zip(
            trial.on.item_ids, trial.on.groups, trial.labels[:, 0], moved, strict=True
        )
        if math.isfinite(change)
    )


def _changes(
    planned: Sequence[Dose], rows: Sequence[DoseRow], ratings: Sequence[scores.Behavior], trial: Trial
) -> tuple[ChangeRow, ...]:
    steered = [n for n, dose in enumerate(planned) if dose.arm == "steered"]
    ends = [steered[0], steered[-1]] if len(steered) > 1 else steered
    return tuple(
        change
        for n in ends
        for change in change_rows(trial, "steered", 0, rows[n].strength, ratings[n].expected - ratings[0].expected)
    )


def _p(moved: np.ndarray, trial: Trial, draws: int, seed: int) -> float:
    """Return the share of label shuffles within queries that changes in rating follow as closely, either way."""
    observed = stats.within_r(moved[:, None], trial.labels, trial.on.groups)
    mixed = controls.shuffle_ratings(trial.labels[:, 0], trial.on.groups, draws=draws, seed=seed)
    null = agreement.draws(moved[None, :, None], mixed[:, :, None], trial.on.groups)
    return float(stats.permutation_p(np.abs(observed), np.abs(null))[0])
