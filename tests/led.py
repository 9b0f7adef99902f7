"""Read, steer and ask a model spread over the ranks of a torchrun; rank 0 writes what came of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from vprobe import backends, steering
from vprobe.types import Answers, Direction, Placement, Site, Steering, Tokens

SITES = tuple(Site(layer, point) for layer in range(3) for point in ("resid_pre", "resid_post", "attn_out"))
ROWS = [
    Tokens(str(i), tuple(int(t) for t in np.random.default_rng(i).integers(5, 300, 9 + 3 * i)), 4 + i) for i in range(3)
]
"""Texts of several lengths, in which nothing is shared."""
ASKED = [
    Answers(replaced, ((7, 8), (7, 9, 11), (12,)), ("a", "b", "c"), (0.0, 1.0, 2.0))
    for replaced in (Tokens(row.prompt_id, row.ids, len(row.ids)) for row in ROWS)
]


def change(width: int) -> list[Steering]:
    """Return a change large enough to show everywhere behind block 1."""
    vector = np.linspace(-1, 1, width).astype(np.float32)
    return [
        Steering(
            steering.load("add"), Direction(vector / np.linalg.norm(vector), Site(1), "power", "test", "write"), 3.0
        )
    ]


def found(engine: Any) -> dict[str, np.ndarray]:
    """Run every verb with and without steering."""
    out = {"norms": engine.residual_norms(ROWS, SITES)}
    for name, given in (("plain", ()), ("steered", change(engine.info.d_model))):
        out[f"{name} read"] = engine.read(ROWS, SITES, ("last_prompt",), steering=given)
        out[f"{name} chosen"] = np.array(engine.choose(ASKED, steering=given))
        texts = engine.generate(ROWS, max_new_tokens=6, steering=given)
        out[f"{name} written"] = np.array([len(one.ids) for one in texts] + [t for one in texts for t in one.ids])
    out["arms"] = np.array(engine.choose_arms(ASKED, [(), change(engine.info.d_model)]))
    out["drift"] = engine.drift(ROWS, steering=change(engine.info.d_model))
    return out


if __name__ == "__main__":
    torch.set_num_threads(1)
    loaded = backends.load(sys.argv[1], placement=Placement(tp_plan="auto"))
    mine = found(loaded) | {"model": np.array(loaded.info.fingerprint), "points": np.array(loaded.points)}
    np.savez(Path(sys.argv[2]), **mine)
