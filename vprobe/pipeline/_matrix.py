"""The effect matrix: every value steered at every strength, marginal and unique vectors side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import effects, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.pipeline._common import Stage, Tell, info, load_backend, load_benchmarks, quiet
from vprobe.pipeline._import import about
from vprobe.pipeline._lookup import as_probed, direction
from vprobe.pipeline._push import Push, pushes_of, spread_of
from vprobe.pipeline._replaced import IMPORTED, named_by, replaced, without_file
from vprobe.pipeline._resumed import at_work
from vprobe.pipeline._steer import steered_values
from vprobe.pipeline._study import Study, study
from vprobe.pipeline._trial import Tried, fit_vectors, rated, tried
from vprobe.types import EffectRow, ResponseRow, SpecificityRow
from vprobe.values import HUMAN_COVARIANCE, SCHWARTZ

KINDS = ("marginal", "unique")
KEYED = 0.5
"""Share of the items, those that express a value most, whose slopes say whether they go its way."""
BESIDE = {"marginal": "partial", "partial": "covariance"}
"""Method shown beside the one asked for: a unique one beside a marginal one, and the other way round."""
TABLES = ("dose_response", "effects", "specificity")
"""What is stored; with the vector of a file under names of their own, so that no claim and no card rests on them."""


@dataclass(frozen=True)
class _Moved:
    """Ratings of the tried items under each value's vector: (target, dose, item), doses in order, 0 among them."""

    ratings: Float[np.ndarray, "target dose item"]
    doses: Float[np.ndarray, " dose"]
    labels: Float[np.ndarray, "item measured"]
    groups: tuple[str, ...]
    scale: tuple[float, float]

    @property
    def slopes(self) -> Float[np.ndarray, "target item"]:
        """Change of every item's rating per unit of strength."""
        return np.stack([effects.item_slopes(one, self.doses) for one in self.ratings])


def steer_matrix(folder: Path, config: RunConfig, *, backend: Backend | None = None, tell: Tell = quiet) -> Stage:
    """Steer every value at every strength on held-out items, and measure what moves beside the target.

    The vector of a file takes the place of its value's among those of the method asked for; then no other method stands
    beside them, and the tables are called `imported_...`.

    Args:
        folder: A run with activations and directions.
        config: Model, values, strengths and their unit, operation, versions, method, site, positions, file and seed.
        backend: A model already loaded.
        tell: Called with (stage, done, total).

    Raises:
        VprobeError: A run of another model, an unknown value or site, a KL out of reach, or nothing that fits
            the model's context.
    """
    known = study(folder, as_probed(folder, config))
    values = steered_values(folder, without_file(config), known)
    name = named_by(folder, config, values, where="--values")
    source = about(config, name, store.load_info(folder).model)
    found = load_benchmarks(config)
    backend = backend or load_backend(config, of=folder)
    items = tried(config, known, found, backend)
    told: list[ResponseRow] = []
    cells: list[EffectRow] = []
    specific: list[SpecificityRow] = []
    spread = spread_of(found, values)
    stage = "imported_matrix" if name else "matrix"
    with at_work(folder, stage, backend, config) as backend:
        ways, left_out = _ways(folder, config, known, values, name, items, backend)
        for method, pushes in ways.items():
            moved = _moved(config, pushes, items, backend, partial(tell, f"steer with {method}"))
            methods = {value: IMPORTED if value == name else method.replace("_", "-") for value in values}
            told += _responses(config, pushes, moved, methods)
            leaks = _leaks(moved)
            for kind in KINDS:
                matrix = effects.effect_matrix(
                    moved.slopes, moved.labels, moved.groups, kind=kind, seed=config.seed, spread=spread
                )
                cells += _cells(matrix, moved, methods, leaks)
                specific += _specific(matrix, methods)
        for table, rows, record in zip(
            TABLES, (told, cells, specific), (ResponseRow, EffectRow, SpecificityRow), strict=True
        ):
            store.save_rows(folder, f"imported_{table}" if name else table, rows, record)
        store.save_info(folder, info("matrix", config, backend.info, found, items.asked.counts, source), stage)
    facts = (
        ("values", ", ".join(values)), ("methods", ", ".join(ways).replace("_", "-")), ("doses", len(_doses(config))),
        ("items", len(items.item_ids)), *left_out, *source,
    )  # fmt: skip
    return Stage("steer matrix", folder, facts, tuple(items.asked.counts))


def _ways(
    folder: Path, config: RunConfig, known: Study, values: tuple[str, ...], name: str, items: Tried, backend: Backend
) -> tuple[dict[str, dict[str, Push]], tuple[tuple[str, object], ...]]:
    """Return vectors of the method asked for and, where they exist, of the one beside it; else a fact that says why.

    Labels of which one is told by the others, such as one value per item, give no value a vector of its own.
    """
    asked, beside = _methods(folder, config, values[0])
    ways = {asked: replaced(folder, config, known, values, name, asked, items, backend)}
    if name:
        return ways, ()
    try:
        vectors = fit_vectors(folder, config, known, values, beside, items)
    except InputError as error:
        return ways, (("left out", f"vectors of the method {beside}: {error.found}"),)
    return ways | {beside: pushes_of(folder, config, backend, vectors, samples=items.train)}, ()


def _methods(folder: Path, config: RunConfig, value: str) -> tuple[str, ...]:
    """Return the method asked for, and one of the other kind to stand beside it."""
    made = direction(folder, value, site=config.steer_site, method=config.steer_method)
    return config.steer_method.replace("-", "_"), BESIDE[made.effect]


def _doses(config: RunConfig) -> Float[np.ndarray, " dose"]:
    return np.array(sorted({0.0, *map(float, config.strengths)}))


def _moved(
    config: RunConfig, pushes: Mapping[str, Push], items: Tried, backend: Backend, progress: Callable[[int, int], None]
) -> _Moved:
    doses = _doses(config)
    arms = [push.change(float(dose)) for push in pushes.values() for dose in doses]
    answered = rated(config, items, backend, arms, progress)
    ratings = np.stack([one.expected for one in answered]).reshape(len(pushes), len(doses), -1)
    points = [rating for answers in items.asked.answers for rating in answers.ratings]
    return _Moved(ratings, doses, items.labels_of(tuple(pushes)), items.groups, (min(points), max(points)))


def _responses(
    config: RunConfig, pushes: Mapping[str, Push], moved: _Moved, methods: Mapping[str, str]
) -> list[ResponseRow]:
    out = []
    for row, (value, push) in enumerate(pushes.items()):
        one = effects.dose_response(
            moved.ratings[row], moved.doses, moved.labels[:, row], moved.groups, seed=config.seed, keyed=KEYED
        )
        out.append(
            ResponseRow(
                value, methods[value], str(push.vector.site), config.steer_positions, push.coefficient,
                one.slope, one.low, one.high, one.sd,
                one.anti, one.anti_low, one.anti_high, one.rho, one.trend, one.trend_p, one.asymmetry,
                one.saturation, float(np.nanmean(moved.slopes[row])), one.n_items, one.n_unscored,
                push.how.operation.name, push.name,
            )
        )  # fmt: skip
    return out


def _leaks(moved: _Moved) -> dict[str, np.ndarray]:
    """Return leaks at the largest dose; there are none to tell where no dose steers towards a value."""
    if not moved.doses[-1] > 0:
        nothing = np.full((len(moved.ratings), len(moved.ratings)), np.nan)
        return dict.fromkeys(("raw", "gain", "headroom", "relative"), nothing)
    base = moved.ratings[0, int(np.flatnonzero(moved.doses == 0)[0])]
    found = effects.acceptance(base, moved.ratings[:, -1], moved.labels, low=moved.scale[0], high=moved.scale[1])
    return effects.leakage(found)


def _cells(
    matrix: effects.Matrix, moved: _Moved, methods: Mapping[str, str], leaks: dict[str, np.ndarray]
) -> list[EffectRow]:
    values = tuple(methods)
    among = effects.effect_matrix(
        moved.labels.T, moved.labels, moved.groups, kind="marginal", seed=0, resamples=1, spread=matrix.spread
    )
    own = np.diagonal(among.effect)
    excess = effects.excess(
        matrix.effect, (among.effect / own[:, None]) if matrix.kind == "marginal" else np.eye(len(own))
    )
    human = effects.excess(matrix.effect, _human(values))
    return [
        EffectRow(
            target, measured, methods[target], matrix.kind, float(matrix.effect[i, j]), float(matrix.low[i, j]),
            float(matrix.high[i, j]), float(excess[i, j]), float(human[i, j]), float(leaks["raw"][i, j]),
            float(leaks["gain"][i, j]), float(leaks["headroom"][i, j]), float(leaks["relative"][i, j]),
            matrix.n_items, matrix.n_unscored,
        )
        for i, target in enumerate(values)
        for j, measured in enumerate(values)
    ]  # fmt: skip


def _human(values: Sequence[str]) -> Float[np.ndarray, "value value"]:
    """Return correlations of values among people; NaN where there are none."""
    covariance = np.array(HUMAN_COVARIANCE)
    spread = np.sqrt(np.diagonal(covariance))
    r = covariance / spread[:, None] / spread
    place = [SCHWARTZ.index(value) if value in SCHWARTZ else -1 for value in values]
    return np.array([[r[i, j] if i >= 0 and j >= 0 else np.nan for j in place] for i in place])


def _specific(matrix: effects.Matrix, methods: Mapping[str, str]) -> list[SpecificityRow]:
    values = tuple(methods)
    ratio = effects.selectivity(matrix.effect)
    low, high = effects.percentiles(effects.selectivity(matrix.draws))
    out = []
    for row, value in enumerate(values):
        fit = effects.circle_fit(matrix.effect[row], value, values)
        own = float(matrix.effect[row, row])
        out.append(
            SpecificityRow(
                value, methods[value], matrix.kind, own, float(ratio[row] * abs(own)), float(ratio[row]),
                float(low[row]), float(high[row]), fit.uniform, fit.gain, fit.displacement, fit.leakage,
                fit.r2, matrix.n_items,
            )
        )  # fmt: skip
    return out
