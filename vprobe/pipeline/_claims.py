"""`claims`: what may be said of a run, and why not the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vprobe import claims as rules
from vprobe import controls, directions, store
from vprobe.claims import Level
from vprobe.claims.reading import Decoded, Reading
from vprobe.config import RunConfig
from vprobe.errors import RefusedError
from vprobe.pipeline._common import Stage, Tell, info, quiet
from vprobe.pipeline._lookup import as_probed, common_site
from vprobe.pipeline._study import Study, study
from vprobe.types import Agreement, Benchmark, ClaimRow, DoseRow, Reliability, Site, SitePick
from vprobe.values import SCHWARTZ


def claims(folder: Path, config: RunConfig, *, tell: Tell = quiet) -> Stage:
    """Decide every claim the run has data for, at one family-wise level, and store them with their reasons.

    Args:
        folder: A probed run; sweeps and personas add claims.
        config: Method, site, level, permutations and seed.
        tell: Called with (stage, done, total).

    Raises:
        VprobeError: The run was not probed, or there are too few permutations for the level.
    """
    level = Level(config.alpha, config.claim_draws, config.seed)
    probed = as_probed(folder, config)
    known = study(folder, probed)
    method = config.steer_method if config.steer_method in probed.method else probed.method[0]
    site = config.steer_site or common_site(folder, method)
    read = _reading(known, Site.parse(site), method)
    with store.timed(folder, "claims"):
        tell("claims", 0, 3)
        decoded = rules.decodable(read, level, others=_others(folder, known, site, method))
        tell("claims", 1, 3)
        rows = [*decoded.rows, *_beyond_text(known, decoded, read, level, config)]
        rows += rules.unique(read, level, reliability=known.keyed.benchmark.reliability)
        tell("claims", 2, 3)
        rows += _together(decoded, read, level, known.keyed.benchmark.reliability)
        rows += _acting(folder, method, decoded.rows, level)
        store.save_rows(folder, "claims", rows, ClaimRow)
        store.save_info(folder, info("claims", config), "claims")
        tell("claims", 3, 3)
    names = tuple(dict.fromkeys(row.claim for row in rows))
    made = {name: sum(row.made for row in rows if row.claim == name) for name in names}
    of = {name: sum(row.claim == name for row in rows) for name in names}
    facts = (
        ("site", site),
        ("method", method),
        ("alpha, family-wise", config.alpha),
        ("permutations", config.claim_draws),
    )
    return Stage("claims", folder, (*facts, *((name, f"{made[name]} of {of[name]} stand") for name in names)))


def _reading(known: Study, site: Site, method: str) -> Reading:
    items = known.keyed
    x = known.acts.at(site).astype(np.float64)
    return Reading(x, items.y, items.groups, known.folds, items.values, method, str(site))


def _others(folder: Path, known: Study, site: str, method: str) -> tuple[Reading, ...]:
    """Return the other sites inner folds picked for some value: there a refused value may yet be decodable."""
    picked = {row.site for row in store.load_rows(folder, "picks", SitePick) if row.method == method and row.site}
    return tuple(_reading(known, Site.parse(name), method) for name in sorted(picked - {site}))


def _beyond_text(
    known: Study, decoded: Decoded, read: Reading, level: Level, config: RunConfig
) -> tuple[ClaimRow, ...]:
    items = known.keyed.benchmark.pick(known.keyed.item_ids)
    return rules.beyond_text(
        decoded, read, level, lengths=text_lengths(known.keyed.benchmark, known.keyed.item_ids),
        words=text_scores([f"{i.title} {i.text} {i.response}" for i in items], read, config.seed),
    )  # fmt: skip


def text_lengths(benchmark: Benchmark, item_ids: tuple[str, ...]) -> np.ndarray:
    """Return words and characters of each response."""
    items = benchmark.pick(item_ids)
    return np.array([[float(len(item.response.split())), float(len(item.response))] for item in items])


def text_scores(texts: list[str], read: Reading, seed: int) -> np.ndarray:
    """Return held-out scores from words alone; zeros, which tell nothing, where texts have no common words."""
    try:
        x = controls.text_features(texts)
    except RefusedError:
        return np.zeros(read.y.shape)
    found = directions.held_out(x, read.y, read.groups, read.folds, method="ridge", seed=seed)
    return np.where(np.isfinite(read.y) & ~np.isfinite(found), 0.0, found)


def _together(decoded: Decoded, read: Reading, level: Level, reliability: tuple[Reliability, ...]) -> list[ClaimRow]:
    """Decide the claims about all values at once, where all labels are known of enough items."""
    if len(read.values) < 2 or np.isfinite(read.y).all(axis=1).sum() < 10 * len(read.values):
        return []
    rows = [rules.dimensions(decoded, read, level)]
    return [*rows, rules.circle(read, level, reliability=reliability)] if set(read.values) == set(SCHWARTZ) else rows


def _acting(folder: Path, method: str, read: tuple[ClaimRow, ...], level: Level) -> list[ClaimRow]:
    rows: list[ClaimRow] = []
    if store.has(folder, "conditions"):
        rows += rules.agrees(store.load_rows(folder, "agreement", Agreement), level)
    if store.has(folder, "steering"):
        stand = tuple(row.value for row in read if row.made)
        sweep = store.load_rows(folder, "steering", DoseRow)
        rows += rules.causal(sweep, level, method=method, decodable=stand)
    return rows
