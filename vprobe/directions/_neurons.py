"""Value neurons: those whose output weights lie in a value's plane, and those that tell high texts from low."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from vprobe import stats
from vprobe.directions.svd_shared import divide
from vprobe.errors import InputError

MOST_DEGREES = 30.0
"""Largest angle between a neuron's part in the plane and the direction it is named after."""

LEAST_D = 0.8
"""Smallest Cohen's d of a neuron that counts; the source takes 0.8 for one model family and 0.3 for another."""

QUANTILE = 0.995
"""Only neurons whose mean difference is beyond this quantile of all count."""


@dataclass(frozen=True)
class ValueNeurons:
    """How strongly each neuron of a layer writes into the plane of a value's two directions, and which part of it.

    Args:
        strength: Length of its output weights' projection on the plane, times its mean activity where that was given.
        kind: "shared", "intrinsic" or "prompted": the nearest direction; "" when none is near enough.
        angle: Degrees to the nearest direction; NaN for weights at right angles to the plane.
    """

    strength: Float[np.ndarray, " neuron"]
    kind: Shaped[np.ndarray, " neuron"]
    angle: Float[np.ndarray, " neuron"]

    def strongest(self, share: float) -> Int[np.ndarray, " chosen"]:
        """Return the neurons of highest strength, strongest first.

        Args:
            share: Of all neurons, above 0 up to 1; at least one is returned.

        Raises:
            InputError: A share outside that range.
        """
        if not 0 < share <= 1:
            raise InputError(f"share {share:g}", where="value neurons", expected="above 0 up to 1")
        order = np.argsort(-self.strength, kind="stable")
        return order[: max(1, round(share * len(order)))]


@dataclass(frozen=True)
class Contrast:
    """Neurons that differ between texts high and low in a value.

    Args:
        difference: Mean activity on high texts less that on low ones.
        d: The same in pooled standard deviations (Cohen's d); NaN for a neuron that never varies.
        chosen: True for neurons beyond both limits.
    """

    difference: Float[np.ndarray, " neuron"]
    d: Float[np.ndarray, " neuron"]
    chosen: Bool[np.ndarray, " neuron"]


def value_neurons(
    w_out: Float[np.ndarray, "neuron d_model"],
    intrinsic: Float[np.ndarray, " d_model"],
    prompted: Float[np.ndarray, " d_model"],
    *,
    normalize: Literal["none", "unit"] = "none",
    activity: Float[np.ndarray, " neuron"] | None = None,
    most_degrees: float = MOST_DEGREES,
) -> ValueNeurons:
    """Project output weights on the plane of two directions and name each neuron after the nearest part of it.

    Weights alone do not tell how often a neuron fires; give `activity` for that. A neuron that writes against a
    direction is not near it. Where activity may be negative (gated layers), such a neuron can still raise the value.

    Args:
        w_out: Output weights, one row per neuron.
        intrinsic: Direction from responses to bare queries.
        prompted: Direction from responses under a system prompt that asks for the value.
        normalize: As in `divide`.
        activity: Mean absolute activity of each neuron.
        most_degrees: Largest angle at which a neuron is named.

    Raises:
        InputError: The two directions share nothing or are on one line, or weights are not finite.

    Source: Han et al. (2025), arXiv 2509.24319; activity as a weight is vprobe's.
    """
    parts = divide(intrinsic, prompted, normalize=normalize)
    named = np.stack([parts.shared, parts.intrinsic_unique, parts.prompted_unique])
    if not np.isfinite(named).all():
        raise InputError(
            f"two directions with cosine {parts.cosine:.3g}",
            where="value neurons",
            expected="two that share something (cosine above 0) and are not on one line",
        )
    w = np.asarray(w_out, dtype=np.float64)
    if n := int((~np.isfinite(w)).sum()):
        raise InputError(f"{n} output weights are NaN or infinite", where="value neurons", expected="finite numbers")
    along = w @ named[:2].T
    length = np.linalg.norm(along, axis=1)
    # Parts that are rounding have no angle: their direction in the plane is chance.
    real = length > stats.ROUND_OFF * np.linalg.norm(w, axis=1)
    cosines = np.column_stack([along, -along[:, 1]]) / np.where(real, length, np.nan)[:, None]
    nearest = np.where(real, np.nan_to_num(cosines).argmax(axis=1), 0)
    angle = np.degrees(np.arccos(np.clip(cosines[np.arange(len(w)), nearest], -1.0, 1.0)))
    kind = np.where(angle < most_degrees, np.array(["shared", "intrinsic", "prompted"])[nearest], "")
    return ValueNeurons(length if activity is None else length * activity, kind, angle)


def contrast_neurons(
    high: Float[np.ndarray, "text neuron"],
    low: Float[np.ndarray, "other neuron"],
    *,
    least_d: float = LEAST_D,
    quantile: float = QUANTILE,
) -> Contrast:
    """Find the neurons whose activity differs clearly, and more than most, between two sets of texts.

    Args:
        high: Activity on texts high in a value.
        low: Activity on texts low in it.
        least_d: Absolute Cohen's d that must be exceeded.
        quantile: Of the absolute differences, 0 to 1, that must be exceeded.

    Raises:
        InputError: Fewer than two texts on a side, activity that is not finite, or a quantile outside 0 to 1.

    Source: DPN-LE (2026), arXiv 2604.27929; Cohen (1988), ch. 2.
    """
    if min(len(high), len(low)) < 2 or not 0 <= quantile <= 1:
        raise InputError(
            f"{len(high)} and {len(low)} texts, quantile {quantile:g}",
            where="contrast neurons",
            expected="2 texts or more on each side and a quantile from 0 to 1",
        )
    high, low = np.asarray(high, dtype=np.float64), np.asarray(low, dtype=np.float64)
    if n := int((~np.isfinite(high)).sum() + (~np.isfinite(low)).sum()):
        raise InputError(f"{n} activities are NaN or infinite", where="contrast neurons", expected="finite numbers")
    difference = high.mean(axis=0) - low.mean(axis=0)
    squares = (len(high) - 1) * high.var(axis=0, ddof=1) + (len(low) - 1) * low.var(axis=0, ddof=1)
    spread = np.sqrt(squares / (len(high) + len(low) - 2))
    size = np.maximum(np.abs(high).max(axis=0), np.abs(low).max(axis=0))
    d = difference / np.where(spread > stats.ROUND_OFF * size, spread, np.nan)
    far = np.abs(difference) > np.quantile(np.abs(difference), quantile)
    return Contrast(difference, d, far & (np.abs(d) > least_d))
