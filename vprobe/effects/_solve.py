"""From effects to doses: the smallest leakage that reaches a wanted change."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import optimize

from vprobe.errors import InputError


def least_leakage(
    effect: Float[np.ndarray, "vector measured"],
    wanted: Float[np.ndarray, " measured"],
    weights: Float[np.ndarray, " measured"],
    *,
    most: Float[np.ndarray, " vector"],
    shrink: float = 0.0,
) -> Float[np.ndarray, " vector"]:
    """Return the dose of every vector whose summed effects come nearest to what is wanted.

    Least squares over measured values, each with its weight, inside the range of doses that were measured.

    Args:
        effect: Change of each measured value per unit of dose of each vector.
        wanted: Change of each measured value.
        weights: How much a miss counts; 0 is a value that may go where it likes.
        most: Largest dose of each vector either way.
        shrink: Weight of the doses themselves, for a smaller change to the model.

    Raises:
        InputError: Effects that are not known, no range, or nothing that is wanted.

    Source: scipy.optimize.lsq_linear (bounded-variable least squares).
    """
    if not (np.isfinite(effect).all() and np.isfinite(wanted).all() and (most > 0).all() and (weights > 0).any()):
        raise InputError(
            "effects, wishes or ranges that are not known",
            where="steer solve",
            expected="finite effects of every vector on every value, and doses on both sides of 0",
        )
    scale = np.sqrt(weights)
    design = np.vstack([scale[:, None] * effect.T * most, np.sqrt(shrink) * np.eye(len(effect))])
    target = np.concatenate([scale * wanted, np.zeros(len(effect))])
    return optimize.lsq_linear(design, target, bounds=(-1.0, 1.0)).x * most


def turned(
    effect: Float[np.ndarray, "vector measured"],
    step: Float[np.ndarray, " vector"],
    gained: Float[np.ndarray, " measured"],
) -> Float[np.ndarray, "vector measured"]:
    """Correct effects per unit of dose so that they say what the last step really changed.

    Args:
        effect: Change of each measured value per unit of dose of each vector, as believed so far.
        step: How far each dose was moved; not all 0.
        gained: What the move changed.

    Source: Broyden (1965), Mathematics of Computation 19, 577-593: the smallest correction that fits the step.
    """
    return effect + np.outer(step, gained - step @ effect) / float(step @ step)
