"""Models of many makers are read, asked and continued as a bare model is, text by text; what is odd is found out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from vprobe import backends
from vprobe.backends import _engine
from vprobe.backends._families import blocks_of
from vprobe.errors import ModelError
from vprobe.types import Answers, Site, Tokens

from tests import tiny
from tests.test_together import gap, whole

torch.set_num_threads(1)
D, N = tiny.D_MODEL, tiny.LAYERS
PAIRS = {"num_key_value_heads": 2}
MOE = {**PAIRS, "num_experts_per_tok": 2}


def raw(kind: str, **given: Any) -> Callable[[int], Any]:
    return lambda vocab: AutoConfig.for_model(kind, vocab_size=vocab, **given, **tiny._IDS)


GPT = {"n_embd": D, "n_layer": N, "n_head": 4, "n_positions": tiny.CONTEXT}
OLD = {"hidden_size": D, "num_hidden_layers": N, "num_attention_heads": 4}
LONG = {"rope_type": "longrope", "rope_theta": 1e4, "long_factor": [2.0] * 4, "short_factor": [1.0] * 4}
SHARES, APART, PACKED = "", "its cache does not keep every token", "it does not read options packed"
ODD: dict[str, tuple[Callable[[int], Any], str]] = {
    "gptj": (raw("gptj", **GPT, rotary_dim=4, n_inner=48), SHARES),
    "opt": (raw("opt", **OLD, ffn_dim=48, max_position_embeddings=192, word_embed_proj_dim=D), SHARES),
    "bloom": (raw("bloom", hidden_size=D, n_layer=N, n_head=4), PACKED),
    "mpt": (raw("mpt", d_model=D, n_layers=N, n_heads=4, max_seq_len=192, expansion_ratio=2), PACKED),
    "falcon": (raw("falcon", **OLD, new_decoder_architecture=True, num_kv_heads=2), SHARES),
    "falcon with biases": (raw("falcon", **OLD, alibi=True, multi_query=False, parallel_attn=False), PACKED),
    "mixtral": (tiny._usual("mixtral", **MOE, num_local_experts=4, sliding_window=None), SHARES),
    "cohere": (tiny._usual("cohere", **PAIRS), SHARES),
    "granite": (tiny._usual("granite", **PAIRS), SHARES),
    "lfm2": (tiny._usual("lfm2", **PAIRS, layer_types=["conv", "full_attention", "conv"], block_ff_dim=48), APART),
    "minimax": (tiny._usual("minimax", **MOE, head_dim=8, num_local_experts=2,
                            layer_types=["linear_attention", "full_attention", "linear_attention"]), APART),
    "gemma4": (tiny._usual("gemma4_text", **PAIRS, head_dim=8, sliding_window=16), APART),
    "doge": (tiny._usual("doge", **PAIRS, keep_window_size=64), SHARES),
    "phi3 of two scales": (tiny._usual("phi3", **PAIRS, sliding_window=None,
                                       original_max_position_embeddings=64, rope_parameters=LONG), SHARES),
}  # fmt: skip


@pytest.fixture(scope="module", params=list(ODD))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, str]:
    """An engine, the bare model of the same weights, and what the engine is to say of sharing."""
    make, says = ODD[request.param]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny.FAMILIES, request.param, make)
        folder = tiny.build(request.param, tmp_path_factory.mktemp("odd"), spread=0.1)
    engine = backends.load(str(folder))
    return engine, AutoModelForCausalLM.from_pretrained(folder).eval(), says


def texts(engine: Any) -> list[Tokens]:
    """Beginnings of each other, the same twice, single tokens, and one that fills the context."""
    draw = np.random.default_rng(0)
    stem, more, end = (draw.integers(20, 380, n).tolist() for n in (40, 50, tiny.CONTEXT))
    made = (stem, stem[:20], stem[:1], stem + more, stem + more[:30], stem + more[:30], end[:1], more, more[:9] + end)
    every = [one[:192] for one in (*made, stem + end, (stem + more)[:64])]
    return [Tokens(str(i), tuple(one), len(one)) for i, one in enumerate(every) if len(one) <= engine.info.context]


@torch.inference_mode()
def alone(bare: Any, row: Tokens) -> np.ndarray:
    """Return what leaves every block at a text's last token."""
    seen: list[np.ndarray] = []

    def note(_: Any, given: Any, out: Any) -> None:
        seen.append((out[0] if isinstance(out, tuple) else out)[0, -1].numpy())

    handles = [block.register_forward_hook(note) for block in blocks_of(bare, "bare")]
    bare(torch.tensor([row.ids]), use_cache=False)
    for handle in handles:
        handle.remove()
    return np.stack(seen)


def test_activations_and_log_probabilities_are_those_of_each_text_alone(pair, monkeypatch) -> None:
    engine, bare, says = pair
    monkeypatch.setattr(_engine, "_CPU_TREE_TOKENS", 64)
    rows = texts(engine)
    assert engine.unshared_options.startswith(says) and bool(engine.unshared_options) == bool(says)
    found = engine.read(rows, [Site(layer) for layer in range(N)], ("last_prompt",))[0]
    wanted = np.stack([alone(bare, row) for row in rows])
    assert (np.linalg.norm(found - wanted, axis=-1) <= 1e-5 * np.linalg.norm(wanted, axis=-1)).all()
    options = ((30, 31, 32), (30, 31), (33,), (30, 31, 32, 34, 35))
    kept = [row for row in rows if len(row.ids) + 5 <= engine.info.context]
    asked = [Answers(row, one, ("x",) * len(one), (0.0,) * len(one)) for row in kept for one in (options, options[:1])]
    assert gap(engine.choose(asked), whole(bare, asked)) <= 1e-4


@torch.inference_mode()
def test_texts_written_together_are_those_written_alone(pair) -> None:
    engine, bare, _ = pair
    rows = [row for row in texts(engine) if len(row.ids) < engine.info.context]
    for row, found in zip(rows, engine.generate(rows, max_new_tokens=5), strict=True):
        ids = list(row.ids)
        for _ in range(min(5, engine.info.context - len(row.ids))):
            best = int(bare(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
            if best in engine._stops:
                break
            ids.append(best)
        assert found.ids == tuple(ids[len(row.ids) :])


def test_a_model_that_reads_long_texts_otherwise_is_used_up_to_where_that_begins(pair) -> None:
    engine, _, _ = pair
    assert engine.info.context == (64 if engine.info.family in ("phi3", "doge") else tiny.CONTEXT)


def test_a_model_of_several_streams_is_refused_in_words(tmp_path, monkeypatch) -> None:
    few = {"head_dim": 8, "vocab_size_per_layer_input": 413, "hidden_size_per_layer_input": 8, "laurel_rank": 4}
    kinds = ["sliding_attention", "full_attention", "full_attention"]
    given = {**PAIRS, **few, "num_kv_shared_layers": 1, "activation_sparsity_pattern": [0.0] * 3, "layer_types": kinds}
    monkeypatch.setitem(tiny.FAMILIES, "gemma3n", tiny._usual("gemma3n_text", **given, sliding_window=16))
    with pytest.raises(ModelError, match="activations of 4 dimensions"):
        backends.load(str(tiny.build("gemma3n", tmp_path)))
