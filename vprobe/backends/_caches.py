"""What a model's cache is good for, found out by a trial on a few tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vprobe.backends._memory import short

Agree = Callable[[Tensor, Tensor, torch.dtype], bool]


def cache_kind(model: Any, ids: Tensor, agree: Agree, *, placed: bool) -> tuple[bool, bool]:
    """Return whether decoding with a cache is right in a model, and whether its cache keeps every token.

    The trial has a padded row, for some caches forget which of their tokens are padding.

    Args:
        model: A causal language model on its device.
        ids: Five tokens, shape (1, 5).
        agree: Tells whether two results agree as well as a number format allows.
        placed: True when the model takes the positions of its tokens.
    """
    batch = torch.cat([ids, torch.cat([ids[:, :2], ids[:, :3]], dim=1)])
    mask, at = (
        torch.tensor(x, device=ids.device) for x in ([[1] * 5, [0, 0, 1, 1, 1]], [[*range(5)], [0, 0, 0, 1, 2]])
    )
    early, late = (({"position_ids": at[:, part]} if placed else {}) for part in (slice(0, 4), slice(4, 5)))
    try:
        part = model(batch[:, :4], attention_mask=mask[:, :4], use_cache=True, **early)
        cache = getattr(part, "past_key_values", None)
        if cache is None:
            return False, False
        step = model(batch[:, 4:], past_key_values=cache, attention_mask=mask, use_cache=True, **late)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        if short(error):
            raise
        return False, False
    whole = [model(one, use_cache=False).logits[0, -1].float() for one in (ids, ids[:, :3])]
    cached = all(agree(a.float(), b, model.dtype) for a, b in zip(step.logits[:, -1], whole, strict=True))
    plain = type(cache).__name__ == "DynamicCache"  # a class of its own keeps more than keys and values
    return cached, cached and plain and all(type(layer).__name__ == "DynamicLayer" for layer in cache.layers)
