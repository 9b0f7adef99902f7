"""The stage that records a model's activations, by one process or by several ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from vprobe import activations, prompts, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import unknown
from vprobe.pipeline import _beside as beside
from vprobe.pipeline._common import Stage, Tell, info, join, load_backend, load_benchmarks, partly, quiet, shared
from vprobe.pipeline._own import answered, shown
from vprobe.pipeline._read import by_source, eased, same_items
from vprobe.pipeline._truth import untrue
from vprobe.ranks import ALONE, Rank
from vprobe.types import Benchmark, Count, Prompt, Site, SiteNorm, Tokens

NORM_SAMPLE = 64
"""Texts the unit of steering strength is measured on, spread evenly over the run's prompts."""
STALE = ("probe", "agree", "across", "steer", "matrix", "solve", "damage", "audit", "ablate", "said", "transfer",
         "personas", "imported", "imported_damage", "imported_matrix", "imported_solve", "eval", "claims",
         "truth")  # fmt: skip
"""Stages whose results new activations make stale."""


def extract(config: RunConfig, *, backend: Backend | None = None, tell: Tell = quiet, rank: Rank = ALONE) -> Stage:
    """Record activations over every item that fits the model, resuming what an earlier call left unfinished.

    Of several ranks each records a part; the one that finds all parts done finishes the stage.

    Args:
        config: What to record, see `RunConfig`.
        backend: A model already loaded; loaded from the configuration when None.
        tell: Called with (stage, done, total).
        rank: Which of several processes this is.

    Raises:
        VprobeError: Bad input, nothing fits the model's context, another run's folder, or a full disk.
    """
    folder = Path(config.out)
    found = load_benchmarks(config)
    _known_template(found, config.template)
    backend = backend or load_backend(config, rank)
    own: tuple[Count, ...] = ()
    if config.template == prompts.RESPONSE:
        filled = answered(
            found, backend, policy=config.too_long, batch_tokens=config.batch_tokens, stop=config.stop, tell=tell
        )
        found, own = filled.found, filled.counts
    asked = [prompt for one in found for prompt in shown(one, config.template)]
    encoded = [prompts.encode(backend.tokenizer, prompt) for prompt in asked]
    fit = activations.fits(asked, encoded, backend.info.context, policy=config.too_long, stage="extract")
    sites = activations.expand_sites(config.sites, config.layers, backend.info, backend.points)
    kept, tokens = [asked[i] for i in fit.kept], [encoded[i] for i in fit.kept]
    same_items(folder, found)
    job = _Job(config, backend, found, kept, tokens, sites, (*own, *fit.counts), rank)
    if rank.alone:
        return _extracted(job, tell)
    _record(job, tell, seal=False)
    beside.share(folder, config, backend, kept, tokens, sites, tell=tell, rank=rank)
    places = beside.places(folder)
    if all(store.recorded(place) for place in (folder, *places)):  # asked last: the rank that ends last sees all done
        with store.closing(folder, places) as mine:
            if mine:
                return _extracted(job, tell)
    return partly("extract", folder, rank)


@dataclass(frozen=True)
class _Job:
    """What is recorded: texts that fit a model, where they are read, and what was left out."""

    config: RunConfig
    backend: Backend
    found: tuple[Benchmark, ...]
    kept: list[Prompt]
    tokens: list[Tokens]
    sites: tuple[Site, ...]
    counts: tuple[Count, ...]
    rank: Rank


def _record(job: _Job, tell: Tell, *, seal: bool) -> None:
    config = job.config
    activations.record(
        job.backend, job.kept, job.tokens, sites=job.sites, positions=config.positions, folder=Path(config.out),
        batch_tokens=config.batch_tokens or None, progress=partial(tell, "extract"), rank=job.rank,
        settings=shared(config, "extract", job.found), seal=seal,
    )  # fmt: skip


def norm_sample(texts: Sequence[Tokens]) -> list[Tokens]:
    """Return the texts that residual norms are measured on, spread evenly from the first to the last."""
    spread = np.linspace(0, len(texts) - 1, min(len(texts), NORM_SAMPLE)).round().astype(int)
    return [texts[i] for i in spread]


def _extracted(job: _Job, tell: Tell) -> Stage:
    """Record what is not recorded yet, and finish the stage."""
    config, backend, folder = job.config, job.backend, Path(job.config.out)
    fresh = not store.has(folder, "activations") or not store.has(folder, "items")
    with store.timed(folder, "extract", device=backend.device):
        _record(job, tell, seal=True)
        untrained = beside.record(
            folder, config, backend, job.found, job.kept, job.tokens, job.sites, tell=tell, rank=job.rank
        )
        norms = backend.residual_norms(norm_sample(job.tokens), job.sites)
        rows = [SiteNorm(str(site), float(norm)) for site, norm in zip(job.sites, norms, strict=True)]
        store.save_rows(folder, "norms", rows, SiteNorm)
        if fresh:
            store.drop(folder, STALE)
            store.save_items(folder, join(job.found))
        store.save_info(folder, info("extract", config, backend.info, job.found, job.counts), "extract")
    facts = (
        ("model", backend.info.name),
        ("samples", len(job.kept)),
        ("by source", by_source(job.kept)),
        ("sites", len(job.sites)),
        ("positions", ", ".join(config.positions)),
        ("untrained model", untrained),
        *untrue(config, backend.info),
        *eased(backend),
    )
    return Stage("extract", folder, facts, job.counts)


def _known_template(found: Sequence[Benchmark], template: str) -> None:
    """Refuse an unknown template before the model is loaded."""
    for one in found:
        if template not in (prompts.RESPONSE, *one.versions):
            raise unknown("template", template, (prompts.RESPONSE, *one.versions), where=f"benchmark {one.name}")
