"""Add coefficient x direction to the activations."""

from __future__ import annotations

from typing import Any


def apply(x: Any, vector: Any, coefficient: Any) -> Any:
    """Return `x + coefficient * vector`.

    Args:
        x: Activations (..., d_model), numpy or torch.
        vector: Unit vector (d_model,) of the same kind.
        coefficient: Activation units; a scalar or (..., 1).

    Source: Turner et al. (2023), "Activation addition"; Rimsky et al. (2024), contrastive activation addition.
    """
    return x + coefficient * vector
