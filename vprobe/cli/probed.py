"""What `vprobe probe` prints beside a probe's figure: the baseline card, the search, and the final split."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vprobe.cli import show

SHORT = ("tf-idf", "unigrams", "length", "source", "embedding", "untrained", "layer 0", "control task")
"""Baselines, in the order of the card."""


def card(run: Path) -> None:
    """Print each probe's r beside what every baseline gives on the same labels and folds, then all baselines in short.

    Args:
        run: A probed run.
    """
    from vprobe import store
    from vprobe.types import Agreement, BaselineRow

    rows = store.load_rows(run, "baselines", BaselineRow)
    read = [row for row in store.load_rows(run, "agreement", Agreement) if row.site == "nested"]
    read = [row for row in read if (row.level, row.comparison) == ("item", "probe~label")]
    _by_value(rows, read)
    _in_short(rows)
    for note in dict.fromkeys(f"{row.baseline}: {row.note}" for row in rows if math.isnan(row.estimate)):
        show.line(note)


def _by_value(rows: Sequence[Any], read: Sequence[Any]) -> None:
    from vprobe import values

    known = {(row.method, row.value, row.baseline): row for row in rows if row.statistic == "within-query r"}
    lines, real = [], {row.baseline for row in known.values() if not math.isnan(row.estimate)}
    names = [name for name in SHORT if name in real]
    for probe in read:
        mine = [known.get((probe.method, probe.value, name)) for name in names]
        control = known.get((probe.method, probe.value, SHORT[-1]))
        chosen = "n/a" if control is None else show.number(control.excess)
        ends = "" if control is None else f"{show.number(control.excess_low)} .. {show.number(control.excess_high)}"
        cells = [show.number(row.estimate) if row else "n/a" for row in mine]
        lines.append((values.title(probe.value), probe.method, show.number(probe.estimate), *cells, chosen, ends))
    heads = [name.removesuffix(" task") for name in names]
    show.table("baseline card: within-query r of the same labels on the same folds",
               ("value", "method", "probe", *heads, "selectivity", "95 %"), lines)  # fmt: skip


def _in_short(rows: Sequence[Any]) -> None:
    """Print one line per baseline: its mean over values with the range, the mean null, and how many are above it."""
    lines: dict[tuple[str, ...], list[str]] = {}
    for key in dict.fromkeys((row.baseline, row.method, row.statistic, row.safe) for row in rows):
        mine = [row for row in rows if (row.baseline, row.method, row.statistic, row.safe) == key]
        real = [row for row in mine if not math.isnan(row.estimate)]
        if not real:
            continue
        tested = [row for row in real if not math.isnan(row.p)]
        r = [row.estimate for row in real]
        null = "n/a" if not tested else f"{_mean(tested, 'null_low')} .. {_mean(tested, 'null_high')}"
        above = f"{sum(row.p <= 0.05 for row in tested)} of {len(tested)}" if tested else "n/a"
        ahead = [row for row in real if row.excess_low > 0]
        compared = [row for row in real if not math.isnan(row.excess)]
        folds = "whole queries" if key[3] else "UNSAFE: divided"
        told = (
            key[0], key[2], folds, show.number(sum(r) / len(r)),
             f"{show.number(min(r))} .. {show.number(max(r))}", null, above,
             f"{len(ahead)} of {len(compared)}" if compared else "n/a", str(max(row.n_scored for row in real)),
        )  # fmt: skip
        lines.setdefault(told, []).append(key[1])
    heads = ("baseline", "statistic", "folds", "mean r", "over values", "null 95 %", "p <= .05",
             "probe ahead", "n", "beside")  # fmt: skip
    show.table("baselines, mean over values", heads, [(*told, ", ".join(names)) for told, names in lines.items()])
    show.line("probe ahead: values for which the 95 % interval of the difference lies above 0.")


def _mean(rows: Sequence[Any], name: str) -> str:
    found = [getattr(row, name) for row in rows]
    return str(show.number(sum(found) / len(found)))


def search(run: Path) -> None:
    """Print what the search found when it looked everywhere, and how often inner folds chose each site and penalty.

    Args:
        run: A probed run.
    """
    from vprobe import store, values
    from vprobe.types import SearchRow

    rows = store.load_rows(run, "search", SearchRow)
    lines = []
    for method, value in dict.fromkeys((row.method, row.value) for row in rows):
        mine = [row for row in rows if (row.method, row.value) == (method, value)]
        real = [row for row in mine if not math.isnan(row.r)]
        best = max(real, key=lambda row: row.r, default=None)
        chosen = ", ".join(f"{name} {n}x" for name, n in _times(mine, "site"))
        penalties = ", ".join(f"{penalty:g} {n}x" for penalty, n in _times(mine, "penalty") if not math.isnan(penalty))
        lines.append(
            (values.title(value), method, str(len(mine)), _cell(best) if best else "n/a",
             show.number(best.r if best else math.nan), show.number(best.p if best else math.nan, 3), chosen or "none",
             penalties or "n/a")
        )  # fmt: skip
    heads = ("value", "method", "cells", "best cell", "r there", "max-T p", "sites chosen", "penalties chosen")
    show.table("the search: best of all sites (and penalties), looked at afterwards", heads, lines)
    show.line("max-T p: two-sided, against the largest |r| of shuffled labels over all sites, values and penalties.")


def _times(rows: Sequence[Any], name: str) -> list[tuple[Any, int]]:
    """Return what inner folds chose, and in how many outer folds."""
    kinds = dict.fromkeys(getattr(row, name) for row in rows if row.picked)
    return [(kind, sum(row.picked for row in rows if getattr(row, name) == kind)) for kind in kinds]


def _cell(row: Any) -> str:
    return row.site if math.isnan(row.penalty) else f"{row.site} (penalty {row.penalty:g})"


def final(run: Path) -> None:
    """Print what probes give on the items that were set aside.

    Args:
        run: A run whose final split was opened.
    """
    from vprobe import store, values
    from vprobe.types import Agreement

    rows = [
        (values.title(row.value), row.method, show.number(row.estimate),
         f"{show.number(row.low)} .. {show.number(row.high)}",
         f"{show.number(row.null_low)} .. {show.number(row.null_high)}", show.chance(row.p),
         show.chance(row.p_family), str(row.n_scored), str(row.n_groups))
        for row in store.load_rows(run, "final", Agreement)
    ]  # fmt: skip
    heads = ("value", "method", "r", "95 % interval", "null 95 %", "p", "p family", "n", "queries")
    show.table("final split: items no probe, site or penalty was fitted or chosen on", heads, rows)
