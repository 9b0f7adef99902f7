"""What all instructions do to a model's activations alike, and a vector without it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.errors import InputError


@dataclass(frozen=True)
class Shared:
    """The channel of following instructions, as far as some instructions show it.

    Args:
        direction: Unit direction of the mean vector.
        share: Share of the vectors' summed squares that lies along it.
        cosine: Mean cosine of the vectors with each other.
        n: Vectors it is made of.
    """

    direction: Float[np.ndarray, " d_model"]
    share: float
    cosine: float
    n: int


@dataclass(frozen=True)
class Purged:
    """A unit vector divided by the shared direction: `rest` and `along` times the direction add up to it.

    Args:
        rest: What is left, not of unit length.
        along: How much of it lies along the shared direction: their cosine.
    """

    rest: Float[np.ndarray, " d_model"]
    along: float


def shared_part(vectors: Float[np.ndarray, "instruction d_model"]) -> Shared:
    """Return what the vectors of several instructions share: the direction of their mean, at the lengths they have.

    Where every value is asked for and against, what the values say cancels in the mean, and what being told anything
    does stays.

    Args:
        vectors: Mean activation under each instruction less that without any.

    Raises:
        InputError: Fewer than three vectors, or a mean without direction.

    Source: Han et al. (2025), arXiv 2509.24319 (mean delta direction over values, and its share of their variance).
    """
    mean = vectors.mean(axis=0) if len(vectors) else vectors
    length, total = float(np.linalg.norm(mean)), float((vectors**2).sum())
    if len(vectors) < 3 or not length > stats.ROUND_OFF**0.5 * (total / max(len(vectors), 1)) ** 0.5:
        raise InputError(
            f"{len(vectors)} vectors of length {length:.3g} in the mean", where="what instructions share",
            expected="at least 3 that share a direction",
        )  # fmt: skip
    direction = mean / length
    size = np.linalg.norm(vectors, axis=1)
    unit = vectors[size > 0] / size[size > 0, None]
    n = len(unit)
    pairs = float(((unit.sum(axis=0) ** 2).sum() - n) / (n * (n - 1))) if n > 1 else float("nan")
    return Shared(direction, float(((vectors @ direction) ** 2).sum() / total), pairs, len(vectors))


def purge(vector: Float[np.ndarray, " d_model"], shared: Float[np.ndarray, " d_model"]) -> Purged:
    """Divide a vector into what lies along a direction and what is left.

    Args:
        vector: Any length; counted as of unit length.
        shared: Unit direction.
    """
    unit = np.asarray(vector, dtype=np.float64) / np.linalg.norm(vector)
    along = float(unit @ shared)
    return Purged(unit - along * shared, along)
