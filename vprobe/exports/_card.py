"""What is kept of a direction beside its numbers, as text that any format can carry."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from vprobe.errors import InputError
from vprobe.types import Direction, Site

KEY = "vprobe"
_WORDS = ("value", "method", "role", "effect", "provenance", "position", "fitted_on", "model")
_NUMBERS = ("midpoint", "spread", "unit")


@dataclass(frozen=True)
class Written:
    """How directions are written.

    Args:
        strength: Vectors are written at strength x unit.
        family: `model_type` of the model; empty is not known.
        n_layers: Blocks of the model; 0 is not known.
    """

    strength: float = 1.0
    family: str = ""
    n_layers: int = 0


@dataclass(frozen=True)
class Asked:
    """What a reader of a file knows beside it.

    Args:
        site: Where a vector acts whose file does not say; None is not known.
        n_layers: Blocks of the model it is for; 0 is not known.
    """

    site: Site | None = None
    n_layers: int = 0


def text_of(one: Direction, scale: float) -> str:
    """Return a direction's facts as JSON.

    Args:
        one: The direction.
        scale: Length at which its vector is written.
    """
    facts = {name: getattr(one, name) for name in _WORDS}
    numbers = {name: getattr(one, name) for name in _NUMBERS}
    kept = {name: None if math.isnan(number) else number for name, number in numbers.items()}
    return json.dumps({**facts, **kept, "site": str(one.site), "scale": scale}, sort_keys=True)


def direction_of(text: str, written: np.ndarray, where: str) -> Direction:
    """Return the direction that facts and a written vector stand for.

    Raises:
        InputError: Facts that are not those of a direction, or a vector that cannot be one.
    """
    try:
        facts = json.loads(text)
        scale, words = float(facts["scale"]), {name: facts[name] for name in _WORDS}
        numbers = {name: math.nan if facts[name] is None else float(facts[name]) for name in _NUMBERS}
        site = Site.parse(facts["site"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"facts that are not a direction's: {error}", where=where, do="export it again") from error
    make: Any = Direction
    vector = (np.asarray(written, np.float64) / scale).astype(np.float32)
    return make(vector=vector, site=site, **words, **numbers)


def foreign(written: np.ndarray, site: Site, where: str) -> Direction:
    """Return a direction made from another tool's vector: its length becomes the unit, its value is not known.

    Raises:
        InputError: A vector that is not finite or has no length.
    """
    size = float(np.linalg.norm(np.asarray(written, np.float64)))
    if not (math.isfinite(size) and size > 0):
        raise InputError(f"a vector of length {size:g} at {site}", where=where, expected="finite, not all 0")
    vector = (np.asarray(written, np.float64) / size).astype(np.float32)
    return Direction(vector, site, "", "imported", "write", unit=size)
