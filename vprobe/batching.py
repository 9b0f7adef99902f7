"""Batches of similar length within a token budget; knows no model."""

from __future__ import annotations

from collections.abc import Sequence

from vprobe.errors import InputError

MAX_ROWS = 256


def plan(lengths: Sequence[int], budget: int, *, max_rows: int = MAX_ROWS) -> tuple[tuple[int, ...], ...]:
    """Divide samples into batches whose padded size stays within a budget, longest batches first.

    The plan depends on the lengths and the budget only, so a resumed run makes the same batches and the same bytes.

    Args:
        lengths: Tokens per sample.
        budget: Most tokens in a batch, padding counted; a single longer sample makes a batch of its own.
        max_rows: Most samples in a batch.

    Returns:
        Sample indices per batch; every sample in exactly one.

    Raises:
        InputError: A budget or row limit below 1.
    """
    if budget < 1 or max_rows < 1:
        raise InputError(f"batch budget {budget}, {max_rows} rows", where="batching", expected="at least 1")
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batches: list[tuple[int, ...]] = []
    current: list[int] = []
    for i in order:
        widest = lengths[current[0]] if current else lengths[i]
        if current and (widest * (len(current) + 1) > budget or len(current) >= max_rows):
            batches.append(tuple(current))
            current = []
        current.append(i)
    if current:
        batches.append(tuple(current))
    return tuple(batches)
