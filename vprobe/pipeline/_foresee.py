"""`extract --plan`: what a recording will cost, told before it runs."""

from __future__ import annotations

from pathlib import Path

from vprobe import activations, prompts
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.pipeline._common import Stage, load_backend, load_benchmarks
from vprobe.types import Count

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
    cost = activations.foresee(
        backend, [encoded[i] for i in fit.kept], sites, config.positions, batch_tokens=config.batch_tokens or None
    )
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
        ("TFLOP", cost.flops / 1e12),
        ("memory at the peak, GiB", cost.memory / 2**30),
        ("store, MiB", cost.stored / 2**20),
        ("estimated seconds, by a trial on a few texts", cost.seconds),
    )
    return Stage("extract --plan", Path(config.out), facts, (*counts, *fit.counts))
