"""Specificity: what of an effect is the target's own, a uniform lift, the circle's doing, or leakage."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vprobe.values import angle


@dataclass(frozen=True)
class CircleFit:
    """One row of an effect matrix: what other values get as c + g cos(theta_j - theta_i) + e_j, and the row's own wave.

    The effect on the target has no part in c, g and e: a vector that moves its target alone lifts nothing, brings no
    neighbours along and does not leak, however large its effect is.

    Args:
        uniform: c, the lift of all other values alike.
        gain: g, what the others get according to how near the target they lie on the circle.
        leakage: Root mean square of e, what neither says: a wave that peaks elsewhere is leakage too.
        amplitude: a of the wave a cos(theta_j - delta) through the whole row, target and all; at least 0.
        displacement: How far its peak lies from the target's own angle, degrees, -180 to 180.
        r2: Share of the row's variance this wave and a lift explain; NaN when the row does not vary.
    """

    uniform: float
    gain: float
    leakage: float
    amplitude: float
    displacement: float
    r2: float


def circle_fit(effects: Float[np.ndarray, " measured"], target: str, measured: tuple[str, ...]) -> CircleFit:
    """Divide the effects of steering one value into lift, circle and leakage, and fit one wave to all of them.

    Args:
        effects: One row of an effect matrix.
        target: Value steered.
        measured: Values of the columns; only Schwartz values with an effect enter.

    Source: amplitude, displacement and r2: structural summary method, Zimmermann & Wright (2017), Assessment 24.
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
    shared, _, rank, _ = np.linalg.lstsq(design[off, :2], y[off], rcond=None)
    lift, gain = (float(one) for one in shared) if rank == 2 else (math.nan, math.nan)
    return CircleFit(
        uniform=lift,
        gain=gain,
        leakage=float(np.sqrt(((y[off] - lift - gain * design[off, 1]) ** 2).mean())),
        amplitude=float(np.hypot(b[1], b[2])),
        displacement=float(np.rad2deg(np.arctan2(b[2], b[1]))),
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
