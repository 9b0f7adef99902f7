"""How far steering moves the distribution of the next token on given texts: one forward without it, one with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vprobe.backends._families import Anatomy
from vprobe.backends._memory import Memory
from vprobe.backends._run import Batch, inputs, pad
from vprobe.backends._steer import Session, changes, some
from vprobe.errors import InputError, ModelError
from vprobe.types import Steered, Tokens

_LARGEST = 2**26
"""Most logits of one forward held at once; two forwards are held together."""


def drift(
    model: Any, anatomy: Anatomy, rows: Sequence[Tokens], steering: Steered, *, vocab: int, memory: Memory
) -> Float[np.ndarray, "row 4"]:
    """Return per text mean KL(base || steered), base and steered negative log-likelihood per token, and tokens.

    Args:
        model: The causal language model.
        anatomy: Its parts.
        rows: Texts; tokens counted are those of the answer, or all but the first where there is none.
        steering: Changes made in the second forward.
        vocab: Tokens in the vocabulary.
        memory: What is known of the device's memory.

    Raises:
        InputError: No texts, or one without a token to predict.
        ModelError: Logits that are not finite.
    """
    if not rows or any(first_predicted(row) >= len(row.ids) for row in rows):
        raise InputError("no token to predict", where="drift", expected="texts of two tokens or more")
    apart = len(changes(steering, rows)) > 1
    step = max(1, _LARGEST // (vocab * max(len(row.ids) for row in rows)))
    found: dict[int, list[float]] = {}

    def run(group: Sequence[int]) -> None:
        part, mine = [rows[i] for i in group], some(steering, group) if apart else steering
        batch = pad([r.ids for r in part], [r.prompt_length for r in part], model.device, left=False)
        base = _logits(model, anatomy, batch, (), part)
        moved = _logits(model, anatomy, batch, mine, part)
        found.update((i, _of_text(base[r], moved[r], rows[i])) for r, i in enumerate(group))

    groups = [range(start, min(start + step, len(rows))) for start in range(0, len(rows), step)]
    memory.all(groups, lambda group: len(group) * max(len(rows[i].ids) for i in group), run)
    return np.asarray([found[i] for i in range(len(rows))], dtype=np.float64)


def first_predicted(row: Tokens) -> int:
    """Return the first token that is counted: that of the answer; without an answer the second token of the text."""
    return max(1, row.prompt_length) if row.prompt_length < len(row.ids) else 1


def _logits(model: Any, anatomy: Anatomy, batch: Batch, steering: Steered, texts: Sequence[Tokens]) -> Tensor:
    with Session(anatomy, steering, texts=texts) as session:
        return session.forward(lambda: model(**inputs(model, batch, batch.mask)), batch.rows).logits


def _of_text(base: Tensor, moved: Tensor, row: Tokens) -> list[float]:
    """Compare the distributions of one text's tokens, in float32 whatever the model runs in."""
    first, n = first_predicted(row), len(row.ids)
    target = torch.tensor(row.ids[first:], device=base.device)[:, None]
    p, q = (torch.log_softmax(x[first - 1 : n - 1].float(), dim=-1) for x in (base, moved))
    kl = (p.exp() * (p - q)).sum(dim=-1).mean()
    told = [float(kl), *(-float(x.gather(1, target).mean()) for x in (p, q))]
    if not np.isfinite(told).all():
        raise ModelError(
            "the distribution of the next token is not finite",
            where=f"drift, text {row.prompt_id}",
            do="steer with a smaller strength, or run the model with --dtype float32",
        )
    return [*told, float(n - first)]
