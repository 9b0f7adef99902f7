"""Covariance direction: mean product of activations and labels, both as deviations from their query's mean."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from vprobe import stats

ROLE = "write"
EFFECT = "marginal"
ROTATES = True
JOINT = False
NULL = False
NEEDS = "labels"


def estimate(
    x: Float[np.ndarray, "sample d_model"], y: Float[np.ndarray, "sample column"], groups: stats.Groups, *, seed: int
) -> Float[np.ndarray, "column d_model"]:
    """Return X~'y~ / n, n being the known labels.

    Args:
        x: Activations.
        y: Labels, NaN not known.
        groups: The query of each sample.
        seed: Not used; nothing is drawn.

    Source: Haufe et al. (2014), NeuroImage 87, eq. 6, for one latent factor.
    """
    centred = stats.centre(y, groups)
    known = np.isfinite(centred)
    centred = np.where(known, centred, 0.0)  # deviations sum to 0 per query, so x needs no centring of its own
    usable = np.where((centred != 0).any(axis=0), known.sum(axis=0), np.nan)
    return (centred.T @ x) / usable[:, None]
