"""What docs/scale.md reckons with is what vprobe's own planning gives for models of those shapes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from vprobe import activations, config
from vprobe.backends._size import size_of
from vprobe.types import Site, Span, Tokens

from tests.fake_backend import FakeBackend

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
PEAK, SHARE = 989e12, 0.4
"""Dense bf16 operations per second of one GPU as its maker states them, and the share reckoned with."""
SHAPES = {
    "70B": {"hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64},
    "8B": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32},
}


def model(name: str) -> Any:
    """Return an engine's outside of a model of this shape, whose weights have no numbers."""
    made = AutoConfig.for_model("llama", vocab_size=128256, num_key_value_heads=8, head_dim=128, **SHAPES[name])
    with torch.device("meta"):
        whole = AutoModelForCausalLM.from_config(made, dtype=torch.bfloat16)
    size = size_of(whole, list(whole.model.layers), 4096)
    engine: Any = FakeBackend()
    engine.size, engine.unshared, engine.default_batch_tokens = size, "", 16384
    engine.info = replace(engine.info, d_model=made.hidden_size, n_layers=made.num_hidden_layers)
    return engine


def texts(queries: int, responses: int, shared: int, own: int) -> list[Tokens]:
    """Return texts of which each query's begin alike."""
    span = (Span("response", shared, shared + own),)

    def ids(start: int, n: int) -> tuple[int, ...]:
        return tuple((start + i) % 100_000 + 9 for i in range(n))

    return [
        Tokens(f"{q}/{r}", ids(q * shared, shared) + ids(q * 5 + r, own), shared, span)
        for q in range(queries)
        for r in range(responses)
    ]


def figures() -> dict[str, float]:
    """Return every figure of the page by the words it stands under there, in the page's units."""
    large = model("70B")
    reading = [Site(layer) for layer in range(80)]
    job = activations.foresee(large, texts(104, 5, 150, 80), reading, ("response_mean", "last_prompt"), trial=False)
    small = model("8B")
    every = [Site(layer) for layer in range(32)]
    part = activations.foresee(small, texts(1000, 1, 0, 300), every, ("response_mean",), trial=False)
    per = 1e7 / part.texts
    gpu = PEAK * SHARE
    return {
        "weights of the 70B model, GiB": large.size.weight_bytes / 2**30,
        "of them on each of 8 GPUs, GiB": large.size.weight_bytes / 8 / 2**30,
        "keys and values per token, KiB": 80 * large.size.cache_bytes / 2**10,
        "tokens of the reading job": job.tokens,
        "tokens that run": job.computed,
        "PFLOP of the reading job": job.flops / 1e15,
        "seconds with all 8 GPUs at work": job.flops / (8 * gpu),
        "seconds with one at work at a time": job.flops / gpu,
        "store of the reading job, GB": job.stored / 1e9,
        "weights of the 8B model, GiB": small.size.weight_bytes / 2**30,
        "EFLOP of ten million texts": part.flops * per / 1e18,
        "GPU hours": part.flops * per / gpu / 3600,
        "minutes on 64 GPUs": part.flops * per / gpu / 64 / 60,
        "store per text, KiB": part.stored / part.texts / 2**10,
        "store of ten million texts, TB": part.stored * per / 1e12,
        "one site of ten million texts, GB": part.stored * per / 32 / 1e9,
        "written per second and GPU, MB": part.stored / part.flops * gpu / 1e6,
        "minutes to hash it at 1.5 GB/s": part.stored * per / 1.5e9 / 60,
        "batches of ten million texts": part.batches * per,
    }


def written() -> dict[str, float]:
    rows = re.findall(r"^\| ([^|]+?) \| [^|]+ \| ([0-9][0-9,.]*) \|$", PAGE, re.M)
    return {name: float(value.replace(",", "")) for name, value in rows}


def test_every_figure_of_the_page_is_what_the_plan_of_an_extraction_gives() -> None:
    there, right = written(), figures()
    assert set(there) == set(right)
    for name, value in right.items():
        assert there[name] == pytest.approx(value, rel=0.006), name


def test_every_option_the_page_names_is_there() -> None:
    options = {"--" + name.replace("_", "-") for name in config.names()}
    ours = re.findall(r"vprobe (?:extract|rate)[^\n]*", PAGE)
    assert len(ours) >= 4
    named = {word for line in ours for word in re.findall(r"--[a-z-]+", line)}
    assert {option.replace("--no-", "--") for option in named} - {"--plan"} <= options
