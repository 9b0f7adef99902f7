"""safetensors: one tensor per site under its address, facts in the file's metadata."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vprobe.errors import InputError
from vprobe.exports._card import KEY, Asked, Written, direction_of, foreign, text_of
from vprobe.types import Direction, Site

SUFFIX = ".safetensors"
PICKLE = False


def write(path: Path, directions: tuple[Direction, ...], how: Written) -> None:
    """Write unit vectors with their facts; the strength is kept as a fact.

    Args:
        path: The file.
        directions: One per site.
        how: See `exports.write`; here vectors keep length 1, as a reader finds unit and strength beside them.
    """
    from safetensors.numpy import save_file

    facts = {f"{KEY}.{one.site}": text_of(one, 1.0) for one in directions}
    vectors = {str(one.site): np.array(one.vector, dtype=np.float32) for one in directions}
    save_file(vectors, path, metadata={**facts, f"{KEY}.strength": repr(how.strength), f"{KEY}.family": how.family})


def read(path: Path, asked: Asked) -> tuple[Direction, ...]:
    """Read directions back; tensors without facts must be named by an address such as resid_post.10.

    Args:
        path: The file.
        asked: Not needed: the file says where.

    Raises:
        InputError: Not a safetensors file, or a tensor that is no vector at a known site.
    """
    from safetensors import SafetensorError, safe_open

    out = []
    try:
        with safe_open(path, framework="np") as file:
            facts = file.metadata() or {}
            for name in sorted(file.keys()):
                vector, text = file.get_tensor(name), facts.get(f"{KEY}.{name}")
                if vector.ndim != 1:
                    raise InputError(f"tensor {name} of shape {vector.shape}", where=str(path), expected="vectors")
                site = Site.parse(name)
                out.append(direction_of(text, vector, str(path)) if text else foreign(vector, site, str(path)))
    except (SafetensorError, OSError) as error:
        raise InputError(f"not a safetensors file: {error}", where=str(path)) from error
    return tuple(out)
