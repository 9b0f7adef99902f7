"""Add coefficient x direction to the activations."""

from __future__ import annotations

from typing import Any

from vprobe.steering._given import Given

MEASURE = "activation"
POINTS: tuple[str, ...] = ()


def arrays(given: Given) -> tuple[Any, ...]:
    """Return nothing: the vector and its coefficient are all it needs."""
    return ()


def apply(x: Any, vector: Any, coefficient: Any) -> Any:
    """Return `x + coefficient * vector`.

    Args:
        x: Activations (..., width), numpy or torch.
        vector: Unit vector (1, width) of the same kind.
        coefficient: Activation units; a scalar or (..., 1).

    Source: Turner et al. (2023), "Activation addition"; Rimsky et al. (2024), contrastive activation addition.
    """
    return x + coefficient * vector
