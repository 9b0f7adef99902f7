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
    heads = int(getattr(text, "num_attention_heads", 1))
    shared = int(getattr(text, "num_key_value_heads", None) or heads)
    width = int(getattr(text, "head_dim", None) or text.hidden_size // heads)
    each = sum(weight.numel() for block in blocks for weight in block.parameters()) / len(blocks)
    item = model.dtype.itemsize
    return ModelSize(
        block_parameters=each,
        weight_bytes=sum(weight.numel() * weight.element_size() for weight in model.parameters()),
        cache_bytes=2 * shared * width * item,
        token_bytes=int(each / text.hidden_size + 8 * text.hidden_size) * item,
        forward_tokens=forward_tokens,
        heads=heads,
    )
