"""The final split: items no probe sees until they are opened, once, and the ledger that says whether they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vprobe import agreement, store
from vprobe.config import RunConfig
from vprobe.errors import RefusedError
from vprobe.pipeline import _search as search
from vprobe.pipeline._common import Stage, Tell, info, quiet
from vprobe.pipeline._held import REFITTED, held_of
from vprobe.pipeline._lookup import as_probed
from vprobe.pipeline._study import Study, whole
from vprobe.types import Agreement

LEDGER = "final"
DECIDES = ("final", "seed")
"""Settings that decide which items are set aside."""


@dataclass(frozen=True)
class Ledger:
    """What happened to a run's final split.

    Args:
        opened: How often it was opened.
        seen: True when its items were probed before they were set aside.
    """

    opened: int
    seen: bool


def ledger(folder: Path) -> Ledger:
    """Return what the manifest says of a run's final split.

    Args:
        folder: The run.
    """
    if LEDGER not in store.stages(folder):
        return Ledger(0, seen=False)
    known = dict(store.load_info(folder, LEDGER).config)
    return Ledger(int(known["opened"]), bool(known["seen"]))


def keep(folder: Path, config: RunConfig) -> None:
    """Note in the manifest that items are set aside, before they are; what an earlier probe saw stays seen.

    Args:
        folder: The run, about to be probed.
        config: What it is about to be probed with.
    """
    stages, before = store.stages(folder), ledger(folder)
    if not config.final and LEDGER not in stages:
        return
    then = dict(store.load_info(folder, "probe").config) if "probe" in stages else {}
    now = {name: getattr(config, name) for name in DECIDES}
    other = bool(then) and any(then.get(name) != now[name] for name in DECIDES)
    _write(folder, config, Ledger(before.opened, before.seen or other))


def open_final(folder: Path, config: RunConfig, *, unsafe: bool = False, tell: Tell = quiet) -> Stage:
    """Score the items set aside, with site and penalty chosen and probes fitted on all the others. Once.

    Args:
        folder: A run probed with a final split.
        config: Nothing of it is used but the folder; all settings are those the run was probed with.
        unsafe: True to open it again, or though it was seen before; the result says so.
        tell: Called with (stage, done, total).

    Raises:
        RefusedError: Nothing was set aside, or it was opened or seen before and `unsafe` is not True.
        StoreError: The run was not probed.
    """
    probed = as_probed(folder, config)
    if not probed.final:
        raise RefusedError(
            "no items were set aside in this run", where=str(folder), expected="a run probed with a final split",
            do="vprobe probe RUN --final 0.2, in a run that was not probed yet",
        )  # fmt: skip
    before = ledger(folder)
    warning = _warning(before)
    if warning and not unsafe:
        raise RefusedError(
            warning, where=str(folder), expected="a final split that nothing was learned from",
            do="report the first opening; --unsafe opens it nevertheless and marks the result",
        )  # fmt: skip
    known, rows = whole(folder, probed), []
    note = f"UNSAFE: {warning}" if warning else "final split, opened once"
    for number, method in enumerate(probed.method):
        tell("final", number, len(probed.method))
        rows += [replace(row, note=f"{note}; {row.note}") for row in _scored(known, method, probed)]
    tell("final", len(probed.method), len(probed.method))
    _write(folder, probed, Ledger(before.opened + 1, before.seen))  # before anybody sees a number
    store.save_rows(folder, "final", rows, Agreement)
    test = known.folds[0].test
    facts = (
        ("items set aside", len(test)),
        ("of", len(known.keyed.item_ids)),
        ("whole", known.unit),
        ("opened", before.opened + 1),
        ("marked", note),
    )
    return Stage("final", folder, facts)


def _warning(before: Ledger) -> str:
    if before.opened:
        return f"the final split was opened before ({before.opened} times)".replace("(1 times)", "(once)")
    return "the items set aside were probed before they were set aside" if before.seen else ""


def _write(folder: Path, config: RunConfig, now: Ledger) -> None:
    store.save_info(folder, info(LEDGER, config, more=(("opened", now.opened), ("seen", now.seen))), LEDGER)


def _scored(known: Study, method: str, config: RunConfig) -> Sequence[Agreement]:
    """Search on the training side, score the other; the null makes the whole search again on shuffled labels."""
    items, test = known.keyed, known.folds[0].test
    xs, k = [known.acts.at(site) for site in known.acts.sites], len(known.keyed.values)
    found = search.search(
        xs, known.columns, items.groups, known.folds, method=method, seed=config.seed, block=k
    )  # fmt: skip
    held = held_of(known, found.nested.scores, ("nested",) * k, method)
    return agreement.measure(
        held.scores[test], items.y[test], tuple(items.groups[i] for i in test), [agreement.Null(REFITTED, held.null)],
        comparison="probe~label", values=items.values, sites=held.sites, method=method,
        reliability=items.benchmark.reliability, seed=config.seed,
    )  # fmt: skip
