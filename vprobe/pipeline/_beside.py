"""What is read beside a model, for the baseline card: an untrained one of the same shape, and what enters block 0."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from vprobe import activations, backends, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import ModelError
from vprobe.pipeline._common import Tell, info, model_path, placement, shared
from vprobe.ranks import ALONE, Rank
from vprobe.types import Activations, Benchmark, EmbeddingRow, Prompt, Site, Tokens

FOLDER = "baselines"
"""Subfolder of a run that holds these readings, each a little run of its own."""
UNTRAINED, EMBED = "untrained", "embed"
LAYER_0 = Site(0, "embed")


def record(
    folder: Path,
    config: RunConfig,
    backend: Backend,
    found: Sequence[Benchmark],
    kept: Sequence[Prompt],
    tokens: Sequence[Tokens],
    sites: Sequence[Site],
    *,
    tell: Tell,
    rank: Rank = ALONE,
) -> str:
    """Read the run's texts in an untrained model at the same sites, and what enters block 0 where the run lacks it.

    What was read by an earlier call is kept. An untrained model that cannot be built stops nothing.

    Args:
        folder: The run.
        config: Model, seed of the weights, positions and batches; `untrained` says whether to do it.
        backend: The trained model.
        found: The benchmarks, for provenance.
        kept: Prompts.
        tokens: Their tokens.
        sites: Where the trained model was read.
        tell: Called with (stage, done, total).
        rank: Which of several processes this is, when it is the one that closes the store.

    Returns:
        What is to be said of the untrained model.
    """
    if LAYER_0 not in sites and LAYER_0.point in backend.points:
        _read(folder / FOLDER / EMBED, config, backend, found, kept, tokens, (LAYER_0,), tell, rank)
    _embed(folder, config, found, kept)
    place = folder / FOLDER / UNTRAINED
    if there(place):
        known = store.load_info(place).model
        return known.name if known else ""
    if not config.untrained:
        return "not read, as asked"
    try:
        other = _untrained(config, rank)
        _read(place, config, other, found, kept, tokens, sites, tell, rank)
    except ModelError as error:
        return f"not read: {error}"
    return other.info.name


def share(
    folder: Path,
    config: RunConfig,
    backend: Backend,
    kept: Sequence[Prompt],
    tokens: Sequence[Tokens],
    sites: Sequence[Site],
    *,
    tell: Tell,
    rank: Rank,
) -> None:
    """Record one rank's part of these readings; `record` seals them when all parts are done.

    Args:
        folder: The run.
        config: As for `record`.
        backend: The trained model.
        kept: Prompts.
        tokens: Their tokens.
        sites: Where the trained model was read.
        tell: Called with (stage, done, total).
        rank: Which of several processes this is.
    """
    if LAYER_0 not in sites and LAYER_0.point in backend.points and not there(folder / FOLDER / EMBED):
        _part(folder / FOLDER / EMBED, config, backend, kept, tokens, (LAYER_0,), tell, rank, seal=False)
    place = folder / FOLDER / UNTRAINED
    if config.untrained and not there(place):
        with contextlib.suppress(ModelError):  # said by the rank that closes the store
            _part(place, config, _untrained(config, rank), kept, tokens, sites, tell, rank, seal=False)


def places(folder: Path) -> tuple[Path, ...]:
    """Return where these readings lie."""
    return tuple(folder / FOLDER / name for name in (EMBED, UNTRAINED))


def _untrained(config: RunConfig, rank: Rank) -> Backend:
    if not placement(config).plain:
        raise ModelError(
            "random weights are not drawn over several devices or in fewer bits", where="untrained model",
            do="record them apart, on one device: the shape alone matters",
        )  # fmt: skip
    return backends.untrained(
        model_path(config.model), seed=config.seed, revision=config.revision, dtype=config.dtype,
        device=rank.device(config.device), trust_remote_code=config.trust_remote_code,
    )  # fmt: skip


def load(folder: Path, name: str, acts: Activations) -> Activations | None:
    """Return what was read beside a run at its position and of its samples; None when nothing was.

    Args:
        folder: The run.
        name: `UNTRAINED` or `EMBED`.
        acts: The run's own activations, all samples or some.
    """
    if name == EMBED and LAYER_0 in acts.sites:
        x = acts.at(LAYER_0)[:, None]
        return Activations(x, acts.sample_ids, (LAYER_0,), acts.position, acts.model)
    place = folder / FOLDER / name
    if not there(place) or acts.position not in store.recording(place).positions:
        return None
    found = store.load_activations(place, acts.position)
    row = {sample: i for i, sample in enumerate(found.sample_ids)}
    if not set(acts.sample_ids) <= set(row):
        return None
    rows = np.array([row[sample] for sample in acts.sample_ids])
    return Activations(found.x[rows], acts.sample_ids, found.sites, found.position, found.model)


def seed_of(folder: Path) -> int:
    """Return the seed of the untrained model's weights; -1 when none was read."""
    place = folder / FOLDER / UNTRAINED
    return store.load_info(place).seed if there(place) else -1


def there(place: Path) -> bool:
    """Tell whether a reading beside the run is there and finished."""
    return place.is_dir() and store.has(place, "activations") and bool(store.stages(place))


def _embed(folder: Path, config: RunConfig, found: Sequence[Benchmark], kept: Sequence[Prompt]) -> None:
    """Embed the items' texts with the encoder asked for, if one was."""
    if not config.embedding:
        return
    wanted = {prompt.item_id for prompt in kept}
    items = [item for one in found for item in one.items if item.id in wanted]
    texts = [f"{item.title} {item.text} {item.response}".strip() for item in items]
    x = backends.embed(
        texts, config.embedding, device=config.device, trust_remote_code=config.trust_remote_code
    )  # fmt: skip
    rows = [EmbeddingRow(item.id, tuple(float(v) for v in row)) for item, row in zip(items, x, strict=True)]
    store.save_rows(folder, "embedding", rows, EmbeddingRow)


def _read(
    place: Path,
    config: RunConfig,
    backend: Backend,
    found: Sequence[Benchmark],
    kept: Sequence[Prompt],
    tokens: Sequence[Tokens],
    sites: Sequence[Site],
    tell: Tell,
    rank: Rank,
) -> None:
    if there(place):
        return
    _part(place, config, backend, kept, tokens, sites, tell, rank, seal=True)
    store.save_info(place, info("extract", config, backend.info, found), "extract")


def _part(
    place: Path,
    config: RunConfig,
    backend: Backend,
    kept: Sequence[Prompt],
    tokens: Sequence[Tokens],
    sites: Sequence[Site],
    tell: Tell,
    rank: Rank,
    *,
    seal: bool,
) -> None:
    activations.record(
        backend, kept, tokens, sites=sites, positions=config.positions, folder=place,
        batch_tokens=config.batch_tokens or None, progress=partial(tell, f"extract, {place.name}"),
        rank=rank, settings=shared(config, "extract"), seal=seal,
    )  # fmt: skip
