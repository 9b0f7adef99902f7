"""LEACE's reading direction: the one direction on which nothing linear remains after least-squares concept erasure."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.directions import _rows

ROLE = "read"
EFFECT = "marginal"
ROTATES = True
JOINT = False
NULL = False
NEEDS = "labels"


def estimate(
    x: Float[np.ndarray, "sample d_model"], y: Float[np.ndarray, "sample column"], groups: stats.Groups, *, seed: int
) -> Float[np.ndarray, "column d_model"]:
    """Return S_xx^+ s_xy: the projector of LEACE seen through its whitening, one label at a time.

    LEACE for one label is r(x) = x - s_xy w'(x - mean) / (w's_xy), with this w. It is also least squares without a
    penalty, the edge of ridge regression: with more dimensions than samples it fits the samples perfectly.
    `Eraser` takes several labels away together.

    Args:
        x: Activations.
        y: Labels, NaN not known.
        groups: The query of each sample.
        seed: Not used; nothing is drawn.

    Source: Belrose et al. (2023), arXiv 2306.03819, theorem 4.3.
    """
    out = np.full((y.shape[1], x.shape[1]), np.nan)
    for part in _rows.by_column(x, y, groups):
        usable = part.usable
        if usable.any():
            found = _rows.spectrum(part.x)
            out[part.columns[0, usable]] = found.times(part.moments()[0, usable], 1.0 / found.squares)
    return out
