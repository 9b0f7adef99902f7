"""One vector of one layer, saved with torch, as contrastive activation addition (CAA) keeps it.

Layer convention: the layer stands in the file's name only, `vec_layer_13_MODEL.pt`, and is the block, counted from 0,
whose output the vector is added to.
"""

from __future__ import annotations

import re
from pathlib import Path

from vprobe import backends
from vprobe.errors import InputError
from vprobe.exports._card import Asked, Written
from vprobe.exports._files import restored, scaled
from vprobe.types import Direction, Site

SUFFIX = ".pt"
PICKLE = True
_NAME = re.compile(r"vec_layer_(\d+)(?!\d)")


def holds(path: Path) -> bool:
    """Return whether a file of torch is one bare vector."""
    found = backends.read_tensors(path)
    return not found.layers and found.arrays[0].squeeze().ndim == 1


def write(path: Path, directions: tuple[Direction, ...], how: Written) -> None:
    """Write one vector at strength x unit; name the file `vec_layer_N_MODEL.pt` for tools that look there.

    Args:
        path: The file.
        directions: One.
        how: See `exports.write`.

    Raises:
        InputError: More than one direction.
    """
    if len(directions) != 1:
        raise InputError(f"{len(directions)} directions", where=str(path), expected="one: a file is one vector")
    vector, fact = scaled(directions[0], how.strength)
    backends.write_tensors(path, [vector], facts=[fact])


def read(path: Path, asked: Asked) -> tuple[Direction, ...]:
    """Read the vector; where it acts is what its facts, the caller or the file's name say.

    Args:
        path: The file.
        asked: Where it acts, if the file does not say.

    Raises:
        InputError: Not such a file, or one that does not say where it acts.
    """
    found = backends.read_tensors(path)
    if found.layers or found.arrays[0].squeeze().ndim != 1:
        raise InputError("no bare vector", where=str(path), expected="a tensor of one axis")
    named = _NAME.search(path.name)
    known = [Site.parse(name) for name, _ in found.facts] + ([asked.site] if asked.site else [])
    known += [Site(int(named[1]))] if named else []
    if not known:
        raise InputError(
            "the file does not say where its vector acts", where=str(path), expected="a name such as vec_layer_13.pt",
            do="give --site, such as resid_post.13",
        )  # fmt: skip
    return (restored(found.arrays[0].squeeze(), known[0], found.facts, path),)
