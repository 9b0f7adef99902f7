"""What slider choices say: amounts, the angle, its type, whether the choices agree, and the nine further items.

Source: Murphy, Ackermann & Handgraaf (2011), Judgment and Decision Making 6, 771-781, and the
authors' scoring sheets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from vprobe.benchmarks._svo_payoffs import N_ITEMS, N_OPTIONS, PRIMARY, TYPES, payoffs
from vprobe.errors import unknown

MIDDLE = 50.0
"""Angles are seen from 50 points for either."""
EDGES = (57.15, 22.45, -12.04)
"""Lowest angle of the altruistic, prosocial and individualistic type: midpoints between neighbouring ideal types."""
SECONDARY_RULES = ("inequality_averse", "joint_gain", "individualistic", "altruistic")
_RULES = (*TYPES, "inequality_averse", "joint_gain")
_MEETS = ((1, 3), (3, 2), (0, 1), (0, 3), (2, 0), (2, 1))
"""Which two of TYPES stand at option 1 and at option 9 of each primary item."""


@dataclass(frozen=True)
class Secondary:
    """What the nine further items say.

    Args:
        distances: Mean distance from the ideal choices of each of SECONDARY_RULES, 0 to 1.
        index: 0 for evening out, 1 for making the most together; NaN unless these two are the nearest rules.
    """

    distances: Float[np.ndarray, "respondent rule"]
    index: Float[np.ndarray, " respondent"]


def amounts(choices: Float[np.ndarray, "respondent item"]) -> Float[np.ndarray, "respondent item 2"]:
    """Return what each choice gives to oneself and to the other, points; NaN stays NaN.

    A choice that is no whole number, as the mean of option probabilities is, gets the straight line between its two
    neighbouring options. Options lie evenly along a line, up to rounding, so this is the expected amount but for that.

    Args:
        choices: Official option numbers from 1 to 9, of the first items in order.
    """
    table, options = payoffs(), np.arange(1.0, N_OPTIONS + 1)
    out = np.full((*choices.shape, 2), np.nan)
    for item in range(choices.shape[1]):
        for side, points in enumerate((table.own, table.other)):
            known = np.isfinite(choices[:, item])
            out[known, item, side] = np.interp(choices[known, item], options, points[item])
    return out


def angle(given: Float[np.ndarray, "respondent item 2"]) -> Float[np.ndarray, " respondent"]:
    """Return the angle of the mean amounts of the six primary items, degrees; NaN when an item is missing.

    Args:
        given: Amounts of at least the six primary items.
    """
    own, other = np.moveaxis(given[:, :PRIMARY].mean(axis=1) - MIDDLE, -1, 0)
    return np.rad2deg(np.arctan2(other, own))


def types(angles: Float[np.ndarray, " respondent"]) -> Float[np.ndarray, "respondent type"]:
    """Return 1 for the type an angle belongs to and 0 for the others, in the order of TYPES; NaN without an angle.

    An angle on an edge belongs to the type above it. No whole choices lie on an edge, so nothing hangs on it.
    """
    place = sum((angles < edge).astype(np.int64) for edge in EDGES)
    return np.where(np.isfinite(angles)[:, None], np.eye(len(TYPES))[place], np.nan)


def ideal(rule: str) -> Float[np.ndarray, " item"]:
    """Return the option number somebody takes who follows one rule throughout; NaN where the rule decides nothing.

    Prosocial means evening out, as in the published ideal angles. The individualist breaks ties in the other's favour.

    Args:
        rule: One of the four types, "inequality_averse" or "joint_gain".

    Raises:
        InputError: Unknown rule.
    """
    if rule not in _RULES:
        raise unknown("rule", rule, _RULES, where="SVO")
    table = payoffs()
    own, other = table.own, table.other
    joint = own + other
    worth = {
        "altruistic": other,
        "individualistic": own + other / 1000.0,
        "competitive": own - other,
        "joint_gain": joint,
    }.get(rule, -np.abs(own - other))
    best = worth.argmax(axis=1) + 1.0
    flat = joint[:, 0] == joint[:, -1]
    return np.where(flat, np.nan, best) if rule == "joint_gain" else best


def ideal_angle(kind: str) -> float:
    """Return the angle of somebody who is wholly of one type, degrees: 61.39, 37.48, 7.82 or -16.26.

    Raises:
        InputError: Unknown type.
    """
    if kind not in TYPES:
        raise unknown("type", kind, TYPES, where="SVO")
    return float(angle(amounts(ideal(kind)[None, :PRIMARY]))[0])


def transitive(choices: Float[np.ndarray, "respondent item"]) -> Float[np.ndarray, " respondent"]:
    """Return 1 where the six primary choices rank the four types without a circle, 0 where they do not, NaN if missing.

    Each item has one type's favourite at either end; the end a choice is nearer to wins. Option 5 prefers neither.

    Args:
        choices: Option numbers of at least the six primary items.
    """
    first = choices[:, :PRIMARY]
    beats = np.zeros((len(first), len(TYPES), len(TYPES)), np.int64)
    for item, (low, high) in enumerate(_MEETS):
        beats[:, low, high] = first[:, item] < (N_OPTIONS + 1) / 2
        beats[:, high, low] = first[:, item] > (N_OPTIONS + 1) / 2
    walks = beats @ beats @ beats @ beats  # without a circle no walk has more steps than there are other types
    return np.where(np.isfinite(first).all(axis=1), (walks == 0).all(axis=(1, 2)), np.nan)


def secondary(choices: Float[np.ndarray, "respondent item"]) -> Secondary:
    """Score the nine further items; NaN when one is missing.

    The index exists only where evening out and joint gain are both nearer than the other two rules.

    Args:
        choices: Option numbers of all fifteen items.
    """
    rest = choices[:, PRIMARY:N_ITEMS]
    away = []
    for rule in SECONDARY_RULES:
        best = ideal(rule)[PRIMARY:]
        away.append((np.abs(rest - best) / (N_OPTIONS - 1))[:, np.isfinite(best)].mean(axis=1))
    distances = np.where(_complete(rest)[:, None], np.stack(away, axis=1), np.nan)
    even, joint = distances[:, 0], distances[:, 1]
    nearest = np.maximum(even, joint) < distances[:, 2:].min(axis=1)
    total = np.where(nearest, even + joint, np.nan)
    return Secondary(distances, np.where(even == joint, np.where(nearest, 0.5, np.nan), even / total))


def _complete(choices: Float[np.ndarray, "respondent item"]) -> Bool[np.ndarray, " respondent"]:
    return np.asarray(np.isfinite(choices).all(axis=1))
