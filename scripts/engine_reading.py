"""Rows of the engine's benchmark on reading: recording beside a bare forward, the reading job, the 7B shape."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM
from vprobe import activations, batching
from vprobe.types import Site, Tokens

from engine_setup import (
    POSITIONS,
    ROOT,
    SHAPES,
    Bench,
    Shown,
    eights,
    interval,
    padded,
    pooled,
    seconds,
    spread,
    torch_products,
    turns,
    waste,
)
from rows import NOT_RUN


def same_batches(bench: Bench) -> list[list[Tokens]]:
    some = [bench.said[i] for i in bench.sample(0, min(bench.queries, 6))]
    plan = batching.plan([len(row.ids) for row in some], bench.engine.default_batch_tokens)
    return [[some[i] for i in batch] for batch in plan]


def bare(bench: Bench, batches: Sequence[Sequence[Tokens]]) -> None:
    base = bench.engine._anatomy.base
    with torch.inference_mode():
        for rows in batches:
            ids, mask = padded(rows, base.device)
            base(input_ids=ids, attention_mask=mask, use_cache=False)


def record(bench: Bench, batches: Sequence[Sequence[Tokens]]) -> None:
    sites = [Site(i) for i in range(bench.engine.info.n_layers)]
    for rows in batches:
        bench.engine.read(rows, sites, POSITIONS)


def recording(bench: Bench) -> list[Shown]:
    """Read whole rows, nothing shared, against the bare forward of the same rows.

    Times are those of the same products on both sides, memory that of the bare forward with PyTorch's own.
    """
    batches = same_batches(bench)
    kept, bench.engine.unshared = bench.engine.unshared, "the same batches as the bare forward"
    try:
        took = turns(bench, [lambda _: bare(bench, batches), lambda _: record(bench, batches)], 2 * bench.rounds + 3)
    finally:
        bench.engine.unshared = kept
    ratios = took[:, 0] / took[:, 1]
    low, high = interval(ratios)
    peaks = [peak_of(bench, side) for side in ("bare", "record")]
    grown = peaks[1] / peaks[0]
    text = (
        f"{spread(ratios)}, 95 % interval {low:.3f} to {high:.3f}; {sum(map(len, batches))} texts in {len(batches)} "
        f"batches; peak memory {peaks[1] / 2**20:.0f} against {peaks[0] / 2**20:.0f} MiB ({grown:.3f})"
    )
    return [(text, bool(np.median(ratios) >= 0.95 and high >= 0.97 and grown <= 1.1))]


def peak_of(bench: Bench, side: str) -> float:
    """Return the peak memory in bytes of a process of its own that runs one side; on a GPU, of this one."""
    if bench.gpu:
        torch.cuda.reset_peak_memory_stats()
        (bare if side == "bare" else record)(bench, same_batches(bench))
        return float(torch.cuda.max_memory_allocated())
    given = [
        sys.executable,
        str(ROOT / "scripts" / "bench.py"),
        "--peak-of",
        side,
        "--model",
        str(bench.folder),
        "--queries",
        str(bench.queries),
    ]
    return float(subprocess.run(given, capture_output=True, text=True, check=True).stdout.split()[-1])


def hidden_states(model: Any, rows: Sequence[Tokens]) -> np.ndarray:
    """Read as most scripts do; the last layer of this is after the final norm and is left out of the comparison."""
    out: list[np.ndarray] = []
    with torch.inference_mode():
        for part in eights(rows):
            ids, mask = padded(part, model.device)
            found = model(input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False).hidden_states
            out += pooled(found[1:], part)
    return np.stack(out)


def run_with_cache(bridge: Any, rows: Sequence[Tokens], layers: int) -> np.ndarray:
    out: list[np.ndarray] = []
    names = [f"blocks.{i}.hook_resid_post" for i in range(layers)]
    with torch.inference_mode():
        for part in eights(rows):
            ids, mask = padded(part, bridge.original_model.device)
            _, cache = bridge.run_with_cache(ids, attention_mask=mask, names_filter=names)
            out += pooled([cache[name] for name in names], part)
    return np.stack(out)


def trace(wrapped: Any, rows: Sequence[Tokens]) -> np.ndarray:
    import nnsight

    out: list[np.ndarray] = []
    with torch.inference_mode():
        for part in eights(rows):
            ids, mask = padded(part, wrapped.device)
            with wrapped.trace(input_ids=ids, attention_mask=mask, use_cache=False):
                found = nnsight.save([layer.output for layer in wrapped.model.layers])
            out += pooled(found, part)
    return np.stack(out)


def ours(bench: Bench, rows: Sequence[Tokens]) -> np.ndarray:
    sites = [Site(i) for i in range(bench.engine.info.n_layers)]
    out = np.empty((len(rows), len(POSITIONS), len(sites), bench.engine.info.d_model), np.float32)
    for batch in activations.batches(bench.engine, rows):
        x = bench.engine.read([rows[i] for i in batch], sites, POSITIONS)
        out[list(batch)] = x.swapaxes(0, 1)
    return out


def reading(bench: Bench) -> list[Shown]:
    import nnsight
    from transformer_lens.model_bridge import TransformerBridge

    kind, place = bench.engine._model.dtype, bench.engine._model.device

    def copy() -> Any:
        return AutoModelForCausalLM.from_pretrained(bench.folder, dtype=kind).to(place).eval()

    plain, layers = copy(), bench.engine.info.n_layers
    bridge: Any = TransformerBridge.boot_transformers(
        str(bench.folder), hf_model=copy(), tokenizer=bench.engine.tokenizer, device=str(place), dtype=kind
    )
    wrapped = nnsight.TransformersModel(copy(), tokenizer=bench.engine.tokenizer)
    ways: list[Callable[[list[Tokens]], np.ndarray]] = [
        lambda rows: hidden_states(plain, rows),
        lambda rows: run_with_cache(bridge, rows, layers),
        lambda rows: trace(wrapped, rows),
        lambda rows: ours(bench, rows),
        lambda rows: slower(bench, rows),
    ]
    found: dict[tuple[int, int], np.ndarray] = {}
    drawn = reading_rounds(bench)

    def side(way: int, number: int) -> None:
        found[way, number] = ways[way]([*drawn, bench.said[:5]][number])

    took = turns(bench, [lambda number, w=w: side(w, number) for w in range(len(ways))], len(drawn))
    worst = max(error(found[w, n], found[3, n], last=w != 0) for n in range(len(took)) for w in (0, 1, 2, 4))
    return [ratio_to(took, way, least, tokens_of(drawn)) for way, least in enumerate((3.5, 4.0, 3.5))] + [
        (f"largest relative difference of a row {worst:.1e}", worst <= 1e-4)
    ]


def slower(bench: Bench, rows: Sequence[Tokens]) -> np.ndarray:
    """Read as we do, with PyTorch's own products: what is gained by sharing, batching and stopping alone."""
    with torch_products(bench.engine._model):
        return ours(bench, rows)


def reading_rounds(bench: Bench) -> list[list[Tokens]]:
    """Return each round's texts: the whole job in parts when rounds are long enough for it, else queries drawn."""
    if bench.queries * bench.rounds >= len({item.group for item in bench.found.items}):
        return bench.parts()
    return [[bench.said[i] for i in bench.sample(n, bench.queries)] for n in range(bench.rounds)]


def ratio_to(took: np.ndarray, way: int, least: float, about: str) -> Shown:
    """Say how many times as long one way takes as ours, over rounds and over their sum; both must be enough.

    Args:
        took: Shape (rounds, 5): seconds of three other ways, of ours, and of ours with PyTorch's own products.
        way: The other way.
        least: Times as long as ours.
        about: What the rounds are.
    """
    ratios, whole = took[:, way] / took[:, 3], took[:, way].sum() / took[:, 3].sum()
    plain = took[:, way] / took[:, 4]
    text = (
        f"{spread(ratios)}x, all rounds together {whole:.2f}x; with PyTorch's own products {spread(plain)}x, "
        f"together {took[:, way].sum() / took[:, 4].sum():.2f}x; {about}"
    )
    return text, bool(min(np.median(ratios), whole) >= least)


def error(x: np.ndarray, y: np.ndarray, *, last: bool) -> float:
    """Return the largest relative error of a row; without the last layer where that is after the final norm."""
    x, y = (x, y) if last else (x[:, :, :-1], y[:, :, :-1])
    return float((np.linalg.norm(x - y, axis=-1) / np.linalg.norm(y, axis=-1)).max())


def tokens_of(drawn: Sequence[Sequence[Tokens]]) -> str:
    texts = [row for part in drawn for row in part]
    shared, wide = waste(texts)
    return f"{len(texts)} texts, {shared:.2f} tokens per distinct token, batches of 8 pad by {wide:.2f}"


def large(bench: Bench) -> list[Shown]:
    """Read the whole job with the GPU preset's model, beside the card's own rate of matrix products."""
    if bench.preset == "cpu":
        return [(NOT_RUN, False)]
    rows = bench.said if bench.gpu else bench.said[:40]
    ours(bench, rows[:20])
    took = seconds(bench.gpu, lambda: ours(bench, rows))
    shape, place = SHAPES[bench.preset], bench.engine._model.device
    weights = sum(p.numel() for p in bench.engine._anatomy.base.parameters())
    weights -= shape["vocab_size"] * shape["hidden_size"]
    once = batching.distinct([row.ids for row in rows], [range(len(rows))])
    size = 8192 if bench.gpu else 256
    a, b = (torch.randn(size, size, device=place).bfloat16() for _ in range(2))
    best = min(seconds(bench.gpu, lambda: [a @ b for _ in range(20)]) for _ in range(3)) / 20
    rate, most = 2 * weights * once / took, 2 * size**3 / best
    text = f"{took:.1f} s for {len(rows)} texts, {once} distinct tokens: {rate / 1e12:.3g} of {most / 1e12:.3g} TFLOP/s"
    card = torch.cuda.get_device_name() if bench.gpu else "a CPU: no figure, not ok"
    return [(f"{text} ({rate / most:.2f}) on {card}", bench.gpu and rate >= 0.4 * most and took < 60)]
