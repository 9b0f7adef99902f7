"""`claims`: what may be said of a run, and why not the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vprobe import claims as rules
from vprobe import controls, directions, store
from vprobe.claims import Level
from vprobe.claims.reading import Reading
from vprobe.config import RunConfig
from vprobe.errors import RefusedError, unknown
from vprobe.pipeline._common import Stage, Tell, info, quiet
from vprobe.pipeline._lookup import as_probed, common_site
from vprobe.pipeline._study import Study, study
from vprobe.types import Agreement, Benchmark, ClaimRow, DoseRow, Reliability, Site, SitePick
from vprobe.values import SCHWARTZ

KINDS = ("decodable", "beyond text", "unique", "dimensions", "circle", "agrees", "causal")
"""What can be claimed, in the order it is decided."""


def claims(folder: Path, config: RunConfig, *, only: Sequence[str] = KINDS, tell: Tell = quiet) -> Stage:
    """Decide every claim the run has data for, at one family-wise level, and store them with their reasons.

    Args:
        folder: A probed run; sweeps and personas add claims.
        config: Method, site, level, permutations and seed.
        only: Kinds of claims to decide.
        tell: Called with (stage, done, total).

    Raises:
        VprobeError: The run was not probed, an unknown kind, or too few permutations for the level.
    """
    for kind in only:
        if kind not in KINDS:
            raise unknown("kind of claim", kind, KINDS, where="claims")
    level = Level(config.alpha, config.claim_draws, config.seed)
    probed = as_probed(folder, config)
    known = study(folder, probed)
    method = config.steer_method if config.steer_method in probed.method else probed.method[0]
    site = config.steer_site or common_site(folder, method)
    rows: list[ClaimRow] = []
    with store.timed(folder, "claims"):
        for number, kind in enumerate(only):
            tell("claims", number, len(only))
            rows += _decided(
                kind,
                _Case(
                    folder,
                    known,
                    _reading(known, Site.parse(site), method),
                    level,
                    tuple(rows),
                    bool(config.steer_site),
                ),
            )
        store.save_rows(folder, "claims", rows, ClaimRow)
        store.save_info(folder, info("claims", config), "claims")
        tell("claims", len(only), len(only))
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


def as_claimed(folder: Path) -> RunConfig:
    """Return the settings a run's claims were decided with, or its sweep was made with; the defaults when neither was.

    Args:
        folder: A run.
    """
    for stage, table in (("claims", "claims"), ("steer", "steering")):
        if store.has(folder, table):
            known = dict(store.load_info(folder, stage).config)
            names = ("steer_method", "steer_site", "alpha", "claim_draws", "seed")
            return RunConfig().changed({name: known[name] for name in names if name in known})
    return RunConfig()


@dataclass(frozen=True)
class _Case:
    """What a claim is decided on: a run's data, and the claims decided before it."""

    folder: Path
    known: Study
    read: Reading
    level: Level
    before: tuple[ClaimRow, ...]
    fixed: bool

    @property
    def reliability(self) -> tuple[Reliability, ...]:
        return self.known.keyed.benchmark.reliability


def _decided(kind: str, case: _Case) -> Sequence[ClaimRow]:
    """Decide one kind of claim; nothing where the run has no data for it."""
    read, level, folder = case.read, case.level, case.folder
    if kind == "decodable":
        others = _others(folder, case.known, read)
        return rules.decodable(read, level, others=others, searched=_searched(case)).rows
    if kind == "beyond text":
        return _beyond_text(case)
    if kind == "unique":
        return rules.unique(read, level, reliability=case.reliability) if _together(read) else ()
    if kind == "dimensions":
        return (rules.dimensions(read, level),) if _together(read) else ()
    if kind == "circle":
        whole = _together(read) and set(read.values) == set(SCHWARTZ)
        return (rules.circle(read, level, reliability=case.reliability),) if whole else ()
    if kind == "agrees":
        rows = store.load_rows(folder, "agreement", Agreement) if store.has(folder, "conditions") else ()
        return rules.agrees(rows, level)
    if not store.has(folder, "steering"):
        return ()
    stand = tuple(row.value for row in case.before if row.claim == "decodable" and row.made)
    return rules.causal(store.load_rows(folder, "steering", DoseRow), level, method=read.method, decodable=stand)


def _searched(case: _Case) -> tuple[Reading, ...]:
    """Return the sites the one read was picked from by its results; none when it was chosen beforehand."""
    sites = () if case.fixed else case.known.acts.sites
    return tuple(_reading(case.known, s, case.read.method) for s in sites if str(s) != case.read.site)


def _together(read: Reading) -> bool:
    """Tell whether all labels are known of enough items for claims about values together."""
    return len(read.values) > 1 and int(np.isfinite(read.y).all(axis=1).sum()) >= 10 * len(read.values)


def _reading(known: Study, site: Site, method: str) -> Reading:
    items = known.keyed
    x = known.acts.at(site).astype(np.float64)
    return Reading(x, items.y, items.groups, known.folds, items.values, method, str(site))


def _others(folder: Path, known: Study, read: Reading) -> tuple[Reading, ...]:
    """Return the other sites inner folds picked for some value: there a refused value may yet be decodable."""
    picked = {row.site for row in store.load_rows(folder, "picks", SitePick) if row.method == read.method and row.site}
    return tuple(_reading(known, Site.parse(name), read.method) for name in sorted(picked - {read.site}))


def _beyond_text(case: _Case) -> tuple[ClaimRow, ...]:
    items, read, seed = case.known.keyed, case.read, case.level.seed
    texts = [f"{i.title} {i.text} {i.response}" for i in items.benchmark.pick(items.item_ids)]
    return rules.beyond_text(
        rules.held_out(read, seed), read, case.level, lengths=text_lengths(items.benchmark, items.item_ids),
        words=text_scores(texts, read, seed),
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
