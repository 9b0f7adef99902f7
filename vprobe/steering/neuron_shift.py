"""Shift neurons' activity along a vector of shifts."""

from __future__ import annotations

from typing import Any

from vprobe.steering._given import Given

MEASURE = "activation"
POINTS: tuple[str, ...] = ("mlp_neurons",)


def arrays(given: Given) -> tuple[Any, ...]:
    """Return nothing: the direction says which neurons, and how much each."""
    return ()


def apply(x: Any, vector: Any, coefficient: Any) -> Any:
    """Return `x + c s`.

    Args:
        x: Activity (..., neuron).
        vector: s at length 1 (1, neuron): mean differences of the chosen neurons, 0 elsewhere; see `steering.neurons`.
        coefficient: Activity units; a scalar or (..., 1).

    Source: DPN-LE (2026), arXiv 2604.27929.
    """
    return x + coefficient * vector
