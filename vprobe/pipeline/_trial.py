"""A steering vector with its nulls, fitted without the queries it is tried on, and the items it is tried on."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import controls, directions, responses, scores, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.pipeline._common import NULL_ARMS, check_choices
from vprobe.pipeline._lookup import direction, picked_site
from vprobe.pipeline._read import Asked, ask, fitting
from vprobe.pipeline._study import Study
from vprobe.types import Benchmark, Direction, Prompt, Seen, Site, SiteNorm, SitePick, Steering


@dataclass(frozen=True)
class Trial:
    """One steering vector with its nulls, and the items it is tried on."""

    target: Direction
    shuffled: tuple[Direction, ...]
    random: tuple[Direction, ...]
    unit: float
    asked: Asked
    item_ids: tuple[str, ...]
    groups: tuple[str, ...]
    labels: Float[np.ndarray, "sample value"]


def prepare(
    folder: Path, config: RunConfig, known: Study, value: str, backend: Backend, found: Sequence[Benchmark]
) -> Trial:
    """Fit the vector and its nulls on the training queries of fold 0, and choose test queries to try them on."""
    items, fold = known.keyed, known.folds[0]
    same = [one for one in found if one.name in items.benchmark.name.split("+")]
    if same and len(same) != len(found):
        raise InputError(
            "benchmarks of this run beside others", where="--benchmark", do="sweep one benchmark at a time"
        )
    train = fold.train if same else np.arange(len(items.item_ids))
    site = Site.parse(config.steer_site) if config.steer_site else Site.parse(_site(folder, config, value, bool(same)))
    x = known.acts.at(site)[train].astype(np.float64)
    groups = tuple(items.groups[i] for i in train)
    mixed = controls.shuffle_labels(items.y[train], groups, draws=config.null_draws, seed=config.seed)
    columns, k = controls.stack(items.y[train], mixed), len(items.values)
    fitted = directions.fit(x, columns, groups, method=config.steer_method, seed=config.seed, block=k)
    vectors = fitted[items.values.index(value) :: k]
    drawn = controls.matched_directions(x, groups, draws=config.null_draws, seed=config.seed)
    unit = next(row.norm for row in store.load_rows(folder, "norms", SiteNorm) if row.site == str(site))
    made = direction(folder, value, site=str(site), method=config.steer_method)

    ids = tuple(known.acts.sample_ids[i] for i in train)
    on, seen = hashlib.sha256("\n".join(ids).encode()).hexdigest(), Seen.of(ids, groups, x)

    def vector(v: np.ndarray, method: str) -> Direction:
        return dataclasses.replace(
            made, vector=v.astype(np.float32), method=method, role="write", unit=unit, fitted_on=on, seen=seen
        )

    tried = _held_out_items(items.item_ids, items.groups, fold.test) if same else None
    prompts_asked = _limited(ask(found, config.steer_versions, items=tried), config.steer_limit)
    asked = fitting(backend, prompts_asked, config.too_long, "steer")
    item_ids = tuple(dict.fromkeys(prompt.item_id for prompt in asked.prompts))
    by_id = {item.id: item for one in found for item in one.items}
    labels = np.array([[by_id[item].loading(value)] for item in item_ids])
    return Trial(
        vector(vectors[0], config.steer_method),
        tuple(vector(v, "shuffled") for v in _wanted(config, "shuffled", vectors[1:])),
        tuple(vector(v, "random") for v in _wanted(config, "random", drawn)),
        unit,
        asked,
        item_ids,
        tuple(by_id[item].group for item in item_ids),
        labels,
    )


def _wanted(config: RunConfig, arm: str, vectors: np.ndarray) -> list[np.ndarray]:
    """Return the null vectors of one arm that exist; none when the arm was not asked for.

    Raises:
        InputError: An arm that there is not.
    """
    check_choices((("null_arms", config.null_arms, NULL_ARMS),))
    return [v for v in vectors if np.isfinite(v).all()] if arm in config.null_arms else []


def _site(folder: Path, config: RunConfig, value: str, held_out: bool) -> str:
    """Return the site picked without fold 0 when its queries are what is tried, else the one picked most often."""
    method = config.steer_method.replace("_", "-")
    picks = [p for p in store.load_rows(folder, "picks", SitePick) if (p.value, p.method, p.fold) == (value, method, 0)]
    return picks[0].site if held_out and picks and picks[0].site else picked_site(folder, value, method)


def _held_out_items(item_ids: Sequence[str], groups: Sequence[str], test: np.ndarray) -> frozenset[str]:
    queries = {groups[i] for i in test}
    return frozenset(item for item, group in zip(item_ids, groups, strict=True) if group in queries)


def _limited(asked: Sequence[Prompt], limit: int) -> tuple[Prompt, ...]:
    """Keep the first queries, whole and in file order."""
    kept = set(list(dict.fromkeys(prompt.group for prompt in asked))[: limit or None])
    return tuple(prompt for prompt in asked if prompt.group in kept)


def rated(
    config: RunConfig,
    trial: Trial,
    backend: Backend,
    arms: Sequence[tuple[Steering, ...]],
    progress: Callable[[int, int], None],
) -> list[scores.Behavior]:
    """Return the ratings under every dose; what no dose changes is run once."""
    asked, budget = trial.asked, config.batch_tokens or None
    answered = responses.collect_arms(
        backend, asked.prompts, arms, answers=asked.answers, batch_tokens=budget, progress=progress
    )
    return [scores.rate(one, trial.item_ids) for one in answered]
