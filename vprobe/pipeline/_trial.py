"""Steering vectors, fitted without the queries they are tried on, and the items they are tried on."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from vprobe import directions, responses, scores, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.pipeline._import import of_run
from vprobe.pipeline._lookup import direction, picked_site
from vprobe.pipeline._read import Asked, ask, fitting
from vprobe.pipeline._study import Study
from vprobe.types import Benchmark, Direction, Item, Prompt, Seen, Site, SiteNorm, SitePick, Steering


@dataclass(frozen=True)
class Tried:
    """Items a vector is tried on, and the samples it may be fitted on: none of a query that is tried.

    Args:
        train: Samples of the run to fit on.
        held_out: True when the items tried are of the run's own benchmark, so that some queries had to be left out.
        asked: The prompts.
        item_ids: Items in the order of their first prompt.
        groups: The query of each item.
        items: The items themselves.
    """

    train: np.ndarray
    held_out: bool
    asked: Asked
    item_ids: tuple[str, ...]
    groups: tuple[str, ...]
    items: tuple[Item, ...]

    def labels_of(self, values: Sequence[str]) -> Float[np.ndarray, "item value"]:
        """Return the items' labels of some values, NaN where there is none."""
        return np.array([[item.loading(value) for value in values] for item in self.items])

    def only(self, queries: frozenset[str]) -> Tried:
        """Return the part of the items that belongs to some queries."""
        kept = [n for n, prompt in enumerate(self.asked.prompts) if prompt.group in queries]
        asked, answers = tuple(self.asked.prompts[n] for n in kept), tuple(self.asked.answers[n] for n in kept)
        part = dataclasses.replace(self.asked, prompts=asked, answers=answers)
        items = tuple(item for item in self.items if item.group in queries)
        ids, groups = tuple(item.id for item in items), tuple(item.group for item in items)
        return dataclasses.replace(self, asked=part, items=items, item_ids=ids, groups=groups)


_EFFECTS: Mapping[str, Literal["marginal", "partial"]] = {"partial": "partial", "covariance": "marginal"}
"""Of the methods that may stand beside the one a run was probed with."""
Vectors = Mapping[str, Direction]
"""Vectors by value."""


def tried(
    config: RunConfig, known: Study, found: Sequence[Benchmark], backend: Backend, *, unrecorded: bool = False
) -> Tried:
    """Choose the items to try vectors on: the test queries of fold 0 of the run's own benchmark, or another's all.

    Args:
        config: Versions, and most queries.
        known: What the run recorded.
        found: The benchmarks.
        backend: The model.
        unrecorded: Also take the queries of the run's own benchmark that the run never recorded, where whole queries
            are held out.

    Raises:
        InputError: The run's benchmark together with another.
        ModelError: Nothing fits the model's context.
    """
    items, fold = known.keyed, known.folds[0]
    same = [one for one in found if one.name in items.benchmark.name.split("+")]
    if same and len(same) != len(found):
        raise InputError(
            "benchmarks of this run beside others", where="--benchmark", do="sweep one benchmark at a time"
        )
    train = fold.train if same else np.arange(len(items.item_ids))
    wanted = _held_out_items(items.item_ids, items.groups, fold.test) if same else None
    if wanted is not None and unrecorded and config.hold_out == "query":
        seen = {item.group for item in items.benchmark.items}
        wanted |= {item.id for one in found for item in one.items if item.group not in seen}
    limited = _limited(ask(found, config.steer_versions, items=wanted), config.steer_limit)
    asked = fitting(backend, limited, config.too_long, "steer")
    ids = tuple(dict.fromkeys(prompt.item_id for prompt in asked.prompts))
    by_id = {item.id: item for one in found for item in one.items}
    mine = tuple(by_id[item] for item in ids)
    return Tried(train, bool(same), asked, ids, tuple(item.group for item in mine), mine)


def fit_vectors(
    folder: Path, config: RunConfig, known: Study, values: Sequence[str], method: str, on: Tried
) -> dict[str, Direction]:
    """Fit each value's vector on the samples it may see, at the site asked for or the one inner folds picked.

    A vector that `config.steer_vector` names takes the place of a fitted one.

    Raises:
        InputError: A site the run did not record, or a value without a direction there.
    """
    if config.steer_vector:
        return {value: from_file(folder, config, known, value, on) for value in values}
    at = {value: site_of(folder, config, value, on.held_out) for value in values}
    out: dict[str, Direction] = {}
    for site in dict.fromkeys(at.values()):
        fit = Fit(folder, config, known, on, Site.parse(site))
        vectors = directions.fit(
            fit.x, fit.y, fit.groups, method=method, seed=config.seed, block=len(known.keyed.values)
        )
        mine = [value for value in values if at[value] == site]
        out |= {one: fit.direction(one, vectors[known.keyed.values.index(one)], method) for one in mine}
    return {value: out[value] for value in values}


def from_file(folder: Path, config: RunConfig, known: Study, value: str, on: Tried) -> Direction:
    """Return the vector of a file, with unit, midpoint and spread of this run's own activations."""
    return of_run(folder, config, known.acts, value, rows=on.train)


class Fit:
    """What one fit needs at one site.

    Args:
        folder: A run with activations and directions.
        config: Method and position.
        known: Activations beside keyed items.
        on: The items tried, and the samples that may be fitted on.
        site: Where.
    """

    def __init__(self, folder: Path, config: RunConfig, known: Study, on: Tried, site: Site) -> None:
        items = known.keyed
        self._folder, self._config, self.site = folder, config, site
        self.x = known.acts.at(site)[on.train].astype(np.float64)
        self.y = items.y[on.train]
        self.groups = tuple(items.groups[i] for i in on.train)
        ids = tuple(known.acts.sample_ids[i] for i in on.train)
        self._on, self._seen = hashlib.sha256("\n".join(ids).encode()).hexdigest(), Seen.of(ids, self.groups, self.x)
        self.unit = next(row.norm for row in store.load_rows(folder, "norms", SiteNorm) if row.site == str(site))

    def direction(self, value: str, vector: np.ndarray, method: str, *, called: str = "") -> Direction:
        """Return a vector as a direction to write with.

        Raises:
            InputError: A vector that does not exist.
        """
        made = direction(self._folder, value, site=str(self.site), method=self._config.steer_method)
        if not np.isfinite(vector).all():
            raise InputError(
                f"no {method} direction of {value} at {self.site}", where="steering", do="see vprobe probe"
            )
        return dataclasses.replace(
            made, vector=vector.astype(np.float32), method=called or method.replace("_", "-"), role="write",
            effect=_EFFECTS.get(method, made.effect),
            unit=self.unit, fitted_on=self._on, seen=self._seen,
        )  # fmt: skip


def site_of(folder: Path, config: RunConfig, value: str, held_out: bool) -> str:
    """Return the site picked without fold 0 when its queries are what is tried, else the one picked most often.

    Args:
        folder: A run with picks.
        config: Method, and the site asked for, if any.
        value: Value steered.
        held_out: Whether the queries tried are those of fold 0.
    """
    if config.steer_site:
        return config.steer_site
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
    on: Tried,
    backend: Backend,
    arms: Sequence[tuple[Steering, ...]],
    progress: Callable[[int, int], None],
) -> list[scores.Behavior]:
    """Return the ratings under every dose; what no dose changes is run once.

    Args:
        config: Batch size.
        on: The items.
        backend: The model.
        arms: Per dose the changes made.
        progress: Called with prompts done and prompts in all.
    """
    asked, budget = on.asked, config.batch_tokens or None
    answered = responses.collect_arms(
        backend, asked.prompts, arms, answers=asked.answers, batch_tokens=budget, progress=progress
    )
    return [scores.rate(one, on.item_ids) for one in answered]
