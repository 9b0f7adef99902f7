"""When a change acts: always, where a value is probable or not, where activations point a way, or as one likes."""

from __future__ import annotations

import math
from typing import Any, Literal

from vprobe.errors import InputError, unknown
from vprobe.steering._arrays import along, length
from vprobe.steering._given import missing, number
from vprobe.types import Direction, Gate, Probe

GATES = ("none", "probability", "cosine")
_FAR = 1e30


def gate(
    name: str,
    *,
    probe: Probe | None = None,
    direction: Direction | None = None,
    above: float = math.nan,
    below: float = math.nan,
    each: Literal["token", "prompt"] = "token",
) -> Gate | None:
    """Make a gate that is open where a reading lies above one bound and at or below another.

    A predicate of your own is a `Gate` too: `Gate("long", lambda x: x.norm(dim=-1, keepdim=True) > 3)`.

    Args:
        name: "none"; "probability", what a probe says of the activation; or "cosine", of activation and direction.
        probe: For "probability".
        direction: For "cosine".
        above: Lower bound of the reading; none when NaN.
        below: Upper bound; none when NaN.
        each: "token": asked of every token; "prompt": asked of the last prompt token, for the whole text.

    Raises:
        InputError: Unknown gate, nothing to read with, or bounds that leave nothing.
    """
    if name not in GATES:
        raise unknown("gate", name, GATES)
    if name == "none":
        return None
    if (math.isnan(above) and math.isnan(below)) or above >= below:
        raise InputError(
            f"bounds {above:g} and {below:g}", where=f"gate {name}", expected="one bound, or a lower and an upper"
        )
    settings: tuple[tuple[str, float | str], ...] = (("above", above), ("below", below), ("each", each))
    if name == "probability":
        if probe is None:
            raise missing("gate probability", "probe", "calibrate one with steering.calibrate")
        low, high = (_logit(bound, far) for bound, far in ((above, -_FAR), (below, _FAR)))
        arrays = (probe.weights[None], number(probe.bias), number(low), number(high))
        return Gate(name, _probable, arrays, each, settings)
    if direction is None:
        raise missing("gate cosine", "direction", "give the direction activations are compared with")
    low, high = (far if math.isnan(bound) else bound for bound, far in ((above, -2.0), (below, 2.0)))
    return Gate(name, _pointing, (direction.vector[None], number(low), number(high)), each, settings)


def _logit(bound: float, far: float) -> float:
    if math.isnan(bound):
        return far
    if not 0 <= bound <= 1:
        raise InputError(f"probability {bound:g}", where="gate probability", expected="0 to 1")
    return math.copysign(_FAR, bound - 0.5) if bound in (0, 1) else math.log(bound / (1 - bound))


def _probable(x: Any, weights: Any, bias: Any, low: Any, high: Any) -> Any:
    odds = along(x, weights) + bias
    return (odds > low) & (odds <= high)


def _pointing(x: Any, vector: Any, low: Any, high: Any) -> Any:
    at, size = along(x, vector), length(x)  # without dividing: an activation of length 0 points nowhere
    return (at > low * size) & (at <= high * size)
