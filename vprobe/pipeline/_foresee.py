"""`extract --plan`: what a recording will cost, told before it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vprobe import activations, prompts
from vprobe.activations import Foreseen
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.pipeline._beside import LAYER_0
from vprobe.pipeline._common import Stage, load_backend, load_benchmarks, placement
from vprobe.pipeline._extract import norm_sample
from vprobe.types import Count, Site, Tokens

OWN = "items whose response is the model's own: their length is not known before it runs"


def foresee(config: RunConfig, *, backend: Backend | None = None) -> Stage:
    """Say what `extract` would run and store; nothing is recorded and no folder is made.

    Args:
        config: What would be recorded.
        backend: A model already loaded; loaded from the configuration when None.

    Raises:
        VprobeError: What `extract` would refuse, or every item's response is the model's own.
    """
    found = load_benchmarks(config)
    backend = backend or load_backend(config)
    own = config.template == prompts.RESPONSE
    every = [(one, prompt) for one in found for prompt in prompts.render(one, template=config.template)]
    without = {item.id for one in found for item in one.items if own and not item.response}
    asked = [prompt for _, prompt in every if prompt.item_id not in without]
    if not asked:
        raise InputError(OWN, where="extract --plan", expected="items with responses", do="run extract without --plan")
    encoded = [prompts.encode(backend.tokenizer, prompt) for prompt in asked]
    fit = activations.fits(asked, encoded, backend.info.context, policy=config.too_long, stage="extract")
    sites = activations.expand_sites(config.sites, config.layers, backend.info, backend.points)
    kept = [encoded[i] for i in fit.kept]
    cost = activations.foresee(backend, kept, sites, config.positions, batch_tokens=config.batch_tokens or None)
    whole = _whole(config, backend, kept, sites, cost)
    counts = tuple(
        Count("extract", OWN, one.name, n, len(one.items))
        for one in found
        if (n := sum(item.id in without for item in one.items))
    )
    facts = (
        ("model", backend.info.name),
        ("samples", cost.texts),
        ("sites", len(sites)),
        ("positions", ", ".join(config.positions)),
        ("tokens", cost.tokens),
        ("distinct tokens", cost.distinct),
        ("tokens that run", cost.computed),
        ("shared beginnings", f"no: {backend.unshared}" if backend.unshared else "computed once"),
        ("batches", cost.batches),
        ("untrained model beside it", "read too" if whole.untrained else "no"),
        ("TFLOP, all readings", whole.flops / 1e12),
        ("memory at the peak, GiB", whole.memory / 2**30),
        ("store, MiB, all readings", whole.stored / 2**20),
        ("estimated seconds, by a trial on a few texts", whole.seconds),
    )
    return Stage("extract --plan", Path(config.out), facts, (*counts, *fit.counts))


@dataclass(frozen=True)
class _Whole:
    """What a whole call of `extract` costs: its reading and what it reads beside it.

    Args:
        untrained: True when an untrained model of the same shape is read too.
        flops: Floating-point operations.
        memory: Bytes at the peak.
        stored: Bytes of the numbers in the run folder.
        seconds: Estimated time.
    """

    untrained: bool
    flops: float
    memory: float
    stored: int
    seconds: float


def _whole(config: RunConfig, backend: Backend, kept: list[Tokens], sites: tuple[Site, ...], cost: Foreseen) -> _Whole:
    """Add to a reading the same of an untrained model, what enters block 0, and the texts that give residual norms."""
    untrained = config.untrained and placement(config).plain
    readings = 1 + untrained
    flops = cost.flops * (readings + sum(len(one.ids) for one in norm_sample(kept)) / cost.computed)
    stored = cost.stored * readings
    if LAYER_0 not in sites and LAYER_0.point in backend.points:
        first = activations.foresee(
            backend, kept, (LAYER_0,), config.positions, batch_tokens=config.batch_tokens or None, trial=False
        )
        flops, stored = flops + first.flops, stored + first.stored
    memory = cost.memory + backend.size.weight_bytes * untrained
    return _Whole(untrained, flops, memory, stored, cost.seconds * flops / cost.flops)
