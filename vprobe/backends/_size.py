"""How large a model is where it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vprobe.types import ModelSize


def size_of(model: Any, blocks: Sequence[Any], forward_tokens: int) -> ModelSize:
    """Return how large a model is where it runs.

    Args:
        model: The model.
        blocks: Its blocks.
        forward_tokens: Most tokens of one forward where texts share what they begin with.
    """
    text = model.config.get_text_config(decoder=True)
    kept = [_kept(layer) for layer in layers_of(text)]
    each = sum(_passed(block, text) for block in blocks) / len(blocks)
    item, heads = model.dtype.itemsize, max(int(getattr(layer, "num_attention_heads", 1)) for layer in layers_of(text))
    eager, capped = (
        getattr(text, "_attn_implementation", "") == "eager",
        bool(getattr(text, "attn_logit_softcapping", 0)),
    )
    return ModelSize(
        block_parameters=each,
        weight_bytes=sum(weight.numel() * weight.element_size() for weight in model.parameters()),
        cache_bytes=2 * sum(kept) * item // len(kept),
        token_bytes=int(each / text.hidden_size + 8 * text.hidden_size) * item,
        forward_tokens=forward_tokens,
        heads=heads,
        # scores, weights and a softmax in float32, two more where scores are capped; or a mask alone
        pair_bytes=heads * ((4 if capped else 2) * item + 4) if eager else 1 + item,
    )


def _passed(block: Any, text: Any) -> float:
    """Return the parameters of a block that one token passes through; it is sent to a few of all experts."""
    names = ("num_local_experts", "num_experts", "n_routed_experts")
    every = next((n for name in names if isinstance(n := getattr(text, name, None), int) and n), 1)
    few = int(getattr(text, "num_experts_per_tok", None) or every)
    return sum(w.numel() * (few / every if ".experts." in name else 1.0) for name, w in block.named_parameters())


def layers_of(text: Any) -> list[Any]:
    """Return the configuration of every block; of the whole model alone where its blocks are all of one shape.

    Args:
        text: Configuration of a language model.
    """
    uneven = getattr(text, "is_heterogeneous", False)
    return list(text.per_layer_config) if uneven else [text]


def _kept(layer: Any) -> int:
    """Return how many numbers of keys, or of values, a block keeps per token."""
    heads = int(getattr(layer, "num_attention_heads", 1))
    width = int(getattr(layer, "head_dim", None) or layer.hidden_size // heads)
    return width * int(getattr(layer, "num_key_value_heads", None) or heads)


def one_reading(text: Any) -> int:
    """Return up to which length a model reads every text alike; 0 when it always does.

    Models with "longrope" (Phi-3, Phi-4) read all tokens of a batch otherwise as soon as one text in it is longer;
    others (DeepSeek-V3.2, Doge) look at no more than some number of tokens, padding among those to choose from.

    Args:
        text: Configuration of a language model.
    """
    given = getattr(text, "rope_parameters", None) or {}
    parts = [given, *(part for part in given.values() if isinstance(part, dict))]
    ends = [part["original_max_position_embeddings"] for part in parts if part.get("rope_type") == "longrope"]
    ends += [n for name in ("index_topk", "keep_window_size") if isinstance(n := getattr(text, name, None), int)]
    return min(map(int, ends), default=0)
