"""Held-out items asked under several personas: the same items in every one, read where an answer starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import linalg

from vprobe import activations, prompts, scores
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.pipeline._personas import available
from vprobe.pipeline._read import Asked, fitting
from vprobe.pipeline._told import Told
from vprobe.pipeline._trial import Tried
from vprobe.types import Direction, Response, Site

POSITION = "last_prompt"
"""Where a persona is read: the token the answer starts from, which has seen persona and item."""
FEWEST = 3
"""Personas without which nothing varies enough."""


@dataclass(frozen=True)
class Under:
    """Items under personas.

    Args:
        names: The personas.
        asked: Prompts, persona by persona, each with the same items and wordings in the same order.
        items: The items, with what may be fitted on.
    """

    names: tuple[str, ...]
    asked: Asked
    items: Tried

    @property
    def each(self) -> int:
        """Prompts under one persona."""
        return len(self.asked.prompts) // len(self.names)

    def read(
        self, backend: Backend, sites: Sequence[Site], config: RunConfig
    ) -> Float[np.ndarray, "condition prompt site d_model"]:
        """Return activations of the token each answer starts from.

        Args:
            backend: The model.
            sites: Where.
            config: Batch size.
        """
        rows = [one.prompt for one in self.asked.answers]
        x = activations.read_all(backend, rows, sites, POSITION, batch_tokens=config.batch_tokens or None)
        return x.reshape(len(self.names), self.each, *x.shape[1:])

    def projected(
        self, x: Float[np.ndarray, "condition prompt site d_model"], sites: Sequence[Site], ways: Sequence[Direction]
    ) -> Float[np.ndarray, "condition item value"]:
        """Return projections on directions, each at its own site, averaged over the wordings of an item.

        Args:
            x: From `read`.
            sites: Of `x`.
            ways: The directions.
        """
        along = [x[:, :, sites.index(way.site)].astype(np.float64) @ way.vector.astype(np.float64) for way in ways]
        return self.by_item(np.stack(along, axis=-1))

    def by_item(self, per_prompt: Float[np.ndarray, "condition prompt value"]) -> np.ndarray:
        """Average over the wordings of an item.

        Args:
            per_prompt: Numbers per prompt.
        """
        ids = [prompt.item_id for prompt in self.asked.prompts[: self.each]]
        place = {item: n for n, item in enumerate(self.items.item_ids)}
        member = np.zeros((len(place), len(ids)))
        member[[place[item] for item in ids], np.arange(len(ids))] = 1.0
        return np.einsum("ip,cpv->civ", member / member.sum(axis=1, keepdims=True), per_prompt)

    def rated(self, answered: Sequence[Response]) -> Float[np.ndarray, "condition item"]:
        """Return expected ratings of the items under each persona.

        Args:
            answered: One per prompt, in their order.
        """
        parts = [answered[start : start + self.each] for start in range(0, len(answered), self.each)]
        return np.stack([scores.rate(part, self.items.item_ids).expected for part in parts])


def under(backend: Backend, config: RunConfig, items: Tried, conditions: int, ways: Sequence[Direction]) -> Under:
    """Put every item under those personas that what is read differs most between; no answer is looked at.

    Args:
        backend: The model.
        config: The model's name, and what becomes of prompts that are too long.
        items: Held-out items; one that does not fit under a persona is left out of all.
        conditions: Personas.
        ways: Directions of the values read.

    Raises:
        InputError: Fewer than three personas, or more than there are.
        ModelError: Nothing fits the model's context.
    """
    there = available(config)
    if not FEWEST <= conditions <= len(there):
        raise InputError(f"{conditions} personas", where="--personas", expected=f"{FEWEST} to {len(there)}")
    chosen = [there[n] for n in apart(_first_read(backend, config, items, there, ways), conditions)]
    wanted = [prompts.with_system(p, one.text, name=one.id) for one in chosen for p in items.asked.prompts]
    asked = fitting(backend, wanted, config.too_long, "personas")
    left = {prompt.item_id for prompt in asked.prompts}
    kept = [n for n, item in enumerate(items.item_ids) if item in left]
    fewer = Tried(
        items.train, items.held_out, items.asked, tuple(items.item_ids[n] for n in kept),
        tuple(items.groups[n] for n in kept), tuple(items.items[n] for n in kept),
    )  # fmt: skip
    return Under(tuple(one.id for one in chosen), asked, fewer)


def _first_read(
    backend: Backend, config: RunConfig, items: Tried, there: Sequence[Told], ways: Sequence[Direction]
) -> Float[np.ndarray, "condition value"]:
    """Return what is read of each value in one prompt under every persona; 0 where it does not fit."""
    shortest = min(range(len(items.asked.prompts)), key=lambda n: len(items.asked.answers[n].prompt.ids))
    first = items.asked.prompts[shortest]
    asked = [prompts.encode_answers(backend.tokenizer, prompts.with_system(first, p.text, name=p.id)) for p in there]
    fits = [n for n, one in enumerate(asked) if len(one.prompt.ids) <= backend.info.context]
    sites = tuple(dict.fromkeys(way.site for way in ways))
    budget = config.batch_tokens or None
    x = activations.read_all(backend, [asked[n].prompt for n in fits], sites, POSITION, batch_tokens=budget)
    out = np.zeros((len(there), len(ways)))
    for v, way in enumerate(ways):
        read = x[:, sites.index(way.site)].astype(np.float64) @ way.vector.astype(np.float64)
        spread = float(read.std())
        out[fits, v] = (read - read.mean()) / (spread if spread > 0 else 1.0)
    return out


def apart(read: Float[np.ndarray, "condition value"], n: int) -> list[int]:
    """Choose rows one by one, each the one that lies farthest from what those before it span; in their own order.

    Rows longer than the median are cut to its length: answers to what is extreme stick at the ends of their scale.

    Args:
        read: Standardised columns.
        n: How many; beyond as many as there are columns, rows are spread evenly over the others.

    Source: QR decomposition with column pivoting, scipy.linalg.qr: a greedy D-optimal design.
    """
    size = np.linalg.norm(read, axis=1, keepdims=True)
    usual = np.minimum(1.0, np.median(size) / np.where(size > 0, size, 1.0))
    order: Any = linalg.qr((read * usual).T, mode="r", pivoting=True)  # (R, pivots)
    first = [int(row) for row in order[1][: min(n, read.shape[1])]]
    others = [row for row in range(len(read)) if row not in first]
    more = [others[int(i)] for i in np.linspace(0, len(others) - 1, n - len(first)).round()] if n > len(first) else []
    return sorted({*first, *more})


def centred(x: Float[np.ndarray, "*more condition item"]) -> np.ndarray:
    """Take each item's mean over conditions away.

    Args:
        x: Conditions on the last axis but one.
    """
    return x - x.mean(axis=-2, keepdims=True)
