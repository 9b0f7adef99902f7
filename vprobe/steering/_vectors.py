"""Directions made for steering: of heads, of neurons, of several values at once; and probes from directions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from vprobe.errors import InputError, RefusedError
from vprobe.types import Direction, Probe, Site

_ALIKE = 1e-6
"""Directions whose Gram matrix has an eigenvalue below this hardly differ."""


def heads(
    vectors: Float[np.ndarray, "chosen head_width"],
    chosen: Sequence[int],
    spreads: Sequence[float],
    *,
    head_count: int,
    layer: int,
    value: str,
    model: str = "",
) -> Direction:
    """Put directions of single heads side by side: strength x unit adds strength x spread x direction to each head.

    Args:
        vectors: Unit direction of each chosen head.
        chosen: The heads, from 0, in the same order.
        spreads: Standard deviation of the head's output along its direction, on the samples it was fitted on.
        head_count: Heads of the block.
        layer: The block.
        value: Value the direction points to.
        model: Fingerprint of the model.

    Raises:
        InputError: A head twice or beyond the block, or numbers that do not fit together.

    Source: Li et al. (2023), arXiv 2306.03341, equation 2.
    """
    lengths = np.linalg.norm(vectors, axis=1)
    usable = len(vectors) == len(chosen) == len(spreads) == len(set(chosen)) and min(spreads, default=0) > 0
    if not usable or not all(0 <= head < head_count for head in chosen) or not np.allclose(lengths, 1.0, atol=1e-5):
        raise InputError(
            f"{len(vectors)} vectors for heads {', '.join(map(str, chosen))}",
            where="heads",
            expected=f"one unit vector and one spread above 0 for each of some heads from 0 to {head_count - 1}",
        )
    whole = np.zeros((head_count, vectors.shape[1]))
    whole[list(chosen)] = vectors * np.asarray(spreads)[:, None]
    size = float(np.linalg.norm(whole))
    flat = (whole.reshape(-1) / size).astype(np.float32)
    return Direction(flat, Site(layer, "head_out"), value, "heads", "write", model=model, unit=size)


def neurons(
    shifts: Float[np.ndarray, " neuron"],
    chosen: Bool[np.ndarray, " neuron"],
    *,
    layer: int,
    value: str,
    model: str = "",
) -> Direction:
    """Make a direction of neurons: not 0 where a neuron is chosen, for the three neuron operations.

    Args:
        shifts: What each neuron is to be shifted by, such as a mean difference; its length becomes the unit.
        chosen: Which neurons.
        layer: The block.
        value: Value the neurons stand for.
        model: Fingerprint of the model.

    Raises:
        InputError: No neuron chosen, or a chosen one whose shift is 0 (it could not be told from the others).
    """
    if not chosen.any() or (shifts[chosen] == 0).any():
        raise InputError(
            f"{int(chosen.sum())} neurons chosen", where="neurons", expected="at least one, each with a shift"
        )
    kept = np.where(chosen, shifts, 0.0).astype(np.float64)
    size = float(np.linalg.norm(kept))
    flat = (kept / size).astype(np.float32)
    return Direction(flat, Site(layer, "mlp_neurons"), value, "neurons", "write", model=model, unit=size)


def apart(directions: Sequence[Direction]) -> tuple[Direction, ...]:
    """Return for each direction the one that moves its own projection and leaves the others' where they are.

    The same strength moves a direction's own projection as far as before: its unit grows with what is given up.

    Args:
        directions: Of one site.

    Raises:
        InputError: Directions of several sites.
        RefusedError: Directions of which one is made up of the others.
    """
    if len({one.site for one in directions}) != 1:
        raise InputError("directions of several sites", where="apart", expected="directions of one site")
    v = np.stack([one.vector.astype(np.float64) for one in directions])
    if float(np.linalg.eigvalsh(v @ v.T)[0]) < _ALIKE:
        raise RefusedError("one direction is made up of the others", where="apart", do="leave one out")
    dual = np.linalg.pinv(v).T
    size = np.linalg.norm(dual, axis=1)
    return tuple(
        dataclasses.replace(one, vector=(row / n).astype(np.float32), unit=one.unit * n, method=f"{one.method} apart")
        for one, row, n in zip(directions, dual, size, strict=True)
    )


def calibrate(
    direction: Direction,
    scores: Float[np.ndarray, " sample"],
    present: Int[np.ndarray, " sample"] | Bool[np.ndarray, " sample"],
) -> Probe:
    """Turn a direction into a probe: logistic regression of presence on its score, with one weight and a bias.

    Args:
        direction: The direction.
        scores: Held-out scores, in standard deviations: of samples it was not fitted on, from `Direction.score`, or of
            all samples from `directions.held_out`.
        present: 1 where the value is present, else 0.

    Raises:
        InputError: Only one kind of sample.
        RefusedError: The value is not more probable further along the direction.

    Source: Platt (1999); scikit-learn `LogisticRegression` with C = 1.
    """
    from sklearn.linear_model import LogisticRegression  # seconds to import, and few callers need it

    labels = np.asarray(present).astype(int)
    if set(labels.tolist()) != {0, 1} or len(labels) != len(scores) or not np.isfinite(scores).all():
        raise InputError(
            f"{len(labels)} labels of {len(scores)} scores", where="calibrate", expected="both kinds, finite scores"
        )
    found = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-10).fit(scores[:, None], labels)
    slope = float(found.coef_[0, 0])
    if slope <= 0:
        raise RefusedError(
            f"log odds change by {slope:.3g} per standard deviation of held-out scores",
            where=f"probe of {direction.value} at {direction.site}",
            expected="a value that is more probable further along its direction",
            do="steer by a fixed dose, or along a value that can be decoded",
        )
    return Probe(direction, slope, float(found.intercept_[0]))
