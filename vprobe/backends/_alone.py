"""Reading texts one by one: each runs whole, in batches that share nothing; steered readings too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vprobe.backends import _run
from vprobe.backends._families import Anatomy
from vprobe.backends._memory import Memory
from vprobe.backends._steer import Session, Sink, some
from vprobe.types import Site, Steered, Tokens


def read(
    anatomy: Anatomy,
    rows: Sequence[Tokens],
    sites: Sequence[Site],
    positions: Sequence[str],
    steering: Steered,
    *,
    device: torch.device,
    memory: Memory,
) -> Float[np.ndarray, "position sample site d_model"]:
    """Return pooled activations of texts, run as one batch where memory allows it.

    Args:
        anatomy: The model's parts.
        rows: The texts.
        sites: Where to read; all of one width.
        positions: What to average over.
        steering: Changes made while the model runs.
        device: Where the model is.
        memory: What is known of the device's memory.
    """
    spans = [[row.interval(position) for position in positions] for row in rows]
    found: dict[int, np.ndarray] = {}

    def run(group: Sequence[int]) -> None:
        weights = torch.zeros(len(group), len(positions), max(len(rows[i].ids) for i in group))
        for r, i in enumerate(group):
            for p, (start, end) in enumerate(spans[i]):
                weights[r, p, start:end] = 1.0 / (end - start)
        weights = weights.to(device)
        pooled: dict[Site, Tensor] = {}

        def pool(site: Site, x: Tensor) -> None:
            pooled[site] = weights @ x.float()

        _forward(anatomy, [rows[i] for i in group], sites, pool, some(steering, group), device)
        x = torch.stack([pooled[site] for site in sites], dim=2).cpu().numpy()
        found.update(zip(group, x, strict=True))

    memory.all([range(len(rows))], lambda group: _padded(rows, group), run)
    return np.stack([found[i] for i in range(len(rows))], axis=1)


def norms(
    anatomy: Anatomy, rows: Sequence[Tokens], sites: Sequence[Site], *, device: torch.device, memory: Memory
) -> Float[np.ndarray, " site"]:
    """Return the median L2 norm at each site over all tokens but the first of each text.

    Args:
        anatomy: The model's parts.
        rows: The texts; one of them has a second token.
        sites: Where.
        device: Where the model is.
        memory: What is known of the device's memory.
    """
    found: dict[Site, list[np.ndarray]] = {site: [] for site in sites}

    def run(group: Sequence[int]) -> None:
        fresh: dict[Site, np.ndarray] = {}

        def measure(site: Site, x: Tensor) -> None:
            each = x.float().norm(dim=-1)
            fresh[site] = torch.cat([each[r, 1 : len(rows[i].ids)] for r, i in enumerate(group)]).cpu().numpy()

        _forward(anatomy, [rows[i] for i in group], sites, measure, (), device)
        for site in sites:
            found[site].append(fresh[site])

    memory.all([range(len(rows))], lambda group: _padded(rows, group), run)
    return np.asarray([np.median(np.concatenate(found[site])) for site in sites], dtype=np.float32)


def _padded(rows: Sequence[Tokens], group: Sequence[int]) -> int:
    return len(group) * max(len(rows[i].ids) for i in group)


def _forward(
    anatomy: Anatomy, rows: Sequence[Tokens], sites: Sequence[Site], sink: Sink, steering: Steered, device: torch.device
) -> None:
    """Run texts once through the model without its unembedding."""
    batch = _run.pad([row.ids for row in rows], [row.prompt_length for row in rows], device, left=False)
    base = anatomy.base
    with torch.inference_mode(), Session(anatomy, steering, sites, sink, stop=True, texts=rows) as session:
        session.forward(lambda: base(**_run.inputs(base, batch, batch.mask)), batch.rows)
