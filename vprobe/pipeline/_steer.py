"""Steering: the dose-response of a value's direction on queries it was not fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from vprobe import effects, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError, VprobeError
from vprobe.pipeline._common import Stage, Tell, info, load_backend, load_benchmarks, quiet
from vprobe.pipeline._dosed import dosed
from vprobe.pipeline._import import about, value_of
from vprobe.pipeline._lookup import as_probed
from vprobe.pipeline._nulls import Trial, prepare, summarise
from vprobe.pipeline._prompted import Prompted, over_values, prompted
from vprobe.pipeline._read import Asked
from vprobe.pipeline._resumed import at_work
from vprobe.pipeline._study import Study, study
from vprobe.pipeline._truth import untrue
from vprobe.pipeline._untried import untried
from vprobe.types import Agreement, Benchmark, ChangeRow, DoseRow, NullRow, PromptRow
from vprobe.values import SCHWARTZ, find

FEW = 6
"""Queries the prompted direction is read from."""


def steer_sweep(folder: Path, config: RunConfig, *, backend: Backend | None = None, tell: Tell = quiet) -> Stage:
    """Rate held-out queries at every dose of a value's vector, at the outermost doses of its nulls, and asked in words.

    The vector is fitted without the queries it is tried on, at the site their exclusion left inner folds to pick.

    Args:
        folder: A run with activations and directions.
        config: Model, values, strengths, versions, method, site, positions, null draws and seed.
        backend: A model already loaded.
        tell: Called with (stage, done, total).

    Returns:
        The stage; doses of a vector from a file are the table `imported`, so that claims never rest on them.

    Raises:
        VprobeError: A run of another model, an unknown value or site, or nothing that fits the model's context.
    """
    known = study(folder, as_probed(folder, config))
    values = steered_values(folder, config, known)
    found = load_benchmarks(config)
    told = about(config, values[0], store.load_info(folder).model)
    stage, table = ("imported", "imported") if config.steer_vector else ("steer", "steering")
    backend = backend or load_backend(config, of=folder)
    draws = config.claim_draws * len(values)  # several values are one family, see `claims`
    with at_work(folder, stage, backend, config) as backend:
        rows, asked, counts = [], [], []
        for value in values:
            trial = prepare(folder, config, known, value, backend, found)
            one = dosed(folder, config, trial, backend, partial(tell, f"steer {value}"), draws)
            few = _few(folder, config, known, found, trial, backend)
            asked.append(prompted(config, trial, one, backend, few, draws))
            rows += [*one.rows, *asked[-1].rows]
            counts = [*trial.on.asked.counts, *(count for kept in asked for count in kept.counts)]
        store.save_rows(folder, table, rows, DoseRow)
        if not config.steer_vector:  # claims are made of the run's own vectors
            store.drop(folder, ("claims",))
            _save(folder, rows, asked)
        store.save_info(folder, info("steer", config, backend.info, found, counts, told), stage)
    facts = (*_facts(config, values, rows), *untrue(config, backend.info), *told)
    return Stage("steer", folder, facts, tuple(counts))


def _few(
    folder: Path, config: RunConfig, known: Study, found: Sequence[Benchmark], trial: Trial, backend: Backend
) -> Asked | None:
    """Return a few prompts of queries that are not rated, None where the run's own items cannot be had."""
    try:
        return untried(folder, config, known, found, trial.on, backend, queries=FEW)
    except VprobeError:
        return None


def _save(folder: Path, rows: Sequence[DoseRow], asked: Sequence[Prompted]) -> None:
    """Store what a sweep's rows are summed up to, and what its prompts did beside its vectors."""
    beside = [row for one in asked for row in one.beside]
    store.save_rows(folder, "nulls", summarise(rows), NullRow)
    store.save_rows(folder, "prompted", (*beside, *over_values(beside)), PromptRow)
    changes = [row for one in asked for row in one.changes]
    store.save_rows(folder, "prompted_items", changes, ChangeRow)


def _facts(config: RunConfig, values: Sequence[str], rows: Sequence[DoseRow]) -> tuple[tuple[str, object], ...]:
    arms = dict.fromkeys(row.arm for row in rows)
    idle = [value for value in values if _idle([row for row in rows if (row.value, row.arm) == (value, "steered")])]
    why = "see whether its gate ever opens, and whether any of the tokens it acts on comes before what is rated"
    return (
        *(("CHANGES NOTHING", f"the vector of {value}, at any dose: {why}") for value in idle),
        ("values", ", ".join(values)),
        ("site", rows[0].site if rows else ""),
        ("doses", len({row.strength for row in rows if row.arm in ("baseline", "steered")})),
        ("items", rows[0].n_items if rows else 0),
        ("null vectors of each kind", config.null_draws),
        ("held against", ", ".join(arm for arm in arms if arm not in ("baseline", "steered"))),
    )


def _idle(rows: Sequence[DoseRow]) -> bool:
    """Tell whether no dose changed ratings by more than round-off."""
    return all(max(abs(row.effect), abs(row.mean_shift)) < effects.STILL for row in rows)


def steered_values(folder: Path, config: RunConfig, known: Study) -> tuple[str, ...]:
    """Return the values to steer: those asked for, or the one whose nested probe did best; one for a vector's file."""
    if config.steer_vector:
        return (value_of(config, known.keyed.values),)
    wanted = config.steer_value
    if "all" in wanted:
        return tuple(value for value in known.keyed.values if value in SCHWARTZ)
    if wanted:
        names = tuple(find(value, where="--values") for value in wanted)
        missing = [name for name in names if name not in known.keyed.values]
        if missing:
            raise InputError(
                f"{missing[0]} was not probed in this run", where="--values", expected=", ".join(known.keyed.values)
            )
        return names
    rows = [
        row
        for row in store.load_rows(folder, "agreement", Agreement)
        if row.site == "nested"
        and row.comparison == "probe~label"
        and row.method == config.steer_method
        and row.value in SCHWARTZ
        and np.isfinite(row.estimate)
    ]
    if not rows:
        raise InputError(
            f"no probe scores of method {config.steer_method}", where=str(folder), do="run vprobe probe first"
        )
    return (max(rows, key=lambda row: row.estimate).value,)
