"""Add just as much of the direction as makes a value as probable as wanted; nothing where it already is (ConVA)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vprobe.errors import InputError
from vprobe.steering._arrays import along, positive
from vprobe.steering._given import Given, missing, number

MEASURE = "share"
POINTS: tuple[str, ...] = ()


def arrays(given: Given) -> tuple[Any, ...]:
    """Return the probe's weights, the log odds still to come at activation zero, the gain of a unit, and the sign.

    Raises:
        InputError: No probe, no probability, or a direction along which the probe does not rise.
    """
    if given.probe is None:
        raise missing("minimal-dose", "probe", "calibrate one with steering.calibrate")
    if not 0 < given.probability < 1:
        raise missing("minimal-dose", "probability", "give one between 0 and 1")
    weights = given.probe.weights
    along_it = given.probe.direction.vector if given.write is None else given.write.vector
    gain = float(weights @ along_it.astype(np.float64))
    if gain <= 1e-9 * float(np.linalg.norm(weights)):
        raise InputError(
            "the probe does not rise along the direction", where="operation minimal-dose", do="steer along another"
        )
    wanted = math.log(given.probability / (1 - given.probability)) - given.probe.bias
    return weights[None], number(wanted), number(gain), number(-1.0 if given.below else 1.0)


def apply(x: Any, vector: Any, coefficient: Any, weights: Any, wanted: Any, gain: Any, sign: Any) -> Any:
    """Return `x + e v`, e the smallest size with probability P(x + e v) >= P0, or <= P0 when reached from above.

    With Steering(each="prompt") the size is worked out at the end of the prompt and added to all tokens; a change at a
    deeper site sees what shallower ones did, so doses at several layers follow one another in a single forward.

    Args:
        x: Activations (..., width).
        vector: Unit vector (1, width).
        coefficient: Share of the dose; 1 reaches the probability. A scalar or (..., 1).
        weights: The probe's weights (1, width).
        wanted: logit(P0) less the probe's bias, (1, 1).
        gain: Rise in log odds per unit of the direction.
        sign: 1 to reach the probability from below, -1 from above.

    Source: Jin et al. (2025), ConVA, arXiv 2507.11316, equation of the minimal shift.
    """
    short = sign * positive(sign * (wanted - along(x, weights)))
    return x + coefficient * (short / gain) * vector
