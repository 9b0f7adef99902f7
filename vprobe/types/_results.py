"""What comes out: scores, agreement, and where they come from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from vprobe.errors import InputError
from vprobe.types._arrays import frozen_array
from vprobe.types._inside import ModelInfo


@dataclass(frozen=True)
class Fold:
    """One division of the samples into two disjoint sets of row indices; no group lies in both.

    Args:
        train: Rows to fit and choose on.
        test: Rows held out.
        whole: Per training row the number of what inner folds keep whole, such as its rater group; None is its query.
    """

    train: Int[np.ndarray, " train"]
    test: Int[np.ndarray, " test"]
    whole: Int[np.ndarray, " train"] | None = None


@dataclass(frozen=True)
class Scores:
    """Numbers per sample and value.

    Args:
        x: NaN is unscored.
        sample_ids: Item ids, in the order of the first axis.
        values: In the order of the second axis.
        kind: Where they come from; kinds are never mixed.
        unit: What 1.0 means.
        n_seen: Samples that a direction was fitted or chosen on, or their query: such scores look too good.
    """

    x: Float[np.ndarray, "sample value"]
    sample_ids: tuple[str, ...]
    values: tuple[str, ...]
    kind: Literal["probe", "rating", "generation", "self_report", "label"]
    unit: str
    n_seen: int = 0

    def __post_init__(self) -> None:
        if self.x.shape != (len(self.sample_ids), len(self.values)):
            raise InputError(
                f"shape {self.x.shape}",
                where=f"{self.kind} scores",
                expected=f"({len(self.sample_ids)} samples, {len(self.values)} values)",
            )
        object.__setattr__(self, "x", frozen_array(self.x, np.float64))

    @property
    def n_unscored(self) -> int:
        """Samples without a number for at least one value."""
        return int(np.isnan(self.x).any(axis=1).sum())


@dataclass(frozen=True)
class Agreement:
    """How far two measures of one value agree, never without its null, interval, ceiling and n.

    Args:
        level: "item" (within query) or "profile" (over values).
        comparison: What is compared, such as "probe~label".
        value: Canonical value name; "all" at profile level.
        statistic: Name of the estimate, such as "within-query r".
        estimate: The number; NaN when it does not exist.
        low: Lower end of the 95 % interval.
        high: Upper end.
        null_mean: Mean of the null distribution.
        null_low: Its 2.5 % quantile.
        null_high: Its 97.5 % quantile.
        p: Permutation p, (1 + draws as large) / (1 + draws); one-sided unless the note says otherwise.
        p_family: The same against the largest statistic of the family tested (max-T); NaN when there is no family.
        ceiling: Highest expected estimate given label noise; NaN is not known.
        n_scored: Items used.
        n_unscored: Items left out.
        n_groups: Queries used.
        site: Where the probe reads, "nested" when inner folds chose it, empty when no probe is involved.
        method: Direction method, empty when no probe is involved.
        note: Anything a reader must know.
    """

    level: str
    comparison: str
    value: str
    statistic: str
    estimate: float
    low: float
    high: float
    null_mean: float
    null_low: float
    null_high: float
    p: float
    ceiling: float
    n_scored: int
    n_unscored: int
    n_groups: int
    p_family: float = math.nan
    site: str = ""
    method: str = ""
    note: str = ""


@dataclass(frozen=True)
class Count:
    """How many samples were left out, for what reason and from where."""

    stage: str
    reason: str
    source: str
    n: int
    of: int


@dataclass(frozen=True)
class RunInfo:
    """What a run was made with. Holds no clock and no host: those are in `timing.json`.

    Args:
        config: Resolved configuration as (name, value) pairs, output folder left out.
        vprobe: Version of vprobe.
        commit: Git commit of vprobe, "+dirty" appended when it has changes; empty outside a checkout.
        versions: (package, version) pairs.
        model: The model; None before one was used.
        seed: Seed of everything drawn.
        data: (benchmark, SHA-256) pairs.
        counts: Samples left out.
    """

    config: tuple[tuple[str, Any], ...]
    vprobe: str
    commit: str
    versions: tuple[tuple[str, str], ...]
    model: ModelInfo | None
    seed: int
    data: tuple[tuple[str, str], ...] = ()
    counts: tuple[Count, ...] = field(default=())


@dataclass(frozen=True)
class Climb:
    """The highest rung one value reaches.

    Args:
        value: Canonical value name.
        rung: 0 is none, 8 the highest.
        name: What the rung says.
        missing: What the next rung says, and why it is not reached; empty at the top.
    """

    value: str
    rung: int
    name: str
    missing: str
