"""Steering leakage: how far items of other values become accepted, in three declared normalisations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vprobe.errors import InputError

_TOP = 0.25
"""Share of items that count as a value's own: those with the largest labels."""


@dataclass(frozen=True)
class Acceptance:
    """How far the items that express a value are accepted, before and after steering each target; 0 to 1.

    Args:
        base: Per measured value, unsteered.
        steered: Per target and measured value.
        n_items: Items per measured value.
    """

    base: Float[np.ndarray, " measured"]
    steered: Float[np.ndarray, "target measured"]
    n_items: int


def acceptance(
    base: Float[np.ndarray, " item"],
    steered: Float[np.ndarray, "target item"],
    labels: Float[np.ndarray, "item measured"],
    *,
    low: float,
    high: float,
) -> Acceptance:
    """Return the mean place on the rating scale of the items that express each value most.

    Args:
        base: Expected ratings, unsteered.
        steered: Expected ratings under each target.
        labels: How far each item expresses each value.
        low: Lowest rating.
        high: Highest rating.

    Raises:
        InputError: A scale without length.
    """
    if not high > low:
        raise InputError(f"a scale from {low} to {high}", where="steering leakage", expected="low below high")
    n = max(1, round(_TOP * len(labels)))
    before, after = np.full(labels.shape[1], np.nan), np.full((len(steered), labels.shape[1]), np.nan)
    for column in range(labels.shape[1]):
        known = np.flatnonzero(np.isfinite(labels[:, column]))
        top = known[np.argsort(-labels[known, column], kind="stable")][:n]
        if len(top):
            before[column] = (base[top].mean() - low) / (high - low)
            after[:, column] = (steered[:, top].mean(axis=1) - low) / (high - low)
    return Acceptance(before, after, n)


def leakage(found: Acceptance) -> dict[str, Float[np.ndarray, "target measured"]]:
    """Return raises of acceptance of other values: raw, over the target's own raise, over headroom, and over both.

    Args:
        found: Square: columns are the targets in the same order. The diagonal is NaN.

    Returns:
        "raw": max(0, rise of j when i is steered); "gain": raw over the rise of i itself; "headroom": raw over what j
        had left, 1 - base; "relative": headroom of j over headroom of i.

    Source: the visible definition of value leakage, arXiv 2602.07356 (a rise of a value not aimed at); its exact
    normaliser is not public, so the family is given.
    """
    rise = found.steered - found.base
    own = np.diagonal(rise)
    off = ~np.eye(len(own), dtype=bool)
    raw = np.where(off, np.maximum(rise, 0.0), np.nan)
    room = 1.0 - found.base
    with np.errstate(divide="ignore", invalid="ignore"):
        headroom = raw / np.where(room > 0, room, np.nan)
        own_room = own / np.where(room > 0, room, np.nan)
        gain = np.where(own[:, None] > 0, raw / own[:, None], np.nan)
        relative = np.where(own_room[:, None] > 0, headroom / own_room[:, None], np.nan)
    return {"raw": raw, "gain": gain, "headroom": headroom, "relative": relative}
