"""`probe --from`: score what one run recorded with another run's directions, such as completions with fitted probes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vprobe import scores, store
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.pipeline._common import Stage, chosen_values, info
from vprobe.pipeline._lookup import direction
from vprobe.types import Direction, ScoreRow, Scores


def borrow(folder: Path, config: RunConfig, *, source: Path) -> Stage:
    """Score a run's items with directions fitted elsewhere on the same model, one site per value.

    The items need no labels. Scores are in standard deviations of the items the directions were fitted on.

    Args:
        folder: A run with activations.
        config: Values and the first method.
        source: A run of the same model with directions.

    Raises:
        VprobeError: No activations or directions, another model, items of both runs, or a site or position not recorded
            here.
    """
    if folder.resolve() == source.resolve():
        raise InputError("a run's own directions", where="--from", expected="another run", do="leave --from out")
    at = store.recording(folder).positions[0]
    _apart(folder, source)
    there = tuple(dict.fromkeys(one.value for one in store.load_directions(source)))
    chosen = chosen_values(config.values, there)
    items = store.load_items(folder)
    found = score(folder, [direction(source, value, method=config.method[0]) for value in chosen], position=at)
    ids = found.sample_ids
    rows = scores.rows(found, items.groups(ids), method=config.method[0], site=f"from {source.name}")
    store.save_rows(folder, "readings", rows, ScoreRow)
    store.save_info(folder, info("borrow", config), "borrow")
    kinds = {item.id: item.source for item in items.items}
    facts = tuple(
        (f"{name}: mean {value}", float(found.x[[kinds[i] == name for i in ids], column].mean()))
        for name in dict.fromkeys(kinds[i] for i in ids)
        for column, value in enumerate(chosen)
    )
    return Stage("borrow", folder, (("items", len(ids)), ("directions of", source.name), *facts))


def score(folder: Path, directions: Sequence[Direction], *, position: str = "", unsafe: bool = False) -> Scores:
    """Score a run's items on directions, refusing those that were fitted or chosen on them or on their queries.

    Args:
        folder: A run with activations.
        directions: At most one per value.
        position: Where to read; empty is the first direction's own.
        unsafe: True to score them nevertheless; the result is marked.

    Raises:
        InputError: No direction, another model's or position's, or a site that was not recorded.
        RefusedError: Samples a direction has seen, and `unsafe` is not True.
    """
    if not directions:
        raise InputError("no directions", where="score", expected="at least one")
    acts = store.load_activations(folder, position or directions[0].position)
    ids = tuple(sample.item_id for sample in store.load_samples(folder))
    found = scores.project(acts, directions, groups=store.load_items(folder).groups(ids), unsafe=unsafe)
    return replace(found, sample_ids=ids)


def _apart(folder: Path, source: Path) -> None:
    """Refuse items the directions were fitted on: they would look too good."""
    fitted = {item.id for item in store.load_items(source).items}
    shared = [item.id for item in store.load_items(folder).items if item.id in fitted]
    if shared:
        raise InputError(
            f"{len(shared)} items are in both runs, first {shared[0]!r}", where="--from",
            expected="items the directions were not fitted on", do="vprobe probe scores a run's own items held out",
        )  # fmt: skip
