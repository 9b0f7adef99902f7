"""Put another activation in the place of an activation, whole."""

from __future__ import annotations

from typing import Any

import numpy as np

from vprobe.steering._given import Given, missing

MEASURE = "share"
POINTS: tuple[str, ...] = ()


def arrays(given: Given) -> tuple[Any, ...]:
    """Return the activation that is put in."""
    if given.source is None:
        raise missing("patch", "source", "read the activation of another prompt at the same site")
    return (np.asarray(given.source)[None],)


def apply(x: Any, vector: Any, coefficient: Any, source: Any) -> Any:
    """Return `x + c (source - x)`; the direction is not used.

    Args:
        x: Activations (..., width).
        vector: Not used; it names what is looked at.
        coefficient: Share of the way; 1 replaces the activation. A scalar or (..., 1).
        source: The other activation (1, width).

    Source: Vig et al. (2020), NeurIPS 33 (causal mediation); Meng et al. (2022), arXiv 2202.05262 (patching).
    """
    return x + coefficient * (source - x)
