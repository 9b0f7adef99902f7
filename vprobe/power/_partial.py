"""The cosine to expect of a partial direction, given noise in labels and activations."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def partial_cosine(
    encoding: Float[np.ndarray, "value d_model"],
    true: Float[np.ndarray, "value value"],
    noise: Float[np.ndarray, "value value"],
    residual: float,
    n: float,
) -> Float[np.ndarray, " value"]:
    """Return the expected cosine of each partial direction with the encoding of its value.

    Noise in the labels lets the other values' encodings leak in, and noise in the activations adds to all coordinates.

    Args:
        encoding: What activations gain per unit of each true score.
        true: Covariance of the true scores.
        noise: Covariance of the labels' noise.
        residual: Trace of the activations' covariance given the labels.
        n: Degrees of freedom: samples, less groups when both sides are centred by group.

    Source: errors-in-variables regression, Fuller (1987), Measurement Error Models, ch. 2; checked by simulation.
    """
    total = np.linalg.inv(true + noise)
    expected = total @ true @ encoding
    spread = residual * np.diag(total) / n
    along = (expected * encoding).sum(axis=1) / np.linalg.norm(encoding, axis=1)
    return along / np.sqrt((expected**2).sum(axis=1) + spread)
