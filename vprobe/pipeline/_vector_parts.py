"""Which tables the parts of a vector's card rest on, which of their rows are about the vector, and what makes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vprobe import store
from vprobe.config import RunConfig
from vprobe.pipeline._schema import schema
from vprobe.types import CardPart, CardTable, Direction
from vprobe.values import SCHWARTZ

SWEEP, MATRIX, DAMAGE = "steer sweep", "steer matrix", "steer damage"
ARMS = ("steering", "said")
"""Tables with a row for every arm: the vector's own stand among the doses, the others among the null arms."""
PLACES_OF_THEIR_OWN = ("ablations", "interchange", "positions")
"""Tables made on tokens that they choose themselves."""
NOT_STEERED = ("ablations", "interchange")
"""Tables of a direction taken out or exchanged, whatever else is done with it."""
OWN, NULLS = "its own doses", "null vectors"
SIDE_BY_SIDE = ("dose_response", "effects", "specificity")
"""Tables whose rows of another method stand beside those of the vector's own."""


@dataclass(frozen=True)
class Source:
    """A table a part rests on.

    Args:
        table: Its name.
        stage: The stage that makes it, as the manifest calls it.
        command: The same as a user calls it.
        more: Options the command needs beside those every steering command has.
    """

    table: str
    stage: str
    command: str
    more: str = ""


@dataclass(frozen=True)
class Spec:
    """A part of the card before a run is looked at; a card is whole without one that is `extra`."""

    key: str
    title: str
    reads: str
    sources: tuple[Source, ...]
    extra: bool = False


_SWEPT = Source("steering", "steer", SWEEP)
_SAID = Source("said", "said", "steer said")
SPECS = (
    Spec("dose", "Dose-response",
         "What every dose does to held-out items: the change in the way of the item's label, beside the change of all "
         "items alike, which is a wish to say yes and no value.",
         (_SWEPT, Source("dose_response", "matrix", MATRIX), _SAID)),
    Spec("nulls", "Null arms",
         "What vectors that mean nothing do at the outermost doses: same site, same tokens, same length. An effect "
         "that they reach too is none of this vector's own.", (Source("nulls", "steer", SWEEP), _SWEPT, _SAID)),
    Spec("specificity", "Specificity",
         "What else moves: the vector's row of the effect matrix, what of it is a lift of all others, what the circle "
         "of values would bring along, and what is left as leakage.",
         (Source("effects", "matrix", MATRIX), Source("specificity", "matrix", MATRIX))),
    Spec("damage", "Damage",
         "What a dose costs on texts, questions and requests that have nothing to do with values.",
         (Source("damage", "damage", DAMAGE),)),
    Spec("prompted", "Beside a prompt",
         "The same value asked for in words, on the same items: the simplest thing steering has to compete with.",
         (Source("prompted", "steer", SWEEP),)),
    Spec("audits", "Audits",
         "Whether the effect follows the meaning of an option or its place, turns round with reversed items, and is "
         "more than a wish to comply.", (Source("audits", "audit", "steer audit"),)),
    Spec("causal", "Taking it away and exchanging it",
         "Whether behaviour weakens where the direction is taken out, and follows it where it is exchanged.",
         (Source("ablations", "ablate", "steer ablate"), Source("interchange", "interchange", "steer interchange"))),
    Spec("positions", "Reading again or speaking",
         "Where in the text the vector has to act.", (Source("positions", "positions", "steer positions"),)),
    Spec("transfer", "Transfer",
         "What the vector does to instruments that had no part in fitting or choosing it.",
         (Source("transfer", "transfer", "steer transfer"),)),
    Spec("solved", "Steer to score",
         "A wanted change, the doses found for it on some items, and what they did on untouched ones.",
         (Source("solved", "solve", "steer solve", "--target {value}=+0.2"),), extra=True),
)  # fmt: skip
"""All parts that rest on tables, in the order of the card."""


def part_of(spec: Spec, folder: Path, vector: Direction, config: RunConfig) -> CardPart:
    """Return one part of a card: the rows about the vector, and for every table without any what would make it.

    Args:
        spec: The part.
        folder: A run.
        vector: What the card is about.
        config: Method, site and tokens of the vector.
    """
    tables, missing, commands = [], [], []
    for source in spec.sources:
        arms = (NULLS if spec.key == "nulls" else OWN) if source.table in ARMS else ""
        rows, why = _rows(source, folder, vector, config, arms)
        if rows:
            units = tuple((one.column, one.unit) for one in schema([source.table]) if one.unit)
            tables.append(CardTable(source.table, rows, units))
        if why and not spec.extra:
            missing.append(f"{source.table}: {why}")
            commands.append(command_of(source, folder, vector, config))
    return CardPart(spec.key, spec.title, spec.reads, tuple(tables), tuple(missing), tuple(dict.fromkeys(commands)))


def command_of(source: Source, folder: Path, vector: Direction, config: RunConfig) -> str:
    """Return the command that makes a table for a vector, as one types it."""
    run = folder.name if folder.is_absolute() else str(folder)
    values = "all" if source.command == MATRIX and vector.value in SCHWARTZ else vector.value
    words = ["vprobe", source.command, "--model MODEL", f"--run {run}", f"--method {config.steer_method}"]
    words += [f"--site {vector.site}"] + ([f"--on {config.steer_positions}"] if config.steer_positions != "all" else [])
    words += [source.more.format(value=vector.value)] if source.more else [f"--values {values}"]
    return " ".join(words)


def _rows(source: Source, folder: Path, vector: Direction, config: RunConfig, arms: str) -> tuple[tuple[Any, ...], str]:
    """Return the rows of a table that are about the vector, and why there are none."""
    kinds = dict(store.records())
    if source.table not in kinds or not store.has(folder, source.table):
        return (), "not made in this run"
    found = store.load_rows(folder, source.table, kinds[source.table])
    mine = [row for row in found if _names(row, vector.value)]
    if not mine:
        return (), f"made, but not for {vector.value}"
    if arms:
        mine = [row for row in mine if (row.arm not in ("baseline", "steered")) == (arms == NULLS)]
        if not mine:
            return (), f"made without {arms}"
    other = _other(mine, source, folder, vector, config)
    if other:
        return (), other
    if source.table == "solved":
        return found, ""
    there = tuple(
        row for row in mine if _same(row, source.table, vector, config, method=source.table not in SIDE_BY_SIDE)
    )
    return tuple(sorted(there, key=lambda row: not _same(row, source.table, vector, config, method=True))), ""


def _names(row: Any, value: str) -> bool:
    known = _fields(row)
    return row.role == "target" and row.value == value if "role" in known else value in (
        getattr(row, name) for name in ("value", "target") if name in known
    )  # fmt: skip


def _same(row: Any, table: str, vector: Direction, config: RunConfig, *, method: bool) -> bool:
    """Tell whether a row is about this method, site and tokens, as far as it says so."""
    here = "" if table in PLACES_OF_THEIR_OWN else config.steer_positions
    wanted = (("site", str(vector.site)), *((("positions", here),) if here else ()),
              *((("method", vector.method.replace("_", "-")),) if method else ()))  # fmt: skip
    known = _fields(row)
    if "arm" in known and row.arm == "prompted":
        return True  # asked in words: it acts at no site
    return all(str(getattr(row, name)).replace("_", "-") == one.replace("_", "-") for name, one in wanted
               if name in known and getattr(row, name))  # fmt: skip


def _other(mine: Sequence[Any], source: Source, folder: Path, vector: Direction, config: RunConfig) -> str:
    """Say what the rows were made with, where that is not this vector; empty where it is."""
    if not any(_same(row, source.table, vector, config, method=True) for row in mine):
        told = {name: ", ".join(dict.fromkeys(str(getattr(row, name)) for row in mine))
                for name in ("method", "site", "positions") if name in _fields(mine[0])}  # fmt: skip
        return "made with " + ", ".join(f"{name} {one}" for name, one in told.items() if one)
    if source.stage not in store.stages(folder):
        return ""
    used = dict(store.load_info(folder, source.stage).config)
    method = str(used.get("steer_method", ""))
    if "method" not in _fields(mine[0]) and method and method.replace("_", "-") != vector.method.replace("_", "-"):
        return f"made with method {method}"
    return "" if source.table in NOT_STEERED else _otherwise(used, config)


def _otherwise(used: dict[str, Any], config: RunConfig) -> str:
    """Say with which other operation, gate or option a table was made; empty where with none."""
    plain = RunConfig()  # a manifest keeps what differs from it
    for name, called in (("steer_operation", "operation"), ("steer_gate", "gate"), ("steer_options", "options")):
        ours, theirs = (_told(one) for one in (getattr(config, name), used.get(name, getattr(plain, name))))
        if ours != theirs:
            return f"made with {called} {theirs or 'none'}, where the vector was measured with {ours or 'none'}"
    return ""


def _told(setting: Any) -> str:
    return ", ".join(map(str, setting)) if isinstance(setting, (list, tuple)) else str(setting).replace("_", "-")


def _fields(row: Any) -> set[str]:
    return {one.name for one in dataclasses.fields(row)}
