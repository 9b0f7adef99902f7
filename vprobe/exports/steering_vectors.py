"""The `SteeringVector` of the steering-vectors package, saved with torch: one vector per layer of one kind.

Layer convention: layer N of kind decoder_block is added to the output of block N, counted from 0.
"""

from __future__ import annotations

from pathlib import Path

from vprobe import backends
from vprobe.errors import InputError
from vprobe.exports._card import Asked, Written
from vprobe.exports._files import restored, scaled
from vprobe.types import Direction, Site

SUFFIX = ".pt"
PICKLE = True
KINDS = {"decoder_block": "resid_post", "self_attn": "attn_out", "mlp": "mlp_out"}


def holds(path: Path) -> bool:
    """Return whether a file of torch has vectors by layer."""
    return bool(backends.read_tensors(path).layers)


def write(path: Path, directions: tuple[Direction, ...], how: Written) -> None:
    """Write vectors at strength x unit, so that a multiplier of 1 adds that coefficient.

    Args:
        path: The file.
        directions: All of one point the package knows.
        how: See `exports.write`.

    Raises:
        InputError: Several points, or one the package does not know.
    """
    points = {one.site.point for one in directions}
    kinds = [kind for kind, point in KINDS.items() if points == {point}]
    if not kinds:
        raise InputError(
            f"directions at {', '.join(sorted(points))}", where=str(path),
            expected="all at one of " + ", ".join(KINDS.values()),
        )  # fmt: skip
    ordered = sorted(directions, key=lambda one: one.site.layer)
    vectors, facts = zip(*(scaled(one, how.strength) for one in ordered), strict=True)
    backends.write_tensors(path, vectors, layers=[one.site.layer for one in ordered], kind=kinds[0], facts=facts)


def read(path: Path, asked: Asked) -> tuple[Direction, ...]:
    """Read vectors back, ours with their facts.

    Args:
        path: The file.
        asked: Not needed: the file says where.

    Raises:
        InputError: Not such a file, a kind of layer that is no site, a layer counted from the end, or no vector.
    """
    found = backends.read_tensors(path)
    if found.kind not in KINDS:
        raise InputError(f"layer_type {found.kind!r}", where=str(path), expected="one of " + ", ".join(KINDS))
    if min(found.layers) < 0 or any(one.squeeze().ndim != 1 for one in found.arrays):
        raise InputError(
            f"layers {list(found.layers)}", where=str(path), expected="a vector for each, layers counted from 0"
        )
    return tuple(
        restored(one.squeeze(), Site(layer, KINDS[found.kind]), found.facts, path)
        for layer, one in zip(found.layers, found.arrays, strict=True)
    )
