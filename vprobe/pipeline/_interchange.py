"""`steer interchange`: give a prompt the coordinate that the same item has under another persona."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import effects, responses, steering, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.pipeline._ablate import CONDITIONS, Ways, out, wanted_of, ways_of
from vprobe.pipeline._common import Stage, Tell, info, load_backend, load_benchmarks, quiet
from vprobe.pipeline._lookup import as_probed
from vprobe.pipeline._push import spread_of
from vprobe.pipeline._resumed import at_work
from vprobe.pipeline._study import study
from vprobe.pipeline._trial import tried
from vprobe.pipeline._under import Under, under
from vprobe.steering import Given
from vprobe.types import Direction, InterchangeRow, Site, Steering


@dataclass(frozen=True)
class Pairs:
    """The same items under two personas at a time: each persona takes over from the next, the last from the first.

    Args:
        there: Items under personas.
        x: Activations of the token each answer starts from.
        sites: Of `x`.
    """

    there: Under
    x: Float[np.ndarray, "condition prompt site d_model"]
    sites: tuple[Site, ...]

    @property
    def source(self) -> np.ndarray:
        """Activations that are taken over, in the order of those that take them."""
        return np.roll(self.x, -1, axis=0)

    def differences(self, ways: Sequence[Direction]) -> Float[np.ndarray, "condition item value"]:
        """Return how far what is read differs, in its SD over all pairs and items."""
        found = self.there.projected(self.source, self.sites, ways) - self.there.projected(self.x, self.sites, ways)
        spread = found.reshape(-1, len(ways)).std(axis=0)
        return found / np.where(spread > 0, spread, np.nan)

    def taken(self, operation: str, way: Direction, positions: str) -> list[Steering]:
        """Return one change per prompt: it takes over from its partner, by the shift at the token read.

        Args:
            operation: "interchange" or "patch".
            way: The direction, at its site.
            positions: Tokens that are shifted alike.
        """
        flat = self.source[:, :, self.sites.index(way.site)].reshape(-1, self.x.shape[-1])
        return [
            Steering(steering.load(operation, Given(source=one)), way, 1.0, positions, each="prompt") for one in flat
        ]


def interchange(
    folder: Path, config: RunConfig, *, conditions: int = CONDITIONS, backend: Backend | None = None, tell: Tell = quiet
) -> Stage:
    """Exchange coordinates on values' directions between personas, and set the change beside what it should be.

    Args:
        folder: A run with activations and directions.
        config: Model, values, versions, method, site, positions, null draws and seed.
        conditions: Personas, each paired with the next.
        backend: A model already loaded.
        tell: Called with (stage, done, total).

    Raises:
        VprobeError: A run of another model, an unknown value or site, no value with a direction, or nothing that fits
            the model's context.
    """
    known = study(folder, as_probed(folder, config))
    found = load_benchmarks(config)
    backend = backend or load_backend(config, of=folder)
    items = tried(config, known, found, backend)
    with at_work(folder, "interchange", backend, config) as backend:
        ways = ways_of(folder, config, known, wanted_of(folder, config, known), items)
        there = under(backend, config, items, conditions, tuple(ways.real.values()))
        pairs = Pairs(there, there.read(backend, ways.sites, config), ways.sites)
        rows = exchanged(backend, config, pairs, ways, spread_of(found, tuple(ways.real)), partial(tell, "interchange"))
        counts = (*there.asked.counts, *ways.counts)
        store.save_rows(folder, "interchange", rows, InterchangeRow)
        more = (("conditions", list(there.names)),)
        store.save_info(folder, info("interchange", config, backend.info, found, counts, more), "interchange")
    facts = (
        ("values", ", ".join(ways.real)),
        ("items", f"{rows[0].n_items} under {len(there.names)} pairs of personas"),
        ("null vectors", rows[0].n_null),
        ("whole activation brings about", f"{rows[0].recovered:z.0%} of the variance between personas"),
        ("coordinate, whole activation and ablation agree", f"{sum(r.agrees for r in rows)} of {len(rows)} values"),
    )
    return Stage("steer interchange", folder, facts, counts)


def exchanged(
    backend: Backend,
    config: RunConfig,
    pairs: Pairs,
    ways: Ways,
    spread: np.ndarray,
    progress: Callable[[int, int], None],
) -> list[InterchangeRow]:
    """Rate every prompt with each coordinate, and the whole activation, of its partner, and with directions taken out.

    Args:
        backend: The model.
        config: Positions, batch size and seed.
        pairs: Which prompt takes over from which.
        ways: Values' directions and null vectors; at the last site, where there are several, all is put in.
        spread: SD of each value's label.
        progress: Called with rows done and rows in all.
    """
    there, real, at = pairs.there, tuple(ways.real.values()), config.steer_positions
    last = max(real, key=lambda one: one.site.layer)
    arms: list[list[Steering]] = [pairs.taken("patch", last, at)]
    arms += [pairs.taken("interchange", one, at) for one in (*real, *(one for _, one in ways.nulls))]
    x = pairs.x
    arms += [[out(config, x[:, :, pairs.sites.index(one.site)], one)] * len(there.asked.prompts) for one in real]
    prompts, answers, budget = there.asked.prompts, there.asked.answers, config.batch_tokens or None
    plain = responses.collect(backend, prompts, answers=answers, batch_tokens=budget)
    own = [[(arm[i],) for arm in arms] for i in range(len(prompts))]
    answered = responses.collect_own_arms(backend, prompts, own, answers=answers, progress=progress)
    rated = np.stack([there.rated(one) for one in (plain, *answered)])
    base, whole, taken = rated[0], rated[1], rated[2 : 2 + len(real) + len(ways.nulls)]
    removed = rated[2 + len(real) + len(ways.nulls) :]
    natural = np.roll(base, -1, axis=0) - base
    less = np.roll(removed, -1, axis=1) - removed  # what is left of the personas' own difference
    told = effects.followed(
        np.concatenate([natural[None], (whole - base)[None], taken - base, natural - less]),
        pairs.differences(real), there.items.labels_of(tuple(ways.real)), there.items.groups, seed=config.seed,
        spread=spread,
    )  # fmt: skip
    return _rows(config, pairs, ways, told, _recovered(natural, whole - base))


def _recovered(natural: np.ndarray, moved: np.ndarray) -> float:
    """Return 1 - squared distance over squared size: 1 where a change is what the personas make, 0 where it is none."""
    total = float((natural**2).sum())
    return 1.0 - float(((natural - moved) ** 2).sum()) / total if total > 0 else float("nan")


def _rows(
    config: RunConfig, pairs: Pairs, ways: Ways, told: effects.Followed, recovered: float
) -> list[InterchangeRow]:
    real, first = tuple(ways.real.values()), 2
    nulls = first + len(real)
    removed = nulls + len(ways.nulls)
    low, high, rows = told.low, told.high, []
    for v, way in enumerate(real):

        def slope(arm: int, v: int = v) -> effects.Slope:
            return effects.Slope(float(told.effect[arm, v]), float(low[arm, v]), float(high[arm, v]))

        natural, whole, one, gone = slope(0), slope(1), slope(first + v), slope(removed + v)
        beside = [nulls + i for i, (_, null) in enumerate(ways.nulls) if null.site == way.site]
        reach = effects.reach_of(np.abs(told.effect[beside, v]))
        agrees, verdict = effects.agreement_of(one, whole, gone, reach)
        ratio, ends = float("nan"), np.array([np.nan, np.nan])
        if natural.low > 0:
            ratio = one.estimate / natural.estimate
            with np.errstate(all="ignore"):  # a draw of queries in which nothing varies has no ratio
                ends = np.nanquantile(told.draws[:, first + v, v] / told.draws[:, 0, v], (0.025, 0.975))
        rows.append(
            InterchangeRow(
                way.value, way.method, str(way.site), config.steer_positions, one.estimate, one.low, one.high,
                float(told.r[first + v, v]), natural.estimate, natural.low, natural.high, ratio, float(ends[0]),
                float(ends[1]), whole.estimate, whole.low, whole.high, gone.estimate, gone.low, gone.high, recovered,
                reach, agrees, verdict, len(beside), len(pairs.there.names), told.n_items, told.n_unscored,
            )
        )  # fmt: skip
    return rows
