"""`steer card --make`: whatever a card lacks and vprobe can measure is measured first, all values in one go."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vprobe import store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import VprobeError
from vprobe.pipeline._ablate import ablate
from vprobe.pipeline._audit import steer_audit
from vprobe.pipeline._claims import claims
from vprobe.pipeline._common import Tell, load_backend, quiet
from vprobe.pipeline._damage import steer_damage
from vprobe.pipeline._interchange import interchange
from vprobe.pipeline._matrix import steer_matrix
from vprobe.pipeline._positions import positions
from vprobe.pipeline._said import steer_said
from vprobe.pipeline._steer import steer_sweep
from vprobe.pipeline._transfer import steer_transfer
from vprobe.pipeline._vector_card import vector_card
from vprobe.values import SCHWARTZ

Maker = Callable[..., Any]
MAKERS: tuple[tuple[str, Maker], ...] = (
    ("steering", steer_sweep),
    ("dose_response", steer_matrix),
    ("damage", steer_damage),
    ("said", steer_said),
    ("transfer", steer_transfer),
    ("audits", steer_audit),
    ("ablations", ablate),
    ("interchange", interchange),
    ("positions", positions),
)
"""Table a stage makes, and the stage, in the order they are made."""


def make_missing(
    folder: Path,
    config: RunConfig,
    *,
    values: Sequence[str],
    only: Sequence[str] = (),
    backend: Backend | None = None,
    tell: Tell = quiet,
) -> tuple[tuple[str, str], ...]:
    """Measure what the cards of some values lack; rows of other values that a table holds are made again with them.

    Args:
        folder: A run with activations and directions.
        config: Model, benchmark, method, site, tokens, doses and draws.
        values: Values the cards are for.
        only: Tables looked after; all when empty.
        backend: A model already loaded.
        tell: Called with (stage, done, total).

    Returns:
        (table, why not) of every table looked after: the reason is empty where it was made, and what the stage said
        where it refused. The others are made all the same.
    """
    made: list[tuple[str, str]] = []
    for table, maker in MAKERS:
        if only and table not in only:
            continue
        if not any(_lacks(folder, config, value, table) for value in values):
            continue
        backend = backend or load_backend(config, of=folder)
        every = table == "dose_response" and all(value in SCHWARTZ for value in values)  # a matrix needs them all
        wanted = ("all",) if every else _with_those_there(folder, table, values)
        why = ""
        try:
            maker(folder, dataclasses.replace(config, steer_value=wanted), backend=backend, tell=tell)
        except VprobeError as error:
            why = str(error).replace("\n", "; ")
        made.append((table, why))
    if made and store.has(folder, "agreement"):
        draws = max(config.claim_draws, math.ceil(2 / config.alpha))
        claims(folder, dataclasses.replace(config, claim_draws=draws), tell=tell)
        made.append(("claims", ""))
    return tuple(made)


def _lacks(folder: Path, config: RunConfig, value: str, table: str) -> bool:
    told = [one for part in vector_card(folder, config, value=value).parts for one in part.missing]
    return any(one.startswith(f"{table}: ") for one in told)


def _with_those_there(folder: Path, table: str, values: Sequence[str]) -> tuple[str, ...]:
    there = dict(store.records())[table]
    rows = store.load_rows(folder, table, there) if store.has(folder, table) else ()
    return tuple(dict.fromkeys((*values, *(row.value for row in rows))))
