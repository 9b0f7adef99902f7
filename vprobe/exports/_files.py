"""What the files of torch have in common: vectors with facts beside them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from vprobe.exports._card import direction_of, foreign, text_of
from vprobe.types import Direction, Site


def scaled(one: Direction, strength: float) -> tuple[np.ndarray, tuple[str, str]]:
    """Return a direction's vector at strength x unit, and its facts under the name of its site."""
    scale = strength * (1.0 if math.isnan(one.unit) else one.unit)
    vector = (scale * one.vector.astype(np.float64)).astype(np.float32)
    return vector, (str(one.site), text_of(one, scale))


def restored(vector: np.ndarray, site: Site, facts: tuple[tuple[str, str], ...], path: Path) -> Direction:
    """Return the direction of a vector: with the facts kept beside it, or another tool's."""
    text = dict(facts).get(str(site), "")
    return direction_of(text, vector, str(path)) if text else foreign(vector, site, str(path))
