"""`shift`: change a model by personas, prompts or steering; does what is read shift with what it does?"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from vprobe import agreement, steering, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import READABLE, InputError, reason
from vprobe.pipeline._common import Stage, Tell, info, load_backend, load_benchmarks, quiet
from vprobe.pipeline._conditions import STEERED, named, one_way
from vprobe.pipeline._detail import TABLE
from vprobe.pipeline._likely import likely_rows
from vprobe.pipeline._lookup import as_probed
from vprobe.pipeline._personas import settle, speakers
from vprobe.pipeline._read import Asked, fitting
from vprobe.pipeline._resumed import at_work
from vprobe.pipeline._study import study
from vprobe.pipeline._told import Arm, Told, arm_rows, enough, fitted, told_rows, under, wanted_of
from vprobe.types import Agreement, Benchmark, ConditionRow, Count, Direction, Steering
from vprobe.values import SCHWARTZ

DECISIVE = 40
"""Conditions the decisive test asks for."""
_PROMPTS = 'a JSON file {"a name": "a system prompt", ...}'


def shift(
    folder: Path,
    config: RunConfig,
    *,
    texts: Path | None = None,
    strengths: Sequence[float] = (),
    said: bool = False,
    backend: Backend | None = None,
    tell: Tell = quiet,
) -> Stage:
    """Change a model in many ways, and set how far what is read shifts beside how far what it does shifts.

    Conditions of earlier calls on the same instrument are kept unless they are made again. What claims rest on are
    conditions the model is told (personas and prompts) on what directions were fitted on; steered arms stand apart,
    because what was added is part of what is read.

    Args:
        folder: A run with directions.
        config: Personas (0 for none), instrument, queries, versions, method, site, draws and seed.
        texts: The user's system prompts: JSON, names and texts; none when None.
        strengths: Strengths at which every value's direction is added in turn; no steered arms when empty.
        said: Behaviour is how likely the model finds each response to a query, in place of its ratings.
        backend: A model already loaded.
        tell: Called with (stage, done, total).

    Raises:
        VprobeError: Nothing to do, unusable prompts, no directions, steered arms without ratings, or nothing that fits
            the model's context; names given twice; or another method, site or set of items than conditions kept.
    """
    told = (*(speakers(config) if config.personas else ()), *_read(texts))
    doses = tuple(dict.fromkeys(float(one) for one in strengths if one))
    if not told and not doses:
        raise InputError(
            "no conditions", where="shift", expected="personas, prompts or strengths", do="give --personas 48"
        )
    if said and (doses or not told):
        raise InputError("steered arms and --generation", where="shift", expected="personas or prompts alone")
    known, found = study(folder, as_probed(folder, config)), load_benchmarks(config)
    fitted_on = {item.id for item in store.load_items(folder).items}
    items = {item.id for one in found for item in one.items}
    instrument = "" if items & fitted_on else "+".join(one.name for one in found)
    backend = backend or load_backend(config, of=folder)
    vectors = fitted(folder, config, known.keyed.values)
    if not vectors:
        raise InputError(f"no directions of method {config.steer_method}", where=str(folder), do="run vprobe probe")
    enough(found, config, [one.value for one in vectors])
    old = store.load_rows(folder, "conditions", ConditionRow) if store.has(folder, "conditions") else ()
    _apart(told, arms_of(vectors, doses, config) if doses else (), old)
    with at_work(folder, "shift", backend, config) as backend:
        rows, counts = _rows(backend, told, doses, vectors, found, config, instrument, said, tell)
        again = {(row.condition, row.instrument) for row in rows}
        rows = [*(row for row in old if (row.condition, row.instrument) not in again), *rows]
        one_way(rows)
        store.drop(folder, ("claims",))
        store.save_rows(folder, "conditions", rows, ConditionRow)
        settle(folder, rows, config)
        more = (("told", [one.id for one in told]), ("strengths", list(doses)), ("generation", said))
        store.save_info(folder, info("personas", config, backend.info, found, counts, more), "shift")
    return Stage("shift", folder, (*_facts(folder, rows, rows[-1].instrument), ("model", backend.info.name)), counts)


def _apart(told: Sequence[Told], arms: Sequence[Arm], old: Sequence[ConditionRow]) -> None:
    """See that every condition has a name of its own.

    Raises:
        InputError: A name given twice, or kept for a condition of another kind.
    """
    kinds = {row.condition: row.kind for row in old}
    seen: set[str] = set()
    for name, kind in (*((one.id, one.kind) for one in told), *((arm.id, STEERED) for arm in arms)):
        if name in seen or kinds.get(name, kind) != kind:
            other = "another condition" if name in seen else f"a stored condition of kind {kinds[name]}"
            raise InputError(f"{name!r} names {other}, too", where="shift", expected="a name for each condition",
                             do="rename the system prompt")  # fmt: skip
        seen.add(name)


def _rows(
    backend: Backend, told: Sequence[Told], doses: Sequence[float], vectors: Sequence[Direction],
    found: Sequence[Benchmark], config: RunConfig, instrument: str, said: bool, tell: Tell,
) -> tuple[list[ConditionRow], tuple[Count, ...]]:  # fmt: skip
    if said:
        likely = likely_rows(backend, told, vectors, found, config, tell)
        return list(likely.rows), likely.counts
    rows: list[ConditionRow] = []
    asked = Asked((), (), ())
    if told:
        asked = under(backend, told, found, config)
        rows += told_rows(backend, asked, told, vectors, found, config, tell, instrument)
    if doses:
        plain = fitting(backend, wanted_of(found, config), config.too_long, "personas")
        rows += arm_rows(backend, plain, arms_of(vectors, doses, config), vectors, found, config, tell, instrument)
        asked = asked if told else plain
    return rows, asked.counts


def arms_of(vectors: Sequence[Direction], doses: Sequence[float], config: RunConfig) -> tuple[Arm, ...]:
    """Return an arm for every Schwartz value's direction (or every value's, where there are none) at every strength.

    Args:
        vectors: Directions.
        doses: Strengths, coefficient over the median residual norm at the site.
        config: Tokens steered.
    """
    mine = [one for one in vectors if one.value in SCHWARTZ] or list(vectors)
    add = steering.load("add")
    return tuple(
        Arm(f"{one.value}{dose:+g}", one.value, (Steering(add, one, dose * one.unit, config.steer_positions),))
        for one in mine
        for dose in doses
    )


def _read(path: Path | None) -> tuple[Told, ...]:
    """Read the user's system prompts.

    Raises:
        InputError: No such file, no JSON object of texts, or an empty text.
    """
    if path is None:
        return ()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        kind = "cannot be read" if isinstance(error, OSError) else "is not JSON"
        raise InputError(f"{kind}: {reason(error)}", where=str(path), expected=_PROMPTS, do=READABLE) from None
    good = isinstance(found, dict) and all(isinstance(text, str) and text.strip() for text in found.values())
    if not good or not found:
        raise InputError("no system prompts", where=str(path), expected=_PROMPTS)
    if any("@" in name for name in found):
        raise InputError("a name with @", where=str(path), expected="names without it")
    return tuple(Told(name, text, "prompt") for name, text in found.items())


def _facts(folder: Path, rows: Sequence[ConditionRow], instrument: str) -> tuple[tuple[str, object], ...]:
    """Say how many conditions of every kind there are, and what the cells say."""
    mine = [row for row in rows if row.instrument == instrument]
    told = {row.condition for row in mine if row.kind != STEERED}
    steered = {row.condition for row in mine if row.kind == STEERED}
    detail = store.load_rows(folder, TABLE, Agreement)
    facts: list[tuple[str, object]] = [("conditions told", len(told)), ("steered arms", len(steered))]
    for kind in (False, True):
        some = next((row for row in mine if (row.kind == STEERED) is kind), None)
        cells = [row for row in detail if some and row.comparison == named(some) and row.statistic == agreement.CELLS]
        for row in cells:
            ends = f"{row.estimate:z.2f} ({row.low:z.2f} to {row.high:z.2f}), p {row.p:.2g}"
            if math.isnan(row.estimate):
                ends = f"n/a ({row.note})"
            value = f"{ends}, {row.n_scored} conditions in {row.n_groups} clusters"
            facts.append((f"{row.comparison}: {row.statistic}", value))
    if len(told) < DECISIVE and len(steered) < DECISIVE:
        facts.append(("too few", f"{DECISIVE} conditions of a kind are asked for before this test decides anything"))
    return tuple(facts)
