"""`probe --from`: score what one run recorded with another run's directions, such as completions with fitted probes."""

from __future__ import annotations

from pathlib import Path

from vprobe import scores, store
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.pipeline._common import Stage, chosen_values, info
from vprobe.pipeline._lookup import direction
from vprobe.types import ScoreRow, Scores


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
    acts = store.load_activations(folder, store.recording(folder).positions[0])
    _apart(folder, source)
    there = tuple(dict.fromkeys(one.value for one in store.load_directions(source)))
    chosen = chosen_values(config.values, there)
    found = scores.project(acts, [direction(source, value, method=config.method[0]) for value in chosen])
    items = store.load_items(folder)
    ids = tuple(sample.item_id for sample in store.load_samples(folder))
    named = Scores(found.x, ids, found.values, "probe", found.unit)
    rows = scores.rows(named, items.groups(ids), method=config.method[0], site=f"from {source.name}")
    store.save_rows(folder, "readings", rows, ScoreRow)
    store.save_info(folder, info("borrow", config), "borrow")
    kinds = {item.id: item.source for item in items.items}
    facts = tuple(
        (f"{name}: mean {value}", float(found.x[[kinds[i] == name for i in ids], column].mean()))
        for name in dict.fromkeys(kinds[i] for i in ids)
        for column, value in enumerate(chosen)
    )
    return Stage("borrow", folder, (("items", len(ids)), ("directions of", source.name), *facts))


def _apart(folder: Path, source: Path) -> None:
    """Refuse items the directions were fitted on: they would look too good."""
    fitted = {item.id for item in store.load_items(source).items}
    shared = [item.id for item in store.load_items(folder).items if item.id in fitted]
    if shared:
        raise InputError(
            f"{len(shared)} items are in both runs, first {shared[0]!r}", where="--from",
            expected="items the directions were not fitted on", do="vprobe probe scores a run's own items held out",
        )  # fmt: skip
