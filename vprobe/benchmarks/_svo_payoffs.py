"""The points of the fifteen choices of the Social Value Orientation slider, and the four types they tell apart."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe.types import frozen_array

FILE = Path(__file__).with_name("svo.json")
TYPES = ("altruistic", "prosocial", "individualistic", "competitive")
"""From the highest angle to the lowest."""
PRIMARY, SECONDARY = 6, 9
"""The first six items give the angle; the other nine tell two kinds of prosocial people apart."""
N_ITEMS, N_OPTIONS = PRIMARY + SECONDARY, 9


@dataclass(frozen=True)
class Payoffs:
    """What each option of each item gives.

    Args:
        question: What is put to whoever answers, the same for every item; our own words.
        ids: Item ids, "svo-01" to "svo-15".
        own: Points for oneself, by option number from 1 to 9.
        other: Points for the other.
    """

    question: str
    ids: tuple[str, ...]
    own: Float[np.ndarray, "item option"]
    other: Float[np.ndarray, "item option"]


@functools.cache
def payoffs() -> Payoffs:
    """Return the payoffs of the fifteen items.

    Source: Murphy, Ackermann & Handgraaf (2011), Judgment and Decision Making 6, 771-781, items of the slider.
    """
    found = json.loads(FILE.read_text(encoding="utf-8"))
    own, other = (frozen_array([one[who] for one in found["items"]], np.float64) for who in ("own", "other"))
    return Payoffs(found["question"], tuple(one["id"] for one in found["items"]), own, other)
