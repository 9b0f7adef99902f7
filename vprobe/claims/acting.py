"""Claims about acting: what is read agrees with what the model does, and writing it moves what the model does."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vprobe.claims._level import CHANCE, FEWEST_NULLS, Level
from vprobe.types import Agreement, ClaimRow, DoseRow

SHIFT = 0.1
"""Mean change of all ratings, points, beyond which a refusal names acquiescence."""


def agrees(rows: Sequence[Agreement], level: Level) -> tuple[ClaimRow, ...]:
    """Claim that probe and behaviour move together over conditions.

    Args:
        rows: Agreement rows of level "condition"; their p comes from `level.draws` shuffles.
        level: Level.
    """
    out = []
    for row in rows:
        if row.level != "condition" or row.value != "all":
            continue
        made = math.isfinite(row.p) and row.p <= level.alpha and row.estimate > 0
        reason = "" if made else _apart(row, level)
        out.append(
            ClaimRow("agrees", "all", made, reason, "mean r over conditions", row.estimate, row.p, level.alpha,
                     level.draws, row.n_scored, row.method, row.site)
        )  # fmt: skip
    return tuple(out)


def _apart(row: Agreement, level: Level) -> str:
    """Say why what is read does not agree with what the model does: chance gives it, too few conditions, or against."""
    told = f"over {row.n_scored} conditions r = {row.estimate:z.2f}"
    if row.p <= CHANCE and row.estimate <= 0:
        return f"{told} (p = {row.p:.2g}): what is read moves against what the model does"
    what = "is not shown to move" if row.p <= CHANCE else "does not move"
    missed = level.missed(row.p, "shuffled ones")
    return f"{told} is {missed} (p = {row.p:.2g}): what is read {what} with what the model does"


def causal(
    rows: Sequence[DoseRow], level: Level, *, method: str, decodable: Sequence[str] = ()
) -> tuple[ClaimRow, ...]:
    """Claim that adding a direction moves ratings with the value's labels: at both outermost doses, beyond both nulls.

    The nulls are labels shuffled within queries (p in the rows) and vectors of shuffled labels: at least
    `FEWEST_NULLS`, none of which may reach as far.

    Args:
        rows: A sweep.
        level: Level; values are one family (Bonferroni), and both doses must reach it.
        method: Direction method of the vectors.
        decodable: Values whose reading claim stands, so that a refusal can say "decodable, not causal".
    """
    values = tuple(dict.fromkeys(row.value for row in rows))
    out = []
    for value in values:
        mine = [row for row in rows if row.value == value]
        doses = sorted((row for row in mine if row.arm == "steered" and row.strength), key=lambda row: row.strength)
        if not doses:
            continue
        ends = {doses[0].strength: doses[0], doses[-1].strength: doses[-1]}
        p = float(np.minimum(np.max([row.p for row in ends.values()]) * len(values), 1.0))  # NaN stays
        nulls = [row for row in mine if row.arm == "shuffled" and row.strength in ends]
        arms = [one for one in _outward(nulls) if math.isfinite(one)]
        moved = _outward(list(ends.values()))[0]
        both = min(ends) < 0 < max(ends)
        same = both and all(row.effect * row.strength > 0 for row in ends.values())
        beyond = math.isfinite(p) and p <= level.alpha and same and bool(arms) and moved > max(map(abs, arms))
        made = beyond and len(arms) >= FEWEST_NULLS
        reason = "" if made else _why_not(value, list(ends.values()), arms, moved, p, value in decodable, level.alpha)
        if beyond and not made:
            reason = (
                f"not enough null vectors: {len(arms)} of shuffled labels were tried, at least {FEWEST_NULLS} are "
                f"asked; {_said(arms, moved, p)}"
            )
        out.append(
            ClaimRow("causal", value, made, reason, "outward change in rating per SD of the label", moved, p,
                     level.alpha, level.draws, doses[0].n_items, method, doses[0].site)
        )  # fmt: skip
    return tuple(out)


def _outward(rows: Sequence[DoseRow]) -> list[float]:
    """Return per draw the mean effect in the direction of the dose, over the doses tried."""
    draws = dict.fromkeys(row.draw for row in rows)
    parts = [[row.effect * math.copysign(1.0, row.strength) for row in rows if row.draw == draw] for draw in draws]
    return [sum(part) / len(part) for part in parts]


def _said(arms: list[float], moved: float, p: float) -> str:
    """Put what steering did beside what vectors of shuffled labels did."""
    most = max(map(abs, arms), default=math.nan)
    reach = f"{len(arms)} vectors of shuffled labels reach {most:z.3f}" if arms else "no shuffled labels were tried"
    return f"ratings follow the label by {moved:z.3f} points per SD (p = {p:.2g}), {reach}"


def _why_not(
    value: str, ends: list[DoseRow], arms: list[float], moved: float, p: float, read: bool, alpha: float
) -> str:
    """Say why writing a value shows nothing."""
    said = _said(arms, moved, p)
    shift = max((row.mean_shift for row in ends), key=abs)
    if not ends[0].strength < 0 < ends[-1].strength:
        return f"doses of one sign only cannot show that the effect changes sign with the dose; {said}"
    if abs(shift) >= SHIFT and abs(moved) < abs(shift):
        return f"acquiescence: all ratings move by {shift:+z.2f} alike, for and against {value}; {said}"
    if p <= alpha and any(row.effect * row.strength <= 0 for row in ends):
        said = f"the effect does not change sign with the dose; {said}"
    return f"decodable, not causal: {said}" if read else said
