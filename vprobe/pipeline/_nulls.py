"""Null arms of a sweep: vectors that may move ratings for other reasons than the value, and how far each kind did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import controls, directions, effects, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.pipeline._common import ALL, NULL_ARMS, check_choices
from vprobe.pipeline._study import Study
from vprobe.pipeline._trial import Fit, Tried, from_file, site_of, tried
from vprobe.pipeline._untried import acquiescence, untried
from vprobe.steering import Null
from vprobe.types import Benchmark, Direction, DoseRow, NullRow, Site

DRAWN = ("shuffled", "random", "isotropic", "orthogonal")
"""Arms of which as many vectors are drawn as one likes."""
REACH = 0.95
"""Share of an arm's draws a steered effect must exceed."""


@dataclass(frozen=True)
class Trial:
    """One steering vector with what it is held against, and the items it is tried on.

    Args:
        target: The vector.
        nulls: Vectors of every null arm asked for.
        matched: Vectors with the covariance of activations, as a scale for cosines.
        on: The items.
        labels: Of the target's value.
    """

    target: Direction
    nulls: tuple[Null, ...]
    matched: Float[np.ndarray, "draw d_model"]
    on: Tried
    labels: Float[np.ndarray, "sample value"]

    @property
    def unit(self) -> float:
        """Median residual norm at the site."""
        return self.target.unit


def wanted_arms(config: RunConfig) -> tuple[str, ...]:
    """Return the null arms a configuration names, "all" spelled out.

    Raises:
        InputError: An arm that there is not; the nearest is named.
    """
    check_choices((("null_arms", config.null_arms, (ALL, *NULL_ARMS)),))
    return NULL_ARMS if ALL in config.null_arms else tuple(arm for arm in NULL_ARMS if arm in config.null_arms)


def prepare(
    folder: Path, config: RunConfig, known: Study, value: str, backend: Backend, found: Sequence[Benchmark]
) -> Trial:
    """Fit the vector and its nulls on the training queries of fold 0, and choose test queries to try them on.

    Args:
        folder: A run with activations and directions.
        config: Method, site, items, null arms, draws and seed.
        known: Activations beside keyed items.
        value: Value steered.
        backend: The model.
        found: Benchmarks tried.

    Raises:
        VprobeError: No vector there, an unknown arm, or nothing that fits the model's context.
    """
    on = tried(config, known, found, backend)
    given = from_file(folder, config, known, value, on) if config.steer_vector else None
    site = given.site if given else Site.parse(site_of(folder, config, value, on.held_out))
    fit = Fit(folder, config, known, on, site)
    arms, k = wanted_arms(config), len(known.keyed.values)
    draws = config.null_draws if "shuffled" in arms else 0
    mixed = controls.shuffle_labels(fit.y, fit.groups, draws=draws, seed=config.seed)
    columns = controls.stack(fit.y, mixed)
    fitted = directions.fit(fit.x, columns, fit.groups, method=config.steer_method, seed=config.seed, block=k)
    column = known.keyed.values.index(value)
    target = given or fit.direction(value, fitted[column], config.steer_method, called=config.steer_method)
    matched = controls.matched_directions(fit.x, fit.groups, draws=max(config.null_draws, 100), seed=config.seed)

    def vectors(arm: str) -> list[tuple[np.ndarray, str]]:
        if arm == "acquiescence":
            asked = untried(folder, config, known, found, on, backend)
            return [(acquiescence(backend, asked, fit.site, config), "")]
        if arm == "other":
            named = zip(fitted[:k], known.keyed.values, strict=True)
            return [(vector, name) for vector, name in named if name != value]
        return [(vector, "") for vector in _drawn(arm, config, fit, fitted[column + k :: k], fitted[:k])]

    def made(arm: str) -> list[Null]:
        real = [(vector, of) for vector, of in vectors(arm) if np.isfinite(vector).all()]
        return [Null(arm, fit.direction(value, vector, config.steer_method, called=arm), of) for vector, of in real]

    nulls = tuple(one for arm in arms for one in made(arm))
    return Trial(target, nulls, matched, on, on.labels_of((value,)))


def _drawn(
    arm: str, config: RunConfig, fit: Fit, shuffled: np.ndarray, values: np.ndarray
) -> Float[np.ndarray, "draw d_model"]:
    """Return the draws of one arm."""
    draws, seed = config.null_draws, config.seed
    makers: dict[str, Callable[[], np.ndarray]] = {
        "shuffled": lambda: shuffled,
        "random": lambda: controls.matched_directions(fit.x, fit.groups, draws=draws, seed=seed),
        "isotropic": lambda: controls.random_directions(fit.x.shape[1], draws=draws, seed=seed + 1),
        "orthogonal": lambda: controls.cleared(
            controls.matched_directions(fit.x, fit.groups, draws=draws, seed=seed + 2), values
        ),
    }
    return makers[arm]()


def summarise(rows: Sequence[DoseRow]) -> tuple[NullRow, ...]:
    """Return every arm of a sweep at its outermost doses, the steered vector and the prompts first.

    Args:
        rows: A sweep; nothing else is needed, so that the summary can be made again without a model.
    """
    out: list[NullRow] = []
    for value in dict.fromkeys(row.value for row in rows):
        mine = [row for row in rows if row.value == value and row.arm != "baseline"]
        steered = [row for row in mine if row.arm == "steered"]
        doses = sorted(row.strength for row in steered)
        ends = {doses[0], doses[-1]} if doses else set()
        target = _outward([row for row in steered if row.strength in ends])
        for arm in dict.fromkeys(("steered", "prompted", *NULL_ARMS)):
            some = [row for row in mine if row.arm == arm and (arm == "prompted" or row.strength in ends)]
            if some:
                out.append(_summary(value, arm, some, float(target[0])))
    return tuple(out)


def _outward(rows: Sequence[DoseRow]) -> Float[np.ndarray, " draw"]:
    """Return per draw the mean effect in the direction of the dose."""
    draws = dict.fromkeys(row.draw for row in rows)
    parts = [[row for row in rows if row.draw == draw] for draw in draws]
    return np.array([effects.outward([r.effect for r in part], [r.strength for r in part]) for part in parts])


def _summary(value: str, arm: str, rows: Sequence[DoseRow], target: float) -> NullRow:
    found = _outward(rows)
    against = effects.against(found, target, reach=REACH)
    shifts = np.abs([row.mean_shift for row in rows])
    return NullRow(
        value=value, arm=arm, strength=max(abs(row.strength) for row in rows), n_draws=len(found), mean=against.mean,
        sd=against.sd, reach=against.reach, largest=against.largest, steered=target,
        p=against.p if arm != "steered" else float("nan"), beyond=arm != "steered" and against.beyond,
        mean_shift=float(shifts.mean()), anti=float(np.mean([row.anti for row in rows])),
        n_items=max(row.n_items for row in rows),
    )  # fmt: skip


def renew(folder: Path) -> None:
    """Make the summary of a sweep again from its rows; no model is asked.

    Args:
        folder: A run with a sweep.
    """
    store.save_rows(folder, "nulls", summarise(store.load_rows(folder, "steering", DoseRow)), NullRow)
