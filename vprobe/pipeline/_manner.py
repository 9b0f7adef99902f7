"""How a run's directions are steered with: operation, gate, scope, tokens and conflict policy, as configured."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, cast

import numpy as np

from vprobe import directions, splits, steering
from vprobe.config import RunConfig
from vprobe.errors import InputError, unknown
from vprobe.pipeline._lookup import as_probed, direction
from vprobe.pipeline._study import Study, study
from vprobe.steering import Given
from vprobe.types import Direction, Gate, Operation, Probe, Steering

NUMBERS = ("probability", "target", "low", "high", "angle", "gate_above", "gate_below")
WORDS = ("second", "below", "each", "gate_each")
OPTIONS = (*NUMBERS, *WORDS)
"""Names of `--option NAME=VALUE`. target, low and high count standard deviations of the direction's fitted scores."""
READS = {
    "minimal-dose": ("probability", "below"), "clamp": ("target",), "neuron-clamp": ("target",),
    "project-out": ("target",), "cap": ("low", "high"), "angular": ("second", "angle"),
}  # fmt: skip
"""Options an operation reads beside `each`, which all do; gates read those that begin with gate."""
_ERASES = "leace"
BLIND = (_ERASES, "neuron-scale", "neuron-clamp")
"""Operations that read no more of a vector than its name, or which of its entries are not 0: a fitted one has none."""
Each = Literal["token", "prompt"]


@dataclass(frozen=True)
class Manner:
    """All of a change but its vector and its size."""

    operation: Operation
    positions: str
    gate: Gate | None = None
    each: Each = "token"
    conflict: str = "sequence"

    def change(self, vector: Direction, strength: float) -> Steering:
        """Return the change of one vector: strength counts residual norms where the operation adds."""
        size = self.operation.coefficient(strength, vector.unit)
        return Steering(
            self.operation, vector, size, self.positions, gate=self.gate, each=self.each, conflict=self.conflict
        )


def manner(
    folder: Path,
    config: RunConfig,
    target: Direction,
    *,
    samples: Sequence[int] | np.ndarray | None = None,
    heads: tuple[int, ...] = (),
    head_count: int = 0,
) -> Manner:
    """Return how a direction is steered with; probes are calibrated and erasers fitted on the run's activations.

    Args:
        folder: A run with activations and directions.
        config: Operation, its options, gate, tokens and conflict policy.
        target: The direction steered with.
        samples: Rows of the run that may be used; all when None.
        heads: Attention heads that are changed, where the operation is one on heads.
        head_count: Heads of a block.

    Raises:
        InputError: Unknown operation, gate or option, or an operation without what it needs.
    """
    found = _Options(config)
    parts = _Parts(folder, config, target, samples)
    asked = dataclasses.replace(_given(found, parts), heads=heads, head_count=head_count, width=len(target.vector))
    operation = steering.load(config.steer_operation, asked)
    gate = steering.gate(
        config.steer_gate,
        probe=parts.probe if config.steer_gate == "probability" else None,
        direction=target,
        above=found.number("gate_above"),
        below=found.number("gate_below"),
        each=found.each("gate_each"),
    )
    return Manner(operation, config.steer_positions, gate, found.each("each"), config.steer_conflict)


def _given(found: _Options, parts: _Parts) -> Given:
    """Gather what the operation needs, and fit nothing that it does not."""
    name, second = found.operation, found.word("second")
    mine = parts.target

    def at(option: str) -> float:
        score = found.number(option)
        return math.nan if math.isnan(score) else mine.midpoint + score * mine.spread

    return Given(
        probe=parts.probe if name in ("minimal-dose", "relu-dose") else None,
        eraser=parts.eraser if name == _ERASES else None,
        second=parts.other(second) if second else None,
        probability=found.number("probability"),
        below=found.word("below") == "yes",
        target=at("target"),
        low=at("low"),
        high=at("high"),
        angle=found.number("angle"),
    )


def check_nulls(how: Manner, draws: int) -> None:
    """Refuse null vectors for an operation that does the same with any vector: they would look like the real one.

    Args:
        how: What is done.
        draws: Null vectors.

    Raises:
        InputError: Null vectors for such an operation.
    """
    if draws and how.operation.name in BLIND:
        raise InputError(
            f"{how.operation.name} does the same whatever the vector, so it has no null vectors",
            where="--operation", do="steer with another operation, such as project-out, or give --null-draws 0",
        )  # fmt: skip


class _Options:
    """`--option NAME=VALUE`, checked."""

    def __init__(self, config: RunConfig) -> None:
        self.operation = config.steer_operation.strip().lower().replace("_", "-")
        self._given: dict[str, str] = {}
        for text in config.steer_options:
            name, equals, value = text.partition("=")
            name = name.strip().replace("-", "_")
            if not equals or not value.strip():
                raise InputError(f"{text!r}", where="--option", expected="NAME=VALUE, such as probability=0.9")
            if name not in OPTIONS:
                raise unknown("option", name, OPTIONS, where="--option")
            if name in self._given:
                raise InputError(f"{name} twice", where="--option", expected="every option once")
            self._given[name] = value.strip()
        self._check(config)

    def _check(self, config: RunConfig) -> None:
        """Refuse options that nothing would read, and a word that is none of those known."""
        reads = ("each", *READS.get(self.operation, ()))
        gates = tuple(name for name in OPTIONS if name.startswith("gate_")) if config.steer_gate != "none" else ()
        idle = [name for name in self._given if name not in (*reads, *gates)]
        if idle and self.operation in steering.names():
            raise InputError(
                f"{idle[0]} with operation {self.operation} and gate {config.steer_gate}", where="--option",
                expected="options they read: " + ", ".join((*reads, *gates)), do="leave it out, or name what reads it",
            )  # fmt: skip
        if self.word("below") not in ("", "yes", "no"):
            raise unknown("word", self.word("below"), ("yes", "no"), where="--option below")

    def word(self, name: str) -> str:
        return self._given.get(name, "")

    def number(self, name: str) -> float:
        text = self._given.get(name)
        try:
            return math.nan if text is None else float(text)
        except ValueError:
            raise InputError(f"{text!r}", where=f"--option {name}", expected="a number") from None

    def each(self, name: str) -> Each:
        word = self.word(name) or "token"
        if word not in ("token", "prompt"):
            raise unknown("scope", word, ("token", "prompt"), where=f"--option {name}")
        return cast("Each", word)


@dataclass(frozen=True)
class _Parts:
    """What is fitted on a run's activations, each only when it is asked for."""

    folder: Path
    config: RunConfig
    target: Direction
    samples: Sequence[int] | np.ndarray | None

    @cached_property
    def known(self) -> Study:
        return study(self.folder, as_probed(self.folder, self.config))

    @property
    def _rows(self) -> np.ndarray:
        """Samples that may be used: those given, or all that no final split sets aside."""
        if self.samples is not None:
            return np.asarray(self.samples)
        return np.unique(np.concatenate([fold.test for fold in self.known.folds]))

    @cached_property
    def _labelled(self) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        """Return activations at the site, labels of all values, and queries, of the samples that may be used."""
        items, rows = self.known.keyed, self._rows
        x = self.known.acts.at(self.target.site)[rows].astype(np.float64)
        return x, items.y[rows], tuple(items.groups[i] for i in rows)

    @property
    def _column(self) -> int:
        return self.known.keyed.values.index(self.target.value)

    @property
    def probe(self) -> Probe:
        """The direction's score as a probability that the label is above 0, calibrated on scores not fitted."""
        x, y, groups = self._labelled
        if self.config.steer_vector:
            label = y[:, self._column]
            known = np.isfinite(label)
            return steering.calibrate(self.target, self.target.score(x[known]), label[known] > 0)
        k = min(self.config.folds, len(set(groups)))
        folds = splits.by_group(groups, k=k, seed=self.config.seed)
        scores = directions.held_out(x, y, groups, folds, method=self.config.steer_method, seed=self.config.seed)
        mine, label = scores[:, self._column], y[:, self._column]
        known = np.isfinite(mine) & np.isfinite(label)
        return steering.calibrate(self.target, mine[known], label[known] > 0)

    @property
    def eraser(self) -> directions.Eraser:
        """LEACE for the value's label."""
        x, y, groups = self._labelled
        return directions.eraser(x, y[:, [self._column]], groups)

    def other(self, value: str) -> Direction:
        """Return another value's direction at the same site, fitted on the samples that may be used.

        Raises:
            InputError: No such value, the target's own, or one without a direction there.
        """
        made = direction(self.folder, value, site=str(self.target.site), method=self.config.steer_method)
        if made.value == self.target.value:
            raise InputError(
                f"{made.value}, which is steered itself", where="--option second", expected="another value",
                do="a plane has two axes, such as a value and its opposite",
            )  # fmt: skip
        if self.samples is None:
            return made
        x, y, groups = self._labelled
        values = self.known.keyed.values
        fitted = directions.fit(
            x, y, groups, method=self.config.steer_method, seed=self.config.seed, block=len(values)
        )[values.index(made.value)]  # fmt: skip
        if not np.isfinite(fitted).all():
            raise InputError(f"no direction of {made.value} at {made.site}", where="--option second")
        return dataclasses.replace(made, vector=fitted.astype(np.float32))
