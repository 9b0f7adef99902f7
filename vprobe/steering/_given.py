"""What operations are made of beside a direction and a coefficient; each takes what it needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from vprobe.errors import InputError
from vprobe.types import Direction, Probe


@runtime_checkable
class Erasing(Protocol):
    """An affine eraser, such as `directions.Eraser`: x - (x - midpoint) read' written."""

    @property
    def written(self) -> Any:
        """What an erased part looks like in activations (erased, width)."""
        ...

    @property
    def read(self) -> Any:
        """How much of it an activation holds (erased, width)."""
        ...

    @property
    def midpoint(self) -> Any:
        """The activation that erasing leaves where it is (width,)."""
        ...


@dataclass(frozen=True)
class Given:
    """What an operation may be made of; NaN and None are not given.

    Args:
        probe: Tells from an activation how probable a value is.
        write: The direction a dose is worked out for, where it is not the probe's own.
        eraser: An affine eraser.
        second: The other axis of a plane.
        probability: The probability to be reached.
        below: Reach it from above: make the value at most as probable.
        target: The projection, or activity, to be set; activation units.
        low: Smallest projection that stays as it is, activation units.
        high: Largest.
        angle: The angle to be set, degrees from the direction towards the second axis.
        targets: Per neuron the activity to be set.
        heads: Attention heads that are changed, from 0.
        head_count: Heads of a block.
        width: Width of all heads together.
        source: Another activation, whose coordinate is taken over or that is put in.
    """

    probe: Probe | None = None
    write: Direction | None = None
    eraser: Erasing | None = None
    second: Direction | None = None
    probability: float = math.nan
    below: bool = False
    target: float = math.nan
    low: float = math.nan
    high: float = math.nan
    angle: float = math.nan
    targets: Float[np.ndarray, " neuron"] | None = None
    heads: tuple[int, ...] = ()
    head_count: int = 0
    width: int = 0
    source: Float[np.ndarray, " d_model"] | None = None

    def settings(self) -> tuple[tuple[str, float | str], ...]:
        """Return the numbers that were given, for tables and cards."""
        numbers = ("probability", "target", "low", "high", "angle")
        found: list[tuple[str, float | str]] = [
            (name, value) for name in numbers if not math.isnan(value := getattr(self, name))
        ]
        found += [("below", "yes")] if self.below else []
        found += [("heads", ",".join(map(str, self.heads)))] if self.heads else []
        found += [("probe", f"{self.probe.direction.method} at {self.probe.direction.site}")] if self.probe else []
        return tuple(found)


def missing(operation: str, what: str, do: str) -> InputError:
    """Build the error for something an operation cannot do without."""
    return InputError(f"no {what}", where=f"operation {operation}", expected=f"a {what}", do=do)


def number(value: float) -> Float[np.ndarray, "1 1"]:
    """Return a number in the shape operations are handed it."""
    return np.array([[value]], dtype=np.float64)
