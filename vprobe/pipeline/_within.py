"""Directions inside a block, for operations on neurons and on attention heads: listed by hand, or found on a run.

A run records the residual stream; what neurons and heads do on its items is read again here, from the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprobe import batching, directions, prompts, steering, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError, RefusedError
from vprobe.pipeline._common import load_benchmarks
from vprobe.pipeline._own import shown
from vprobe.types import Direction, Item, Site

FOUND = "found"
"""Word that asks for the neurons that tell items high in a value from items low in it."""
POSITION = "response_mean"


@dataclass(frozen=True)
class Within:
    """A direction inside a block, with the heads it changes."""

    direction: Direction
    heads: tuple[int, ...] = ()
    head_count: int = 0


def inside(config: RunConfig) -> bool:
    """Tell whether neurons or heads are to be steered.

    Raises:
        InputError: Both, or at a site where there are none.
    """
    wanted = {"mlp_neurons": config.steer_neurons, "head_out": config.steer_heads}
    given = [point for point, text in wanted.items() if text]
    if len(given) > 1:
        raise InputError("neurons and heads", where="--neurons and --heads", expected="one of them")
    point = config.steer_site.partition(".")[0]
    if given and point != given[0]:
        raise InputError(
            config.steer_site or "no site", where="--site", expected=f"{given[0]}.N, for a block N counted from 0"
        )
    if point in wanted and not given:
        flag = "--neurons" if point == "mlp_neurons" else "--heads"
        raise InputError(f"no choice at {config.steer_site}", where=flag, expected="numbers from 0, such as 1,5")
    return bool(given)


def within(folder: Path | None, config: RunConfig, backend: Backend, value: str) -> Within:
    """Return a direction of neurons, or of heads, of one block.

    Neurons that are listed all count alike: a shift of strength 1 is one unit of activity in each. Neurons that are
    found are shifted by their mean differences, and heads by alpha standard deviations along their own directions.

    Args:
        folder: A run of the model, for what is found on items; None where neurons are listed.
        config: Site, neurons or heads, and method.
        backend: The model.
        value: Value the direction points to; may be empty where neurons are listed.

    Raises:
        InputError: A neuron or head the block does not have, or nothing to find them on.
        RefusedError: No neuron tells high items from low.
    """
    site = Site.parse(config.steer_site)
    if site.point == "mlp_neurons":
        return Within(_neurons(folder, config, backend, site, value))
    count = backend.size.heads
    chosen = _numbers(config.steer_heads, count, "--heads")
    x, items = _read(folder, backend, site)
    parts = x.reshape(len(x), count, -1)[:, list(chosen)]
    labels = np.array([[item.loading(value)] for item in items])
    groups = tuple(item.group for item in items)
    ways = np.stack([
        directions.fit(parts[:, k].astype(np.float64), labels, groups, method=config.steer_method, seed=config.seed)[0]
        for k in range(len(chosen))
    ])  # fmt: skip
    spreads = [float((parts[:, k] @ way).std()) for k, way in enumerate(ways)]
    one = steering.heads(
        ways, chosen, spreads, head_count=count, layer=site.layer, value=value, model=backend.info.fingerprint
    )
    return Within(one, chosen, count)


def _neurons(folder: Path | None, config: RunConfig, backend: Backend, site: Site, value: str) -> Direction:
    if config.steer_neurons.strip() == FOUND:
        x, items = _read(folder, backend, site)
        labels = np.array([item.loading(value) for item in items])
        told = directions.contrast_neurons(x[labels > 0], x[labels < 0])
        shifts, chosen = told.difference, told.chosen
        if not chosen.any():
            raise RefusedError(
                f"none of {len(chosen)} neurons tells items high in {value} from low ones clearly",
                where=str(site), expected="a Cohen's d above 0.8", do="try another block, or list neurons",
            )  # fmt: skip
    else:
        width = len(backend.neuron_weights(site.layer))
        chosen = np.zeros(width, dtype=bool)
        chosen[list(_numbers(config.steer_neurons, width, "--neurons"))] = True
        shifts = chosen.astype(np.float64)
    return steering.neurons(shifts, chosen, layer=site.layer, value=value, model=backend.info.fingerprint)


def _numbers(text: str, count: int, where: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    wrong = next((word for word in words if not word.isdecimal() or int(word) >= count), None)
    if wrong is not None or not words or len(set(words)) < len(words):
        raise InputError(
            repr(wrong or text), where=where, expected=f"different numbers from 0 to {count - 1}, such as 1,5"
        )
    return tuple(map(int, words))


def _read(
    folder: Path | None, backend: Backend, site: Site
) -> tuple[Float[np.ndarray, "sample width"], Sequence[Item]]:
    """Read a run's items at a site it did not record."""
    if folder is None:
        raise InputError("no items to find it on", where="steer", do="give --run, a run of this model")
    config = RunConfig().changed(dict(store.load_info(folder, "extract").config))
    found = (store.load_items(folder),) if config.template == prompts.RESPONSE else load_benchmarks(config)
    by_id = {item.id: item for one in found for item in one.items}
    known = {sample.item_id for sample in store.load_samples(folder)}
    asked = [prompt for one in found for prompt in shown(one, config.template) if prompt.item_id in known]
    rows = [prompts.encode(backend.tokenizer, prompt) for prompt in asked]
    out: dict[int, np.ndarray] = {}
    for batch in batching.plan([len(row.ids) for row in rows], backend.default_batch_tokens):
        x = backend.read([rows[i] for i in batch], [site], [POSITION])[0, :, 0]
        out |= dict(zip(batch, x, strict=True))
    return np.stack([out[i] for i in range(len(rows))]), [by_id[prompt.item_id] for prompt in asked]
