"""The few array functions that operations need, for numpy arrays and torch tensors alike."""

from __future__ import annotations

import sys
from typing import Any


def library(x: Any) -> Any:
    """Return the library an array belongs to: numpy or torch, without importing either."""
    return sys.modules[type(x).__module__.partition(".")[0]]


def along(x: Any, vectors: Any) -> Any:
    """Return the products of activations (..., width) with the rows of (n, width): (..., n)."""
    return x @ vectors.swapaxes(-1, -2)


def length(x: Any) -> Any:
    """Return the L2 norm of each activation: (..., 1)."""
    return (x * x).sum(-1)[..., None] ** 0.5


def positive(x: Any) -> Any:
    """Return x where it is above 0, else 0."""
    return x.clip(0, None)
