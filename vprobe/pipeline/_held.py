"""Held-out scores with what they are when labels are shuffled: what every figure of `probe` is made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vprobe import agreement, controls
from vprobe.pipeline._study import Study

REFITTED = "label rows shuffled jointly, probes refitted"
"""The null of all nested figures: queries change places and responses change places within them, values together, and
the whole search is made again on every draw."""


@dataclass(frozen=True)
class Held:
    """Held-out scores of real labels and their r in every null draw, for columns that are one site x value each."""

    scores: Float[np.ndarray, "sample column"]
    null: Float[np.ndarray, "draw column"]
    sites: tuple[str, ...]
    method: str


def held_of(known: Study, columns: Float[np.ndarray, "sample column"], sites: tuple[str, ...], method: str) -> Held:
    """Take scores of real and shuffled labels apart.

    Args:
        known: The labels and their shuffled copies.
        columns: Held-out scores, real labels first, then every copy.
        sites: Of the values.
        method: Direction method.
    """
    by_draw = controls.unstack(columns, len(known.keyed.values))
    return Held(by_draw[0], agreement.draws(by_draw[1:], known.shuffled, known.keyed.groups), sites, method)
