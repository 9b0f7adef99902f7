"""Linear discriminant as in `lda`, with the shrinkage that suits normal activations better when samples are few."""

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
    """Return S^-1 (mean above - mean below), S being the covariance shrunk as Chen's oracle approximation says.

    Args:
        x: Activations.
        y: Labels, NaN not known; those just at their query's mean belong to neither class.
        groups: The query of each sample.
        seed: Not used; nothing is drawn.

    Source: Fisher (1936), Ann. Eugenics 7; Chen, Wiesel, Eldar & Hero (2010), IEEE Trans. Signal Process. 58, eq. 23.
    """
    return _shrink.discriminants(x, y, groups, _shrink.oas)
