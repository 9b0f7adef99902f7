"""The claim ladder: how far what a run shows of a value reaches, and what is missing for the next rung.

Rungs build on each other: one that fails, or that nobody looked at, ends the climb. Nothing is computed here but the
comparison of stored rows with a level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vprobe.claims._level import FEWEST_NULLS
from vprobe.stats import LEAST_RELIABILITY
from vprobe.types import AblationRow, Agreement, ClaimRow, Climb, InterchangeRow

SHARE = 0.5
"""Share of the ceiling that the lower end of r has to reach on rung 4."""


@dataclass(frozen=True)
class Evidence:
    """What runs say of one value.

    Args:
        value: Canonical value name.
        read: Held-out probe scores against labels, sites picked on inner folds; None when not probed.
        conditions: Probe against behaviour over conditions; None when no conditions were run.
        claims: Claims decided of this value or of all values.
        untrained: r of the same probe on an untrained model of the same shape; NaN when none was read.
        selectivity: Lower end of the 95 % interval of r less that of a control task; NaN when none was run.
        ablated: What taking the direction out left of the behaviour; None when nobody tried.
        exchanged: What another prompt's coordinate did to it; None when nobody tried, which rung 6 does not ask for.
        instruments: Instruments the direction was never fitted on, each with its p there.
        families: Other families of models, each with whether the value is decodable there.
    """

    value: str
    read: Agreement | None
    conditions: Agreement | None = None
    claims: tuple[ClaimRow, ...] = ()
    untrained: float = math.nan
    selectivity: float = math.nan
    ablated: AblationRow | None = None
    exchanged: InterchangeRow | None = None
    instruments: tuple[tuple[str, float], ...] = ()
    families: tuple[tuple[str, bool], ...] = ()


def ladder(evidence: Sequence[Evidence], *, alpha: float = 0.05) -> tuple[Climb, ...]:
    """Return how far each value climbs.

    Args:
        evidence: One per value.
        alpha: Level of rows that carry a p of their own; claims keep the level they were decided at.

    Source: the order follows Campbell & Fiske (1959), Psychol. Bull. 56, and Hewitt & Liang (2019), EMNLP.
    """
    return tuple(_climb(one, alpha) for one in evidence)


def _climb(one: Evidence, alpha: float) -> Climb:
    for number, (name, rule) in enumerate(RUNGS):
        why = rule(one, alpha)
        if why:
            return Climb(one.value, number, RUNGS[number - 1][0] if number else "nothing shown", f"{name}: {why}")
    return Climb(one.value, len(RUNGS), RUNGS[-1][0], "")


def _claim(one: Evidence, name: str) -> str:
    """Return why a claim does not stand; empty when it does."""
    mine = [row for row in one.claims if row.claim == name and row.value in (one.value, "all")]
    if not mine:
        return f"the claim '{name}' was not decided (vprobe claims RUN)"
    return "" if mine[-1].made else mine[-1].reason


def _decodable(one: Evidence, alpha: float) -> str:
    if one.read is None:
        return "no probe scores"
    p = one.read.p_family if math.isfinite(one.read.p_family) else one.read.p
    return "" if p <= alpha and one.read.estimate > 0 else f"r = {one.read.estimate:z.2f}, family p = {p:.2g}"


def _beyond(one: Evidence, alpha: float) -> str:
    why = _claim(one, "beyond text")
    if why:
        return why
    if math.isnan(one.untrained):
        return "no untrained model of the same shape was read"
    low = one.read.low if one.read else math.nan
    return "" if low > one.untrained else f"r from {low:z.2f}, an untrained model gives {one.untrained:z.2f}"


def _selective(one: Evidence, alpha: float) -> str:
    if math.isnan(one.selectivity):
        return "no control task was run"
    if one.selectivity <= 0:
        return f"a control task does as well (selectivity from {one.selectivity:z.2f})"
    return _claim(one, "unique")


def _near_ceiling(one: Evidence, alpha: float) -> str:
    read = one.read
    if read is None or math.isnan(read.ceiling):
        return "the labels' ceiling is not known"
    if read.ceiling**2 < LEAST_RELIABILITY:
        return f"unmeasurable: label reliability {read.ceiling**2:z.2f}"
    reached = read.low / read.ceiling
    return "" if reached >= SHARE else f"the lower end of r is {reached:z.2f} of the ceiling, {SHARE} is asked"


def _agrees(one: Evidence, alpha: float) -> str:
    row = one.conditions
    if row is None:
        return "no conditions were run"
    p = row.p_family if math.isfinite(row.p_family) else row.p
    if p <= alpha and row.estimate > 0:
        return ""
    return f"over {row.n_scored} conditions r = {row.estimate:z.2f}, family p = {p:.2g}"


def _writes(one: Evidence, alpha: float) -> str:
    why, row = _claim(one, "causal"), one.ablated
    if why or row is None:
        return why or "ablation was not tried"
    if math.isnan(row.removed):
        return (
            f"nothing for ablation to take away: ratings follow what is read by {row.base:z.2f} points per SD of label"
        )
    if row.n_null < FEWEST_NULLS:
        return f"ablation stands beside {row.n_null} null vectors of a kind, at least {FEWEST_NULLS} are asked"
    if row.beyond:
        return one.exchanged.verdict if one.exchanged and not one.exchanged.agrees else ""
    gone = f"{row.removed:z.0%} of what ratings owe to it ({row.low:z.0%} to {row.high:z.0%})"
    return f"taking it out removes {gone}, null vectors up to {row.reach:z.0%}"


def _transfers(one: Evidence, alpha: float) -> str:
    if not one.instruments:
        return "no instrument that had no part in the fit was read"
    best = min(one.instruments, key=lambda pair: pair[1])
    p = min(best[1] * len(one.instruments), 1.0)
    return "" if p <= alpha else f"best on {best[0]}, p = {p:.2g} over {len(one.instruments)} instruments"


def _replicated(one: Evidence, alpha: float) -> str:
    if not one.families:
        return "no run of another family of models was given"
    there = [name for name, shown in one.families if shown]
    return "" if there else f"not decodable in {', '.join(name for name, _ in one.families)}"


Rule = Callable[[Evidence, float], str]
RUNGS: tuple[tuple[str, Rule], ...] = (
    ("1 decodable", _decodable),
    ("2 beyond text and untrained models", _beyond),
    ("3 selective", _selective),
    ("4 half the ceiling", _near_ceiling),
    ("5 agrees with behaviour over conditions", _agrees),
    ("6 writing it moves behaviour", _writes),
    ("7 transfers to another instrument", _transfers),
    ("8 replicated in another family", _replicated),
)
"""Name of each rung, and the rule that says why it is not reached."""
