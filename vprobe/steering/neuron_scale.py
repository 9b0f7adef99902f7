"""Make chosen neurons more or less active: their activity times 1 + coefficient."""

from __future__ import annotations

from typing import Any

from vprobe.steering._given import Given

MEASURE = "share"
POINTS: tuple[str, ...] = ("mlp_neurons",)


def arrays(given: Given) -> tuple[Any, ...]:
    """Return nothing: the direction says which neurons."""
    return ()


def apply(x: Any, vector: Any, coefficient: Any) -> Any:
    """Return activity times `1 + c` in the neurons whose entry of the vector is not 0.

    Args:
        x: Activity (..., neuron).
        vector: Unit vector (1, neuron) that is not 0 where a neuron is chosen; see `steering.neurons`.
        coefficient: 1 doubles, -1 silences. A scalar or (..., 1).

    Source: Han et al. (2025), arXiv 2509.24319, with a factor of 1 + c.
    """
    return x * (1.0 + coefficient * (vector != 0))
