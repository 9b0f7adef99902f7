"""`steer audit`: does a steering effect follow what options mean, what items say, and the value asked for?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from vprobe import effects, responses, steering, store
from vprobe.backends import Backend
from vprobe.benchmarks import Ask
from vprobe.config import RunConfig
from vprobe.effects import Shared
from vprobe.errors import InputError
from vprobe.pipeline._audited import AGREES, ALIKE, ALONG, COSINE, PURGED, SHARED, STEERED, TOLD, audit_rows
from vprobe.pipeline._common import Stage, Tell, info, load_backend, load_benchmarks, quiet
from vprobe.pipeline._lookup import as_probed
from vprobe.pipeline._nulls import Trial, prepare
from vprobe.pipeline._prompted import ARM, answered, asked_by, asks_of, told_vector
from vprobe.pipeline._read import Asked
from vprobe.pipeline._resumed import at_work
from vprobe.pipeline._steer import steered_values
from vprobe.pipeline._study import study
from vprobe.pipeline._untried import read_at, untried
from vprobe.types import AuditRow, ChangeRow, Count, Direction, Response, Steering

QUERIES = 6
"""Queries the vectors of being told something are read from."""


def steer_audit(folder: Path, config: RunConfig, *, backend: Backend | None = None, tell: Tell = quiet) -> Stage:
    """Audit the effect of adding each value's vector, of asking for the value, and of the vector of being asked.

    Args:
        folder: A run with activations and directions.
        config: Model, values, strengths, versions (both orders), method, site, positions and seed.
        backend: A model already loaded.
        tell: Called with (stage, done, total).

    Raises:
        VprobeError: A run of another model, an unknown value or site, no dose, or nothing that fits its context.
    """
    known = study(folder, as_probed(folder, config))
    values = steered_values(folder, config, known)
    found = load_benchmarks(config)
    _ends(config)
    backend = backend or load_backend(config, of=folder)
    plain = config.changed({"null_arms": [AGREES], "null_draws": 1})
    first = config.changed(
        {"steer_versions": list(config.steer_versions[:1])}
    )  # one wording shows what being told does
    changes: list[ChangeRow] = []
    carried: list[AuditRow] = []
    counts: list[Count] = []
    with at_work(folder, "audit", backend, config) as backend:
        for value in values:
            trial = prepare(folder, plain, known, value, backend, found)
            few = untried(folder, first, known, found, trial.on, backend, queries=QUERIES)
            one = audit_trial(config, trial, few, backend, partial(tell, f"audit {value}"))
            changes += one.changes
            carried += one.carried
            counts += one.counts
        rows = audit_rows(changes, carried, seed=config.seed)
        store.save_rows(folder, "audit_items", changes, ChangeRow)
        store.save_rows(folder, "audits", rows, AuditRow)
        store.save_info(folder, info("audit", config, backend.info, found, counts), "audit")
    verdicts = {(row.value, row.arm, row.audit): row.verdict for row in rows}
    facts = tuple((f"{value}, {arm}: {audit}", verdict) for (value, arm, audit), verdict in verdicts.items())
    return Stage("steer audit", folder, facts, tuple(counts))


@dataclass(frozen=True)
class Tested:
    """What an audit of one value measured: changes item by item, figures only the model can give, what was left out."""

    changes: tuple[ChangeRow, ...]
    carried: tuple[AuditRow, ...]
    counts: tuple[Count, ...]


def audit_trial(
    config: RunConfig,
    trial: Trial,
    few: Asked,
    backend: Backend,
    progress: Callable[[int, int], None],
    asks: Sequence[Ask] | None = None,
) -> Tested:
    """Measure what the audits of one vector rest on.

    Args:
        config: Strengths, positions, batch size.
        trial: The vector, with an acquiescence vector among its nulls, and the items.
        few: Rating prompts of other queries, to read the vectors of being told something from.
        backend: The model.
        progress: Called with prompts done and prompts in all.
        asks: What the model is told; the prompts it understands when None.

    Raises:
        InputError: No dose.
    """
    asks = asks_of(config) if asks is None else asks
    channel = _channel(backend, few, trial, config, asks)
    changes, counts = _changes(config, trial, channel, _ends(config), backend, asks, progress)
    return Tested(tuple(changes), tuple(_carried(trial.target.value, channel)), (*trial.on.asked.counts, *counts))


def _ends(config: RunConfig) -> tuple[float, ...]:
    """Return the outermost doses.

    Raises:
        InputError: Doses of another unit, or none but 0; another operation, or a gate.
    """
    added = config.steer_operation.replace("_", "-") == "add" and config.steer_gate == "none"
    if not added:
        raise InputError(
            f"operation {config.steer_operation}, gate {config.steer_gate}", where="audit",
            expected="add without a gate: a prompted vector is divided into parts, which are added at their lengths",
        )  # fmt: skip
    doses = sorted({float(one) for one in config.strengths} - {0.0})
    if not doses or config.dose:
        raise InputError(
            f"strengths {list(config.strengths)}, dose {config.dose!r}", where="audit",
            expected="strengths in residual norms, at least one other than 0",
        )  # fmt: skip
    return tuple(dict.fromkeys((doses[0], doses[-1])))


@dataclass(frozen=True)
class Channel:
    """The vector of being asked for a value, and what it shares with other instructions; None where there is none."""

    told: np.ndarray | None = None
    shared: Shared | None = None
    way: str = ""
    note: str = ""

    @property
    def parts(self) -> effects.Purged | None:
        """The unit vector of being asked, divided."""
        return None if self.told is None or self.shared is None else effects.purge(self.told, self.shared.direction)


def _channel(backend: Backend, few: Asked, trial: Trial, config: RunConfig, every: Sequence[Ask]) -> Channel:
    """Read how being asked for the value moves activations, and what being told anything else does."""
    value, site = trial.target.value, trial.target.site
    way = asked_by(backend, few.prompts[0])
    base = read_at(backend, few.prompts, site, config)
    seen = {
        ask.id: told_vector(backend, few, ask, way, site, config, base)
        for ask in every
        if (ask.value == value and ask.sign > 0) or (ask.value != value and (ask.id.endswith("1") or not ask.value))
    }
    own = [seen[ask.id] for ask in every if ask.id in seen and ask.value == value]
    others = [seen[ask.id] for ask in every if ask.id in seen and ask.value != value]
    mine, rest = ([one for one in some if one is not None] for some in (own, others))
    if not mine or len(rest) < 3:
        return Channel(way=way, note="too few prompts fit the model's context, or none asks for this value")
    return Channel(np.mean(mine, axis=0), effects.shared_part(np.stack(rest)), way)


def _carried(value: str, channel: Channel) -> list[AuditRow]:
    """Return the figures that only the model can give."""
    parts, shared = channel.parts, channel.shared
    if parts is None or shared is None:
        nothing = math.nan
        return [
            AuditRow(value, TOLD, "compliance", COSINE, nothing, nothing, nothing, "cosine", "", 0, 0, channel.note)
        ]
    note = f"{shared.n} vectors of other instructions"
    return [
        AuditRow(value, TOLD, "compliance", name, figure, math.nan, math.nan, unit, "", 0, 0, note)
        for name, figure, unit in (
            (COSINE, parts.along, "cosine"), (ALONG, shared.share, "share"), (ALIKE, shared.cosine, "cosine"),
        )
    ]  # fmt: skip


def _arms(
    config: RunConfig, trial: Trial, channel: Channel, ends: Sequence[float]
) -> list[tuple[str, float, tuple[Steering, ...]]]:
    """Lay out what is added: every vector at either end, the parts of a divided one at their own lengths."""
    add, target = steering.load("add"), trial.target

    def change(vector: np.ndarray, size: float) -> tuple[Steering, ...]:
        length = float(np.linalg.norm(vector))
        if length < 1e-6:
            return ()
        made: Direction = replace(target, vector=(vector / length).astype(np.float32))
        return (Steering(add, made, size * length * trial.unit, config.steer_positions),)

    vectors = [(STEERED, target.vector.astype(np.float64))]
    vectors += [(null.arm, null.vector.vector.astype(np.float64)) for null in trial.nulls]
    parts, shared = channel.parts, channel.shared
    if channel.told is not None and parts is not None and shared is not None:
        vectors.append((TOLD, channel.told / np.linalg.norm(channel.told)))
        vectors += [(PURGED, parts.rest), (SHARED, parts.along * shared.direction)]
    return [(arm, dose, change(vector, dose)) for arm, vector in vectors for dose in ends]


def _changes(
    config: RunConfig,
    trial: Trial,
    channel: Channel,
    ends: Sequence[float],
    backend: Backend,
    asks: Sequence[Ask],
    progress: Callable[[int, int], None],
) -> tuple[list[ChangeRow], list[Count]]:
    """Ask every item in every wording under every arm, and take the answers without any away."""
    asked, budget = trial.on.asked, config.batch_tokens or None
    arms = _arms(config, trial, channel, ends)
    said = responses.collect_arms(
        backend, asked.prompts, [(), *(change for _, _, change in arms)], answers=asked.answers, batch_tokens=budget,
        progress=progress,
    )  # fmt: skip
    base = {(one.item_id, one.template): one.expected for one in said[0]}
    out = [row for (arm, dose, _), mine in zip(arms, said[1:], strict=True)
           for row in _rows(trial, arm, 0, dose, mine, base)]  # fmt: skip
    counts: list[Count] = []
    mine = [ask for ask in asks if ask.value == trial.target.value]
    for ask in mine:
        one = answered(backend, asked, ask, channel.way, config)
        draw = [other.id for other in mine if other.sign == ask.sign].index(ask.id)
        out += _rows(trial, ARM, draw, float(ask.sign), one.said, base)
        counts += one.counts
    return out, counts


def _rows(
    trial: Trial, arm: str, draw: int, dose: float, said: Sequence[Response], base: dict[tuple[str, str], float]
) -> list[ChangeRow]:
    labels = dict(zip(trial.on.item_ids, trial.labels[:, 0], strict=True))
    return [
        ChangeRow(trial.target.value, arm, draw, dose, one.template, one.item_id, one.group,
                  float(labels[one.item_id]), one.expected - base[one.item_id, one.template])
        for one in said
    ]  # fmt: skip
