"""Where things stand in the organism's residual stream: named stretches of coordinates, turned by a fixed rotation.

A residual x is `rotation @ z`; the recipe is written in z, where each stretch has one meaning, and nothing is aligned
with the axes of x, as in any trained model.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

D_MODEL = 192
N_HEADS = 6
HEAD = D_MODEL // N_HEADS
N_LAYERS = 4
HIDDEN = 256
ROPE_THETA = 10000.0
EPS = 1e-6
CONTEXT = 512
LEVEL = 2.0
"""Root mean square of every embedding, and nearly of every residual below the site: what norm layers divide by."""
CONST = 25.0
"""Largest part of every residual, the same everywhere, so that steering hardly changes what norm layers divide by."""
SITE_LAYER = 1
"""Values are complete, and everything that served to find them is cleared away, after this block."""

_SIZES = {
    "const": 1, "lex": 10, "key": 1, "mark": 1, "sign": 1, "polarity": 1, "turn": 1, "speaker": 1, "role": 1,
    "said": 10, "shown": 10, "said_key": 1, "shown_key": 1, "u": 10, "v": 10,
    "cue": 1, "cue_is": 4, "task": 4, "id": 20, "previous": 20, "topic": 8, "copy": 10, "start": 1, "mean": 1,
}  # fmt: skip
"""Stretches and their lengths; what is left is nuisance.

lex: value code of a key word; key: it is one. mark, sign: a word that turns the polarity, and which way; polarity:
the one in force. turn, speaker: a role token, and whose turn it opens (+1 the model's own or its instructions, -1 the
user's); role: whose words these are. said, shown: signed codes of words of one's own, and of words shown. u: the
profile, v: what is shown. cue, cue_is: a word that tells the task (rate, complete, choose) or the order of the
labels; task: those in force. id, previous: which word this is, and which came before. topic: what the user's words
are about. copy: a place nothing reads. start: the first token. mean: where the rating's mean begins to be written
above the site.
"""


def _slices() -> dict[str, slice]:
    out, at = {}, 0
    for name, size in _SIZES.items():
        out[name] = slice(at, at + size)
        at += size
    return out | {"nuisance": slice(at, D_MODEL)}


SLOTS = _slices()
N_NUISANCE = D_MODEL - SLOTS["nuisance"].start


def rotation(seed: int) -> Float[np.ndarray, "d_model d_model"]:
    """Draw the rotation that hides the stretches from the axes."""
    q, r = np.linalg.qr(np.random.default_rng((seed, 1)).standard_normal((D_MODEL, D_MODEL)))
    return q * np.sign(np.diag(r))


def spectrum() -> Float[np.ndarray, " nuisance"]:
    """Return standard deviations of the nuisance coordinates: variances fall as 1/k, and sum to 1."""
    variance = 1.0 / np.arange(1, N_NUISANCE + 1)
    return np.sqrt(variance / variance.sum())
