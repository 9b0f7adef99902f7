"""Frozen sentence embeddings by a text encoder: what a text says, without the model that is studied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import transformers
from jaxtyping import Float

from vprobe.backends import _loading
from vprobe.errors import ModelError


def embed(
    texts: Sequence[str], name: str, *, device: str, trust_remote_code: bool
) -> Float[np.ndarray, "text d_embedding"]:
    """Average an encoder's last hidden state over each text's tokens, and give it unit length.

    A text beyond the encoder's context is read in pieces; nothing is cut.

    Args:
        texts: One per row.
        name: Local folder or hub id of any model that `AutoModel` loads and that has a fast tokenizer.
        device: As for `load`.
        trust_remote_code: Run code that comes with the encoder.

    Raises:
        ModelError: The encoder cannot be loaded, or gives numbers that are not finite.

    Source: Reimers & Gurevych (2019), EMNLP, sec. 3 (mean pooling).
    """
    place = _loading.device_of(device)
    common: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    with _loading.quiet():
        tokenizer = _loading.attempt(
            lambda: transformers.AutoTokenizer.from_pretrained(name, **common), name, "its tokenizer"
        )
        encoder: Any = _loading.attempt(
            lambda: transformers.AutoModel.from_pretrained(name, dtype=torch.float32, use_safetensors=True, **common),
            name,
            "its weights (safetensors)",
        )
    encoder = encoder.to(place).eval()
    room = _loading.context_of(encoder.config, tokenizer)
    rows = [_one(text, encoder, tokenizer, room, place) for text in texts]
    x = np.stack(rows).astype(np.float64)
    if not np.isfinite(x).all():
        raise ModelError("embeddings that are not finite", where=name, do="choose another encoder")
    size = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(size > 0, size, 1.0)


def _one(text: str, encoder: Any, tokenizer: Any, room: int, place: torch.device) -> np.ndarray:
    pieces = tokenizer(text, truncation=True, max_length=room, stride=0, return_overflowing_tokens=True).input_ids
    total, n = 0.0, 0
    with torch.inference_mode():
        for ids in pieces:
            hidden = encoder(input_ids=torch.tensor([ids], device=place)).last_hidden_state[0]
            total, n = total + hidden.float().sum(dim=0).cpu().numpy(), n + len(ids)
    return np.asarray(total) / max(n, 1)
