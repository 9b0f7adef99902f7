"""Look things up in a run: one direction, the site inner folds picked, the settings it was probed with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import store
from vprobe.config import RunConfig
from vprobe.errors import InputError, unknown
from vprobe.pipeline._study import Keyed
from vprobe.types import Agreement, Direction, ScoreRow, SitePick
from vprobe.values import find


def direction(folder: Path, value: str, *, site: str = "", method: str = "mean-difference") -> Direction:
    """Return one fitted direction of a run, fitted on all its items.

    Args:
        folder: A run with directions.
        value: Canonical or other accepted spelling.
        site: Such as "resid_post.3"; empty is the one inner folds picked most often.
        method: Direction method.

    Raises:
        InputError: Unknown value, site or method; the nearest is named.
    """
    found = store.load_directions(folder)
    values = tuple(dict.fromkeys(one.value for one in found))
    name = find(value, where="value")
    if name not in values:
        raise unknown("direction", name, values, where=f"values probed in {folder}")
    method = method.replace("_", "-")
    mine = [one for one in found if one.value == name and one.method == method]
    if not mine:
        raise unknown("method", method, dict.fromkeys(one.method for one in found), where=f"directions in {folder}")
    wanted = site or picked_site(folder, name, method)
    chosen = next((one for one in mine if str(one.site) == wanted), None)
    if chosen is None:
        raise unknown("site", wanted, [str(one.site) for one in mine], where=f"directions in {folder}")
    return chosen


def picked_site(folder: Path, value: str, method: str) -> str:
    """Return the site inner folds picked most often for a value; the earlier fold decides a tie."""
    rows = [r for r in store.load_rows(folder, "picks", SitePick) if (r.value, r.method) == (value, method) and r.site]
    if not rows:
        raise InputError(
            f"no site was picked for {value} with {method}", where=str(folder), do="run vprobe probe again"
        )
    return Counter(row.site for row in rows).most_common(1)[0][0]


def common_site(folder: Path, method: str) -> str:
    """Return the site inner folds picked most often over all values; the earlier row decides a tie.

    Raises:
        InputError: None was picked.
    """
    rows = [row for row in store.load_rows(folder, "picks", SitePick) if row.method == method and row.site]
    if not rows:
        raise InputError(f"no site was picked with {method}", where=str(folder), do="run vprobe probe with this method")
    return Counter(row.site for row in rows).most_common(1)[0][0]


def as_probed(folder: Path, config: RunConfig) -> RunConfig:
    """Return the configuration the run was probed with, so that folds and shuffles are the same again."""
    return RunConfig().changed(dict(store.load_info(folder, "probe").config)).changed({"out": config.out})


def save_agreement(folder: Path, rows: list[Agreement], *, keep: Callable[[Agreement], bool]) -> None:
    """Replace the rows a stage makes anew and keep those of the other stage."""
    old = store.load_rows(folder, "agreement", Agreement) if store.has(folder, "agreement") else ()
    store.save_rows(folder, "agreement", sorted_rows([row for row in old if keep(row)] + rows), Agreement)


def sorted_rows(rows: list[Agreement]) -> list[Agreement]:
    """Order the agreement table: items before profiles, reading before ratings."""
    first = ("probe~label", "text~label", "rating~label", "probe~rating")
    place = {name: number for number, name in enumerate(first)}
    return sorted(rows, key=lambda row: (row.level != "item", place.get(row.comparison, len(first))))


def held_out_scores(folder: Path, items: Keyed, method: str) -> Float[np.ndarray, "sample value"]:
    """Return a run's nested probe scores of one method, aligned with its items; NaN is unscored."""
    out = np.full((len(items.item_ids), len(items.values)), np.nan)
    row = {item: i for i, item in enumerate(items.item_ids)}
    column = {value: i for i, value in enumerate(items.values)}
    for one in store.load_rows(folder, "scores", ScoreRow):
        if (one.kind, one.method, one.site) == ("probe", method, "nested"):
            out[row[one.item_id], column[one.value]] = one.score
    return out
