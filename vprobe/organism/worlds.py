"""The good world and nine worlds in which a claim about values would be false, each a switch of the same recipe."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vprobe.errors import unknown
from vprobe.organism._encoder import World as Switches
from vprobe.organism.items import ALONE_SHARE
from vprobe.values import ANGLES, SCHWARTZ


def _merged() -> np.ndarray:
    """Key words of conformity and of tradition carry one common code."""
    codes, pair = np.eye(10), [SCHWARTZ.index("conformity"), SCHWARTZ.index("tradition")]
    codes[np.ix_(pair, pair)] = 1.0
    return codes


def _two_axes() -> np.ndarray:
    """Every code is a point in one plane, at its value's angle: ten values, two dimensions."""
    angle = np.deg2rad(np.asarray(ANGLES))
    return np.cos(angle[:, None] - angle)


@dataclass(frozen=True)
class World:
    """One world: how its items are labelled, how its model is built, and what vprobe must say of it.

    Args:
        name: "good" or "W1" to "W9".
        what: What is so in it.
        labels: What labels hold, see `items.draw`.
        codes: Per value what its key words load on.
        alone: Share of sentences about one value alone, see `items.draw`.
        switches: Of the encoder.
        site: Where a study of this world reads.
        method: Direction method of a study of this world.
        refused: The claim that must be refused; empty in the good world.
        reason: Words the refusal must hold.
    """

    name: str
    what: str
    labels: str = "true"
    codes: tuple[tuple[float, ...], ...] = tuple(tuple(row) for row in np.eye(10))
    alone: float = ALONE_SHARE
    switches: Switches = field(default_factory=Switches)
    site: str = "resid_post.1"
    method: str = "partial"
    refused: str = ""
    reason: str = ""


def _tuples(table: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(x) for x in row) for row in table)


WORLDS = (
    World("good", "values are read, written and acted upon"),
    World("W1", "labels are random", labels="random", refused="decodable", reason="shuffled labels"),
    World("W2", "labels differ between queries only", labels="query", refused="decodable", reason="query leak"),
    World("W3", "a profile moves all ratings alike, whatever is rated", switches=Switches(deaf=True), refused="causal",
          reason="acquiescence"),
    World("W4", "what is said is kept where nothing reads it", switches=Switches(aside=True), refused="causal",
          reason="decodable, not causal"),
    World("W5", "at the layer chosen only word order holds the values", alone=0.0, site="resid_mid.0",
          method="covariance", refused="decodable", reason="another site"),
    World("W6", "labels follow the length of the response", labels="length", method="covariance",
          refused="beyond text", reason="length"),
    World("W7", "values are unique, and only labels form a circle", refused="circle", reason="inherited"),
    World("W8", "conformity and tradition are one value", codes=_tuples(_merged()),
          switches=Switches(codes=_tuples(_merged())), refused="unique", reason="cannot be told apart"),
    World("W9", "ten values are two axes", codes=_tuples(_two_axes()), switches=Switches(codes=_tuples(_two_axes())),
          refused="ten dimensions", reason="2 dimensions"),
)  # fmt: skip


def find(name: str) -> World:
    """Return a world by its name.

    Raises:
        InputError: There is none of that name; the nearest is named.
    """
    for world in WORLDS:
        if world.name.lower() == name.strip().lower():
            return world
    raise unknown("world", name, [world.name for world in WORLDS])
