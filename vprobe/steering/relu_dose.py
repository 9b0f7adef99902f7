"""Add the direction to each token as much as a probe reads there, and nothing where it reads less than zero (PSR)."""

from __future__ import annotations

from typing import Any

from vprobe.steering._arrays import along, positive
from vprobe.steering._given import Given, missing, number

MEASURE = "activation"
POINTS: tuple[str, ...] = ()


def arrays(given: Given) -> tuple[Any, ...]:
    """Return the weights and the bias of what is read."""
    if given.probe is None:
        raise missing("relu-dose", "probe", "give what tells how much a token needs")
    return given.probe.weights[None], number(given.probe.bias)


def apply(x: Any, vector: Any, coefficient: Any, weights: Any, bias: Any) -> Any:
    """Return `x + c ReLU(x.w + b) z`.

    Args:
        x: Activations (..., width).
        vector: z, unit vector (1, width).
        coefficient: Activation units per unit of log odds; a scalar or (..., 1).
        weights: w (1, width).
        bias: b (1, 1).

    Source: PSR (2026), arXiv 2605.03907.
    """
    return x + coefficient * positive(along(x, weights) + bias) * vector
