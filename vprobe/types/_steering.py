"""Changes made to activations while a model runs: what is done, with which vector, on which tokens, and when."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from jaxtyping import Float

from vprobe.errors import InputError, unknown
from vprobe.types._inside import Direction, Site

STEER_POSITIONS = ("all", "prompt", "response", "after_prompt", "last_prompt", "option_span", "from:K")
"""Which tokens are changed. K is a whole number: from 0 it counts tokens from the start of the text, below 0 back from
the first token of the answer, so that from:-1 is "response" and from:-3 also takes the two tokens before."""

CONFLICTS = ("sequence", "sum", "mean", "strongest", "first", "refuse")
"""What is done when several changes act at one site on one token: one after the other, each on what the ones before it
left; all worked out on the activation as it came and added, or averaged; only the longest shift, or only that of the
first change that acts there; or an error before anything runs."""

MEASURES = ("activation", "share", "degrees")
"""What a coefficient counts: activation units, the share of a whole change, or degrees."""

Each = Literal["token", "prompt"]


@dataclass(frozen=True)
class Operation:
    """A steering operation, as handed to a backend.

    Args:
        name: Plug-in name.
        apply: `apply(x, vector, coefficient, *arrays)` returns the new activations, for numpy arrays and torch tensors
            alike. `x` is (row, token, width), float32; `vector` is (1, width), or (row, 1, width) when rows differ;
            `coefficient` is a number or (row, 1, 1). A coefficient of 0 leaves x as it is.
        arrays: What else it needs, each of shape (n, width) or (1, 1); handed on like `vector`.
        measure: What the coefficient counts, one of `MEASURES`.
        settings: What it was made with, for tables and cards.
        points: Points of a model it may act at; empty is anywhere.

    Raises:
        InputError: An array that is not a finite matrix, or an unknown measure.
    """

    name: str
    apply: Callable[..., Any]
    arrays: tuple[Float[np.ndarray, "_n _width"], ...] = ()
    measure: str = "activation"
    settings: tuple[tuple[str, float | str], ...] = ()
    points: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise unknown("measure", self.measure, MEASURES, where=f"operation {self.name}")
        _check_arrays(self.arrays, f"operation {self.name}")

    def coefficient(self, strength: float, unit: float) -> float:
        """Return the coefficient of a dose: strength x unit where it counts activation units, else the strength.

        Args:
            strength: The dose.
            unit: Median residual norm at the site, activation units.
        """
        return strength * unit if self.measure == "activation" else strength


@dataclass(frozen=True)
class Gate:
    """When a change acts: a yes or no for every token, or one for every prompt.

    Args:
        name: "probability", "cosine", or a name of your own.
        opens: `opens(x, *arrays)` returns True where the change acts, of shape (row, token, 1); shapes as in
            `Operation`.
        arrays: What it needs beside the activations.
        each: "token": asked of every token; "prompt": asked of the last token of the prompt, for the whole text.
        settings: What it was made with, for tables and cards.
    """

    name: str
    opens: Callable[..., Any]
    arrays: tuple[Float[np.ndarray, "_n _width"], ...] = ()
    each: Each = "token"
    settings: tuple[tuple[str, float | str], ...] = ()

    def __post_init__(self) -> None:
        _check_arrays(self.arrays, f"gate {self.name}")


@dataclass(frozen=True)
class Probe:
    """A direction that tells how probable it is that a value is present: sigmoid(slope x score + intercept).

    Args:
        direction: The direction; its midpoint and spread make projections scores.
        slope: Log odds per standard deviation of the score; above 0, so that MORE of the value is more probable.
        intercept: Log odds at the midpoint.

    Raises:
        InputError: A slope that is not above 0, or an intercept that is not finite.
    """

    direction: Direction
    slope: float
    intercept: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.slope) and self.slope > 0 and math.isfinite(self.intercept)):
            raise InputError(
                f"slope {self.slope:g} and intercept {self.intercept:g}",
                where=f"probe of {self.direction.value} at {self.direction.site}",
                expected="a slope above 0, finite numbers",
                do="calibrate it on samples that differ in the value; turn a direction that points the wrong way",
            )

    @property
    def weights(self) -> Float[np.ndarray, " d_model"]:
        """Log odds per activation unit along every axis."""
        return self.direction.vector.astype(np.float64) * (self.slope / self.direction.spread)

    @property
    def bias(self) -> float:
        """Log odds at activation zero."""
        return self.intercept - self.slope * self.direction.midpoint / self.direction.spread

    def probability(self, x: Float[np.ndarray, "*sample d_model"]) -> Float[np.ndarray, "*sample"]:
        """Return how probable the value is in each activation."""
        return 1.0 / (1.0 + np.exp(-(np.asarray(x, dtype=np.float64) @ self.weights + self.bias)))


@dataclass(frozen=True)
class Steering:
    """One change made to a model's activations while it runs.

    Args:
        operation: What is done.
        direction: The unit vector it is done with.
        coefficient: Size of the change, in the operation's measure. A coefficient of 0 changes no bit.
        positions: "all" tokens; "prompt" (tokens before the answer); "response" (from the last prompt token on, so that
            the first answer token is already affected); "after_prompt" (answer tokens only, the first is not affected);
            "last_prompt" (that token alone); "option_span" (the list of options in the prompt); "from:K", see
            `STEER_POSITIONS`.
        site: Where; the direction's own site when None.
        gate: When it acts; always when None.
        each: "token": the change of a token is worked out from that token's activation. "prompt": it is worked out from
            the last token of the prompt, and the same shift is added to all tokens, those generated later too.
        conflict: What is done when another change acts at the same site on the same token, one of `CONFLICTS`; all
            changes of one text at one site name the same.

    Raises:
        InputError: A coefficient that is not finite, unknown positions, an unknown conflict policy, or an operation
            where it may not act.
    """

    operation: Operation
    direction: Direction
    coefficient: float
    positions: str = "all"
    site: Site | None = None
    gate: Gate | None = None
    each: Each = "token"
    conflict: str = "sequence"

    def __post_init__(self) -> None:
        if not math.isfinite(self.coefficient):
            raise InputError(f"coefficient {self.coefficient}", where="steering", expected="a finite number")
        if self.positions not in STEER_POSITIONS[:-1] and from_token(self.positions) is None:
            raise unknown("positions", self.positions, STEER_POSITIONS, where="steering")
        if self.conflict not in CONFLICTS:
            raise unknown("conflict policy", self.conflict, CONFLICTS, where="steering")
        if self.operation.points and self.at.point not in self.operation.points:
            raise InputError(
                f"operation {self.operation.name} at {self.at}",
                where="steering",
                expected="a site of " + " or ".join(self.operation.points),
            )

    @property
    def at(self) -> Site:
        """The site it acts on."""
        return self.site or self.direction.site


Steered: TypeAlias = Sequence[Steering] | Sequence[Sequence[Steering]]
"""Changes for a batch: one list that all rows share, or one list per row, in which an empty list is a baseline row."""


def per_row(steering: Steered, rows: int) -> tuple[tuple[Steering, ...], ...]:
    """Return the changes of every row.

    Args:
        steering: One list that all rows share, or one list per row.
        rows: Rows of the batch.

    Raises:
        InputError: Lists in another number than rows, or single changes beside lists.
    """
    lists = [not isinstance(one, Steering) for one in steering]
    if not any(lists):
        return (tuple(cast("Sequence[Steering]", steering)),) * rows
    if not all(lists) or len(steering) != rows:
        raise InputError(
            f"{len(steering)} entries of which {sum(lists)} are lists",
            where="steering",
            expected=f"one list of changes for all rows, or {rows} lists, one per row",
        )
    return tuple(tuple(one) for one in cast("Sequence[Sequence[Steering]]", steering))


def from_token(positions: str) -> int | None:
    """Return K of the positions "from:K"; None for other positions."""
    match = re.fullmatch(r"from:(-?\d+)", positions)
    return int(match.group(1)) if match else None


def _check_arrays(arrays: Sequence[np.ndarray], where: str) -> None:
    for one in arrays:
        if one.ndim != 2 or not np.isfinite(one).all():
            raise InputError(f"an array of shape {one.shape}", where=where, expected="finite, of shape (n, width)")
