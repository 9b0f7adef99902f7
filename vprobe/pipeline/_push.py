"""Vectors with how they are put in and what a strength of 1 stands for: one way for every command that steers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import effects
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.pipeline._costs import texts_of, units_of
from vprobe.pipeline._manner import Manner, manner
from vprobe.types import Benchmark, Direction, Steering, Tokens


@dataclass(frozen=True)
class Push:
    """One value's vector, ready to be put in at any strength.

    Args:
        vector: The vector.
        how: What is done with it.
        find: Finds the size of a strength of 1 and of -1, see `units_of`; asked only for what is used.
        name: What a strength of 1 is, such as "residual norm" or "kl=1".
    """

    vector: Direction
    how: Manner
    find: Callable[[int], float]
    name: str

    @cached_property
    def unit(self) -> float:
        """Size of a strength of 1, in the operation's own doses."""
        return self.find(1)

    @cached_property
    def down(self) -> float:
        """Size of a strength of -1, above 0: another than `unit` where strengths are to cost alike."""
        return self.find(-1)

    def dose(self, strength: float) -> float:
        """Return a strength in the operation's own doses."""
        return strength * (self.unit if strength > 0 else self.down) if strength else 0.0

    def change(self, strength: float, vector: Direction | None = None) -> tuple[Steering, ...]:
        """Return the change at a strength; none at 0.

        Args:
            strength: How much.
            vector: A null vector in the vector's place: as much of it is put in.
        """
        return (self.how.change(vector or self.vector, self.dose(strength)),) if strength else ()

    @property
    def coefficient(self) -> float:
        """Coefficient of a strength of 1: activation units where the operation adds."""
        return self.how.operation.coefficient(self.unit, self.vector.unit)


def push_of(
    folder: Path,
    config: RunConfig,
    backend: Backend,
    vector: Direction,
    *,
    samples: Sequence[int] | np.ndarray | None = None,
    texts: Sequence[Tokens] | None = None,
) -> Push:
    """Return how one vector is steered, as configured.

    Args:
        folder: A run with activations and directions.
        config: What to do, and `dose`.
        backend: The model; asked for its drift on neutral texts where the unit is a KL.
        vector: The vector.
        samples: Rows of the run that probes and erasers may be fitted on; all when None.
        texts: Neutral texts; those of the model when None.

    Raises:
        InputError: Unknown operation, gate or option, an operation without what it needs, or a KL out of reach.
    """
    how = manner(folder, config, vector, samples=samples)
    return Push(vector, how, *units_of(backend, how, vector, config, texts))


def pushes_of(
    folder: Path,
    config: RunConfig,
    backend: Backend,
    vectors: Mapping[str, Direction],
    *,
    samples: Sequence[int] | np.ndarray | None = None,
) -> dict[str, Push]:
    """Return how each value is steered, as configured: operation, options, gate, tokens, conflict policy, unit.

    Args:
        folder: A run with activations and directions.
        config: What to do, and `dose`.
        backend: The model; asked for its drift on neutral texts where the unit is a KL.
        vectors: Vectors by value.
        samples: Rows of the run that probes and erasers may be fitted on; all when None.

    Raises:
        InputError: Unknown operation, gate or option, an operation without what it needs, or a KL out of reach.
    """
    texts = texts_of(backend, config)[0] if config.dose else None
    return {
        value: push_of(folder, config, backend, vector, samples=samples, texts=texts)
        for value, vector in vectors.items()
    }


def spread_of(found: Sequence[Benchmark], values: Sequence[str]) -> Float[np.ndarray, " value"]:
    """Return the SD of each value's label within queries over all items of some benchmarks: the unit of effects."""
    items = [item for one in found for item in one.items]
    labels = np.array([[item.loading(value) for value in values] for item in items])
    return effects.label_spread(labels, tuple(item.group for item in items))
