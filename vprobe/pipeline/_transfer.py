"""`steer transfer`: what a vector does to instruments that had no part in fitting it, beside shuffled labels."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vprobe import benchmarks, controls, damage, directions, effects, responses, scoring, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import DataError, InputError, ModelError, unknown
from vprobe.pipeline._common import Stage, Tell, info, load_backend, quiet
from vprobe.pipeline._lookup import as_probed
from vprobe.pipeline._manner import check_nulls
from vprobe.pipeline._push import push_of
from vprobe.pipeline._read import Asked, ask, fitting
from vprobe.pipeline._resumed import at_work
from vprobe.pipeline._steer import steered_values
from vprobe.pipeline._study import Study, study
from vprobe.pipeline._transfer_measures import Change, estimate, measured, size
from vprobe.pipeline._trial import Fit, site_of
from vprobe.pipeline._vector_card import held_out
from vprobe.types import Benchmark, Count, Direction, Response, Site, Steering, TransferRow

INSTRUMENTS = ("value-portrait", "everyday", "portraits", "pvq-40", "valuelex", "svo")
"""Asked where nothing else is said; those a run was fitted on are left out, those without data say so."""
LEXICON = ("v1",)
"""Wording of the stems: one word, which every model can give."""
TEMPERATURE = 1.0
"""Completions are drawn: the likeliest alone would name one kind of value on nearly every stem, steered or not. Every
stem has its own seed, the same in all arms."""
PRIMARY = 6
"""Choices of the SVO slider that make its angle."""
LEVEL = 0.05


@dataclass(frozen=True)
class _Arms:
    """One value's vector and its nulls, at the outermost dose and its opposite."""

    vector: Direction
    strength: float
    dose: str
    pairs: tuple[tuple[Steering, Steering], ...]


@dataclass(frozen=True)
class _Instrument:
    """One instrument, asked; `why` where it cannot be."""

    name: str
    found: Benchmark | None
    asked: Asked
    why: str = ""


def steer_transfer(
    folder: Path,
    config: RunConfig,
    *,
    instruments: Sequence[str] = INSTRUMENTS,
    backend: Backend | None = None,
    tell: Tell = quiet,
) -> Stage:
    """Steer at the outermost dose and its opposite, and ask instruments on which nothing was fitted or chosen.

    Args:
        folder: A run with activations and directions.
        config: Model, values, strengths (the largest is used), wordings, queries, null draws, method, site and seed.
        instruments: Plug-in names.
        backend: A model already loaded.
        tell: Called with (stage, done, total).

    Raises:
        InputError: An unknown instrument, or none that had no part in the fit.
        VprobeError: A run of another model, an unknown value or site.
    """
    known = study(folder, as_probed(folder, config))
    values = steered_values(folder, config, known)
    used = known.keyed.benchmark.name.split("+")
    for name in instruments:
        if name not in benchmarks.names():
            raise unknown("instrument", name, benchmarks.names(), where="--instruments")
    names = [name for name in dict.fromkeys(instruments) if name not in used]
    if not names:
        raise InputError(
            f"{', '.join(instruments)}: directions were fitted on it", where="--instruments",
            expected="an instrument that had no part in the fit",
        )  # fmt: skip
    backend = backend or load_backend(config, of=folder)
    rows: list[TransferRow] = []
    with at_work(folder, "transfer", backend, config) as backend:
        asked = [_instrument(name, config, backend) for name in names]
        some = [_arms(folder, config, known, value, backend) for value in values]
        for number, one in enumerate(asked):
            for arms in some:
                rows.append(_row(config, backend, one, arms))
            tell("steer transfer", number + 1, len(asked))
        counts = tuple(count for one in asked for count in one.asked.counts)
        store.save_rows(folder, "transfer", rows, TransferRow)
        made = info("transfer", config, backend.info, [one.found for one in asked if one.found], counts)
        store.save_info(folder, made, "transfer")
    return _stage(folder, rows, counts)


def _stage(folder: Path, rows: Sequence[TransferRow], counts: tuple[Count, ...]) -> Stage:
    facts: list[tuple[str, object]] = [("instruments asked", len({row.instrument for row in rows if row.kind}))]
    for value in dict.fromkeys(row.value for row in rows):
        told = [row for row in rows if row.value == value and row.predicted]
        good = [row.instrument for row in told if row.shown]
        facts.append((f"{value} moves as predicted", f"{', '.join(good) or 'none'}, of {len(told)} with a prediction"))
    facts += [("left out", f"{row.instrument}: {row.note}") for row in rows if row.note and not row.kind]
    return Stage("steer transfer", folder, tuple(dict.fromkeys(facts)), counts)


def _instrument(name: str, config: RunConfig, backend: Backend) -> _Instrument:
    """Load an instrument and keep what fits the model's context; a limit counts queries with several responses."""
    nothing = Asked((), (), ())
    try:
        found = benchmarks.load(name, folder=Path(config.data) if config.data else None)
        single = len({item.group for item in found.items}) == len(found.items)
        most = PRIMARY if name == "svo" else 0 if single else config.steer_limit
        if most:
            found = benchmarks.load(name, folder=Path(config.data) if config.data else None, limit=most)
        return _Instrument(name, found, fitting(backend, ask([found], _versions(found, config)), "skip", "transfer"))
    except (DataError, ModelError) as error:
        return _Instrument(name, None, nothing, error.found)


def _versions(found: Benchmark, config: RunConfig) -> tuple[str, ...]:
    if found.name == "valuelex":
        return LEXICON
    mine = tuple(one for one in config.steer_versions if one in found.versions)
    return found.versions if found.name == "svo" else mine or found.versions[:2]


def _arms(folder: Path, config: RunConfig, known: Study, value: str, backend: Backend) -> _Arms:
    """Fit the vector and those of shuffled labels, and make a pair of opposite doses of each."""
    on = held_out(folder, known)
    fit = Fit(folder, config, known, on, Site.parse(site_of(folder, config, value, on.held_out)))
    k, column = len(known.keyed.values), known.keyed.values.index(value)
    mixed = controls.shuffle_labels(fit.y, fit.groups, draws=config.null_draws, seed=config.seed)
    method = config.steer_method.replace("-", "_")
    columns = controls.stack(fit.y, mixed)
    fitted = directions.fit(fit.x, columns, fit.groups, method=method, seed=config.seed, block=k)
    vector = fit.direction(value, fitted[column], method)
    nulls = [v for v in fitted[column + k :: k] if np.isfinite(v).all()]
    every = (vector, *(fit.direction(value, v, method, called="shuffled") for v in nulls))
    push = push_of(folder, config, backend, vector, samples=on.train)
    check_nulls(push.how, len(nulls))
    most = max(abs(float(one)) for one in config.strengths)
    if not most > 0:
        raise InputError("no dose beside 0", where="--strengths", expected="the largest dose to try")
    pairs = tuple((push.change(most, one)[0], push.change(-most, one)[0]) for one in every)
    return _Arms(vector, most, push.name, pairs)


def _row(config: RunConfig, backend: Backend, one: _Instrument, arms: _Arms) -> TransferRow:
    if one.found is None:
        return _unasked(config, one, arms, one.why)
    changes = _changes(config, backend, one.found, one.asked, arms)
    if changes is None:
        return _unasked(config, one, arms, f"says nothing of {arms.vector.value}, or nothing was predicted")
    (own, mass), nulls = changes[0], np.array([size(change) for change, _ in changes[1:]])
    made = estimate(own, seed=config.seed)
    against = effects.against(nulls, own.predicted * made.value if own.predicted else abs(made.value))
    real = nulls[np.isfinite(nulls)]
    low, high = np.quantile(real, (0.025, 0.975)) if len(real) else (math.nan, math.nan)
    answers = not mass < damage.ANSWERS
    note = "" if answers else f"base option mass {mass:.2g}: the model does not answer it, so this shows nothing"
    sure = made.p <= LEVEL and against.beyond and against.p <= LEVEL  # a handful of null vectors shows nothing
    right = bool(own.predicted and own.predicted * made.value > 0 and sure)
    return dataclasses.replace(
        _unasked(config, one, arms, note), kind=_kind(one.name), measure=own.measure, unit=own.unit,
        predicted=own.predicted, estimate=made.value, low=made.low, high=made.high, p=made.p, null_low=float(low),
        null_high=float(high), null_p=against.p, n_nulls=len(real), shown=right and answers, base=own.base, n=made.n,
        n_unscored=len(own.each) - made.n, option_mass=mass,
    )  # fmt: skip


def _changes(
    config: RunConfig, backend: Backend, found: Benchmark, asked: Asked, arms: _Arms
) -> list[tuple[Change, float]] | None:
    """Return the change under every pair of doses, with the base option mass; None where nothing is said of a value."""
    base = _said(config, backend, asked, [()])[0]
    every = [one.option_mass for one in base if one.logprobs is not None]
    mass = float(np.mean(every)) if every else math.nan
    pairs = (
        arms.pairs[:1] if mass < damage.ANSWERS else arms.pairs
    )  # nulls tell nothing of a model that does not answer
    if measured(found, arms.vector.value, base, base, base) is None:
        return None
    rest = _said(config, backend, asked, [(change,) for pair in pairs for change in pair])
    out = []
    for up, down in zip(rest[::2], rest[1::2], strict=True):
        change = measured(found, arms.vector.value, base, up, down)
        if change is not None:
            out.append((change, mass))
    return out


def _said(
    config: RunConfig, backend: Backend, asked: Asked, arms: Sequence[tuple[Steering, ...]]
) -> Sequence[tuple[Response, ...]]:
    budget = config.batch_tokens or None
    if asked.prompts[0].options:
        return responses.collect_arms(backend, asked.prompts, arms, answers=asked.answers, batch_tokens=budget)
    return [
        responses.collect(
            backend, asked.prompts, answers=asked.answers, steering=arm, batch_tokens=budget, temperature=TEMPERATURE,
            seed=config.seed, stop=config.stop,
        )
        for arm in arms
    ]  # fmt: skip


def _kind(name: str) -> str:
    return str(scoring.plug_in(name).KIND) if name in scoring.names() else "rating"


def _unasked(config: RunConfig, one: _Instrument, arms: _Arms, why: str) -> TransferRow:
    """Return a row that says only what was asked of what."""
    nan, v = math.nan, arms.vector
    return TransferRow(
        value=v.value, method=v.method.replace("_", "-"), site=str(v.site), positions=config.steer_positions,
        strength=arms.strength, dose=arms.dose, instrument=one.name, kind="", measure="", unit="", predicted=0,
        estimate=nan, low=nan, high=nan, p=nan, null_low=nan, null_high=nan, null_p=nan, n_nulls=0, shown=False,
        base=nan, n=0, n_unscored=0, option_mass=nan, note=why,
    )  # fmt: skip
