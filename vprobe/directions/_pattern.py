"""Haufe patterns: from weights that read a value to the direction in which activations gain with it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.directions import _rows
from vprobe.directions.partial import unique
from vprobe.errors import InputError


def pattern(
    x: Float[np.ndarray, "sample d_model"], weights: Float[np.ndarray, "probe d_model"], groups: stats.Groups
) -> Float[np.ndarray, "probe d_model"]:
    """Return the pattern of any linear probes, all taken together: rows of (S_x W S_s^-1)', within queries.

    What activations gain per standard deviation of one probe's score while the other probes' scores stay. Give one
    probe at a time for what they gain whatever the others do.

    Args:
        x: Activations; those the probes were fitted on, or more of their kind.
        weights: Rows of any length; a row with NaN is no probe.
        groups: The query of each sample; one group for all takes plain covariances.

    Returns:
        Patterns in activation units; NaN for no probe, for one whose score does not vary, and for one whose score is
        told by the others' (variance inflation beyond `partial.MOST_INFLATION`).

    Raises:
        InputError: Samples and groups differ in number, or weights and activations in width.

    Source: Haufe et al. (2014), NeuroImage 87, eq. 6.
    """
    x, weights = np.asarray(x, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if x.ndim != 2 or weights.ndim != 2 or x.shape[1] != weights.shape[1] or len(x) != len(groups):
        raise InputError(
            f"activations {x.shape}, weights {weights.shape}, {len(groups)} groups",
            where="pattern",
            expected="(samples, width), (probes, width) and one group per sample",
        )
    return patterns(stats.centre(x, groups), weights[None])[0]


def patterns(
    cx: Float[np.ndarray, "sample d_model"], weights: Float[np.ndarray, "draw probe d_model"]
) -> Float[np.ndarray, "draw probe d_model"]:
    """Return the patterns of several sets of probes, from activations as deviations from their query's mean."""
    scores = np.nan_to_num(_rows.unit(weights)) @ cx.T  # no probe has score 0, and then no pattern
    return unique(scores @ scores.transpose(0, 2, 1), scores @ cx)
