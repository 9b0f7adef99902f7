"""Add a direction of its own to each of a few attention heads (ITI)."""

from __future__ import annotations

from typing import Any

import numpy as np

from vprobe.errors import InputError
from vprobe.steering._given import Given, missing

MEASURE = "activation"
POINTS: tuple[str, ...] = ("head_out",)


def arrays(given: Given) -> tuple[Any, ...]:
    """Return 1 in the columns of the heads that are changed, 0 elsewhere.

    Raises:
        InputError: No heads, or a head the block does not have.
    """
    if not given.heads or given.head_count < 1 or given.width < 1 or given.width % given.head_count:
        do = "give --heads 0,2 and --site head_out.N; in Python heads, head_count and the width of all heads together"
        raise missing("per-head", "choice of heads", do)
    wrong = [head for head in given.heads if not 0 <= head < given.head_count]
    if wrong:
        raise InputError(f"head {wrong[0]}", where="operation per-head", expected=f"0 to {given.head_count - 1}")
    open_to = np.zeros((given.head_count, given.width // given.head_count))
    open_to[list(given.heads)] = 1.0
    return (open_to.reshape(1, -1),)


def apply(x: Any, vector: Any, coefficient: Any, heads: Any) -> Any:
    """Return `x + c v` in the columns of the chosen heads.

    Args:
        x: Outputs of all heads side by side (..., width), before the projection that mixes them.
        vector: Per head its direction times its spread, together of length 1 (1, width); see `steering.heads`.
        coefficient: Activation units; with `steering.heads`, strength x unit is alpha x spread in every head. A scalar
            or (..., 1).
        heads: 1 in the columns of the chosen heads, else 0 (1, width).

    Source: Li et al. (2023), inference-time intervention, arXiv 2306.03341, equation 2.
    """
    return x + coefficient * (vector * heads)
