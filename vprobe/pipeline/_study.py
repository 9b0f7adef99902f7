"""What probing and agreement rest on: a run's items with labels and queries, and its activations beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import controls, splits, store
from vprobe.config import RunConfig
from vprobe.errors import InputError, unknown
from vprobe.pipeline._common import chosen_values
from vprobe.types import Activations, Benchmark, Fold

LABEL_UNIT = "correlation over raters, or key"


@dataclass(frozen=True)
class Keyed:
    """Items with the labels and queries every comparison needs, aligned by row."""

    benchmark: Benchmark
    item_ids: tuple[str, ...]
    groups: tuple[str, ...]
    values: tuple[str, ...]
    y: Float[np.ndarray, "sample value"]


@dataclass(frozen=True)
class Study:
    """What a probing study rests on: activations beside keyed items, folds by query, label rows shuffled jointly.

    `unit` is what a final split keeps whole, "blocks" or "queries".
    """

    keyed: Keyed
    acts: Activations
    folds: tuple[Fold, ...]
    shuffled: Float[np.ndarray, "draw sample value"]
    unit: str = "queries"

    @property
    def columns(self) -> Float[np.ndarray, "sample column"]:
        """Real labels, then every shuffled copy, as one set of columns."""
        return controls.stack(self.keyed.y, self.shuffled)


def keyed(folder: Path, item_ids: tuple[str, ...], names: Sequence[str]) -> Keyed:
    """Look up labels and queries of items of a run.

    Raises:
        InputError: A name that is no value and no family, or no value the benchmark knows.
    """
    benchmark = store.load_items(folder)
    values = chosen_values(names, benchmark.values)
    return Keyed(benchmark, item_ids, benchmark.groups(item_ids), values, benchmark.loadings(item_ids, values))


def study(folder: Path, config: RunConfig) -> Study:
    """Open what a run recorded, less what is set aside, with labels, folds, and label rows shuffled jointly.

    Raises:
        StoreError: The run has no finished activations.
        InputError: Unknown values, fewer queries than folds, or one response to each query.
        RefusedError: The final split cannot be made.
    """
    acts, known = _opened(folder, config)
    unit, held = _unit(known, config)
    if config.final:
        rows = splits.aside(held, share=config.final, seed=config.seed).train
        acts, known = _some(acts, known, rows)
    held = known.groups if config.hold_out == "query" else _blocks(known)
    folds = splits.by_group(held, k=config.folds, seed=config.seed, inside=config.hold_out == "block")
    return Study(known, acts, folds, _shuffled(known, config), unit)


def whole(folder: Path, config: RunConfig) -> Study:
    """Open what a run recorded with one fold: what is set aside is its test side.

    Raises:
        StoreError: The run has no finished activations.
        RefusedError: The final split cannot be made.
    """
    acts, known = _opened(folder, config)
    unit, held = _unit(known, config)
    fold = splits.aside(held, share=config.final, seed=config.seed, inside=config.hold_out == "block")
    return Study(known, acts, (fold,), _shuffled(known, config), unit)


def _shuffled(known: Keyed, config: RunConfig) -> np.ndarray:
    return controls.shuffle_labels(known.y, known.groups, draws=config.draws, seed=config.seed)


def _unit(known: Keyed, config: RunConfig) -> tuple[str, tuple[str, ...]]:
    """Return what a final split keeps whole: blocks where all items have one, queries elsewhere."""
    blocks = tuple(item.block for item in known.benchmark.pick(known.item_ids))
    return ("blocks", blocks) if all(blocks) else ("queries", known.groups)


def _some(acts: Activations, known: Keyed, rows: np.ndarray) -> tuple[Activations, Keyed]:
    """Keep some samples."""
    ids, groups = (tuple(names[i] for i in rows) for names in (known.item_ids, known.groups))
    fewer = Activations(acts.x[rows], tuple(acts.sample_ids[i] for i in rows), acts.sites, acts.position, acts.model)
    return fewer, Keyed(known.benchmark, ids, groups, known.values, known.y[rows])


def _opened(folder: Path, config: RunConfig) -> tuple[Activations, Keyed]:
    """Load activations at the position asked for, with the labels of their items."""
    at = store.recording(folder)
    wanted = config.positions[0]
    if wanted not in at.positions and config.positions != RunConfig().positions:
        raise unknown("position", wanted, at.positions, where=f"recorded in {folder}")
    acts = store.load_activations(folder, wanted if wanted in at.positions else at.positions[0])
    known = keyed(folder, tuple(sample.item_id for sample in store.load_samples(folder)), config.values)
    if len(set(known.groups)) == len(known.groups):
        raise InputError(
            f"every query of {known.benchmark.name} has one response", where=str(folder),
            expected="several responses to compare within a query",
            do="fit probes on another benchmark, such as everyday; this one can be rated and scored",
        )  # fmt: skip
    return acts, known


def _blocks(known: Keyed) -> tuple[str, ...]:
    """Return the block of every sample: its rater group or its construction.

    Raises:
        InputError: The benchmark has no blocks.
    """
    blocks = tuple(item.block for item in known.benchmark.pick(known.item_ids))
    if not all(blocks):
        raise InputError(
            f"{known.benchmark.name} has items without a block", where="--hold-out", expected="a benchmark with blocks",
            do="hold out queries",
        )  # fmt: skip
    return blocks
