"""The stacked tensor of persona_vectors, saved with torch: one row per entry of `hidden_states`.

Layer convention: row k belongs to hidden_states[k], the output of block k - 1, so that resid_post.N is row N + 1. Row 0
is what enters block 0. The last row lies behind the final norm, where nothing can be added: it is left out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vprobe import backends
from vprobe.errors import InputError
from vprobe.exports._card import Asked, Written
from vprobe.exports._files import restored, scaled
from vprobe.types import Direction, Site

SUFFIX = ".pt"
PICKLE = True


def holds(path: Path) -> bool:
    """Return whether a file of torch is one bare matrix."""
    found = backends.read_tensors(path)
    return not found.layers and found.arrays[0].ndim == 2 and len(found.arrays[0]) > 1


def write(path: Path, directions: tuple[Direction, ...], how: Written) -> None:
    """Write vectors at strength x unit, and rows of 0 where there is none.

    Args:
        path: The file.
        directions: At resid_post, not of the last block.
        how: See `exports.write`; the number of blocks must be known.

    Raises:
        InputError: Another point, the last block, or a model of unknown depth.
    """
    wrong = [one.site for one in directions if one.site.point != "resid_post" or one.site.layer > how.n_layers - 2]
    if wrong:
        raise InputError(
            f"{wrong[0]} in a model of {how.n_layers or 'an unknown number of'} blocks", where=str(path),
            expected="resid_post of any block but the last, whose row is behind the final norm",
        )  # fmt: skip
    rows = np.zeros((how.n_layers + 1, len(directions[0].vector)), dtype=np.float32)
    facts = []
    for one in directions:
        rows[one.site.layer + 1], fact = scaled(one, how.strength)
        facts.append(fact)
    backends.write_tensors(path, [rows], facts=facts)


def read(path: Path, asked: Asked) -> tuple[Direction, ...]:
    """Read the rows of all blocks but the last; rows of 0 hold no direction.

    Args:
        path: The file.
        asked: The blocks of the model, where known.

    Raises:
        InputError: Not such a file, rows that are not one per hidden state, or nothing but zeros.
    """
    found = backends.read_tensors(path)
    if found.layers or found.arrays[0].ndim != 2:
        raise InputError("no matrix of one row per hidden state", where=str(path), expected="[blocks + 1, width]")
    rows = found.arrays[0]
    if asked.n_layers and len(rows) != asked.n_layers + 1:
        raise InputError(
            f"{len(rows)} rows", where=str(path), expected=f"{asked.n_layers + 1}, for {asked.n_layers} blocks"
        )
    kept = [k for k in range(1, len(rows) - 1) if rows[k].any()]
    if not kept:
        raise InputError(f"no vector in {len(rows)} rows", where=str(path), expected="a row that is not 0")
    return tuple(restored(rows[k], Site(k - 1), found.facts, path) for k in kept)
