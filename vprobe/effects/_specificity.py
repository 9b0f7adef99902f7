"""Specificity: what of an effect is the target's own, a uniform lift, the circle's doing, or leakage."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vprobe.values import angle


@dataclass(frozen=True)
class CircleFit:
    """One row of an effect matrix as c + a cos(theta_j - delta) + e_j.

    Args:
        uniform: c, the lift of all values alike.
        amplitude: a, at least 0.
        displacement: How far the peak lies from the target's own angle, degrees, -180 to 180.
        gain: g, the part of the amplitude that points at the target: a cos(displacement).
        leakage: Root mean square of e over the values that are not the target.
        r2: Share of the row's variance the wave explains; NaN when the row does not vary.
    """

    uniform: float
    amplitude: float
    displacement: float
    gain: float
    leakage: float
    r2: float


def circle_fit(effects: Float[np.ndarray, " measured"], target: str, measured: tuple[str, ...]) -> CircleFit:
    """Fit a lift and one wave round the circle of values to the effects of steering one value.

    Args:
        effects: One row of an effect matrix.
        target: Value steered.
        measured: Values of the columns; only Schwartz values with an effect enter.

    Source: structural summary method: Zimmermann & Wright (2017), Assessment 24.
    """
    known = np.isfinite(effects)
    if known.sum() < 4:
        return CircleFit(*[math.nan] * 6)
    turn = np.deg2rad([angle(one) for one in measured])[known]
    own = math.radians(angle(target))
    design = np.column_stack([np.ones(len(turn)), np.cos(turn - own), np.sin(turn - own)])
    y = effects[known]
    b = np.linalg.lstsq(design, y, rcond=None)[0]
    rest = y - design @ b
    total = float(((y - y.mean()) ** 2).sum())
    off = np.array([one != target for one in measured])[known]
    return CircleFit(
        uniform=float(b[0]),
        amplitude=float(np.hypot(b[1], b[2])),
        displacement=float(np.rad2deg(np.arctan2(b[2], b[1]))),
        gain=float(b[1]),
        leakage=float(np.sqrt((rest[off] ** 2).mean())) if off.any() else math.nan,
        r2=1 - float((rest**2).sum()) / total if total > 0 else math.nan,
    )


def selectivity(effect: Float[np.ndarray, "*draw target measured"]) -> Float[np.ndarray, "*draw target"]:
    """Return per target the mean absolute effect on other values over the effect on its own.

    Args:
        effect: Square: columns are the targets in the same order.
    """
    own = np.diagonal(effect, axis1=-2, axis2=-1)
    size = effect.shape[-1]
    off = (np.abs(effect).sum(axis=-1) - np.abs(own)) / max(size - 1, 1)
    return np.where(own != 0, off / np.where(own != 0, np.abs(own), 1.0), np.nan)


def excess(
    effect: Float[np.ndarray, "target measured"], human: Float[np.ndarray, "target measured"]
) -> Float[np.ndarray, "target measured"]:
    """Return effects on other values beyond what the correlation of the values makes of the effect on the target.

    Args:
        effect: Square effect matrix.
        human: Correlations of the values, among people or among labels; 1 on the diagonal, where the excess is 0.
    """
    return effect - np.diagonal(effect)[:, None] * human
