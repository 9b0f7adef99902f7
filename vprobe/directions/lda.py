"""Linear discriminant: mean of responses above their query's mean label less those below, whitened by a covariance."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.directions import _shrink

ROLE = "read"
EFFECT = "marginal"
ROTATES = False  # how much is shrunk depends on the number of dimensions, which fitting in few would change
JOINT = False
NULL = False
NEEDS = "labels"


def estimate(
    x: Float[np.ndarray, "sample d_model"], y: Float[np.ndarray, "sample column"], groups: stats.Groups, *, seed: int
) -> Float[np.ndarray, "column d_model"]:
    """Return S^-1 (mean above - mean below), S being the Ledoit-Wolf covariance of deviations from query means.

    S covers both classes together, so it is the same for all columns and null draws cost one product each. With the
    same multiple of the identity added, the covariance within classes gives the very same direction, for the two differ
    by a multiple of the mean difference's outer product.

    Args:
        x: Activations.
        y: Labels, NaN not known; those just at their query's mean belong to neither class.
        groups: The query of each sample.
        seed: Not used; nothing is drawn.

    Source: Fisher (1936), Ann. Eugenics 7; Ledoit & Wolf (2004), J. Multivariate Anal. 88.
    """
    return _shrink.discriminants(x, y, groups, _shrink.ledoit_wolf)
