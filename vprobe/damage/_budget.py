"""How much a dose may cost, and the largest that stays within it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vprobe.types import DamageRow

LEVEL = 0.05
"""Of the tests; intervals of a change have 90 %, which is the same test."""
ABILITY = ("accuracy", "equivalence", "options")
"""Limits that need a model which answers with the options, better than by guessing."""
ANSWERS = 0.5
"""Least base option mass of a model that answers with the options; below it, ratios of the mass say nothing."""


@dataclass(frozen=True)
class Budget:
    """Limits on what a dose may cost.

    Args:
        kl: Most KL(base || steered) on neutral text, nats per token.
        perplexity_ratio: Most steered over base perplexity.
        drop: Most accuracy lost, share of questions.
        margin: The change in accuracy must be shown to lie within this, either way, by two one-sided tests at .05.
        mass_ratio: Least steered over base option mass.
    """

    kl: float = 1.0
    perplexity_ratio: float = 1.10
    drop: float = 0.02
    margin: float = 0.05
    mass_ratio: float = 0.95


BUDGET = Budget()


@dataclass(frozen=True)
class Allowed:
    """The largest dose within a budget.

    Args:
        value: The value.
        sign: +1 towards it, -1 away from it.
        strength: Largest dose that keeps every limit, with all smaller ones; NaN when none does.
        coefficient: The same in activation units.
        without_ability: Largest dose that keeps all limits but those on answers to questions.
        broken: What the next dose breaks; empty when the largest that was tried is allowed.
        tried: Doses measured.
    """

    value: str
    sign: int
    strength: float
    coefficient: float
    without_ability: float
    broken: str
    tried: int


def broken(row: DamageRow, budget: Budget = BUDGET) -> tuple[str, ...]:
    """Return the limits a dose breaks, each as a name and a figure; a figure that does not exist keeps no limit.

    Args:
        row: What the dose costs.
        budget: The limits; its margin is that of the row's test.
    """
    drop = row.accuracy_base - row.accuracy
    guessed = not row.chance_p <= LEVEL
    why = "only guesses" if row.n_questions else "not measured"
    checks = (
        ("KL", row.kl <= budget.kl, _told(row.kl)),
        ("perplexity", row.perplexity_ratio <= budget.perplexity_ratio, _told(row.perplexity_ratio)),
        ("option mass", row.mass_ratio >= budget.mass_ratio, _told(row.mass_ratio)),
        ("options", not row.option_mass < ANSWERS, f"never given, base mass {_told(row.option_mass)}"),
        ("accuracy", drop <= budget.drop + 1e-12 and not guessed, why if guessed else f"{-drop:+z.3f}"),
        ("equivalence", guessed or (row.same_p <= LEVEL and row.margin <= budget.margin), f"p {_told(row.same_p)}"),
    )
    return tuple(f"{name} {figure}" for name, kept, figure in checks if not kept)


def within_budget(rows: Sequence[DamageRow], budget: Budget = BUDGET) -> tuple[Allowed, ...]:
    """Return, per value and direction of change, the largest dose within a budget that has no worse one below it.

    Args:
        rows: Doses of any values.
        budget: The limits.
    """
    out = []
    for value in dict.fromkeys(row.value for row in rows):
        for sign in (1, -1):
            mine = [row for row in rows if row.value == value and row.strength * sign > 0]
            if mine:
                out.append(_largest(sorted(mine, key=lambda row: abs(row.strength)), sign, budget))
    return tuple(out)


def _largest(rows: Sequence[DamageRow], sign: int, budget: Budget) -> Allowed:
    kept, loose, why = None, math.nan, ""
    open_, open_loose = True, True
    for row in rows:
        found = broken(row, budget)
        if open_ and found:
            open_, why = False, "; ".join(found)
        if open_:
            kept = row
        open_loose = open_loose and all(one.startswith(ABILITY) for one in found)
        if open_loose:
            loose = row.strength
    strength, coefficient = (kept.strength, kept.coefficient) if kept else (math.nan, math.nan)
    return Allowed(rows[0].value, sign, strength, coefficient, loose, why, len(rows))


def _told(x: float) -> str:
    return "n/a" if math.isnan(x) else f"{x:.3g}"
