"""GGUF control vectors, as llama.cpp loads them and repeng writes and reads them.

Layer convention: `direction.N` is added to the output of block N, counted from 0, which is the site resid_post.N;
llama.cpp keeps no vector for block 0.
"""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np

from vprobe.errors import InputError
from vprobe.exports._card import KEY, Asked, Written, direction_of, foreign, text_of
from vprobe.types import Direction, Site

SUFFIX = ".gguf"
PICKLE = False
ARCH = "controlvector"


def _library() -> Any:
    try:
        return importlib.import_module("gguf")
    except ImportError as error:
        raise InputError(
            "the gguf package is not installed", where="format gguf", do="pip install 'vprobe[exports]'"
        ) from error


def write(path: Path, directions: tuple[Direction, ...], how: Written) -> None:
    """Write control vectors at strength x unit: llama.cpp's `--control-vector` then adds that coefficient.

    Args:
        path: The file.
        directions: Of resid_post, block 1 or later.
        how: See `exports.write`; the family is the model hint, and repeng reads no file without one.

    Raises:
        InputError: A site a control vector cannot act at, or the gguf package is not installed.
    """
    wrong = [str(one.site) for one in directions if one.site.point != "resid_post" or one.site.layer < 1]
    if wrong:
        raise InputError(
            f"{wrong[0]} in a control vector", where=str(path), expected="resid_post.1 or later: llama.cpp adds there"
        )
    gguf = _library()
    out = gguf.GGUFWriter(str(path), ARCH)
    out.add_string(f"{ARCH}.model_hint", how.family or "unknown")
    out.add_uint32(f"{ARCH}.layer_count", len(directions))
    for one in sorted(directions, key=lambda one: one.site.layer):
        scale = how.strength * (1.0 if math.isnan(one.unit) else one.unit)
        out.add_string(f"{KEY}.direction.{one.site.layer}", text_of(one, scale))
        out.add_tensor(f"direction.{one.site.layer}", (scale * one.vector.astype(np.float64)).astype(np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def read(path: Path, asked: Asked) -> tuple[Direction, ...]:
    """Read control vectors, ours with their facts and those of repeng or llama.cpp.

    Args:
        path: The file.
        asked: Not needed: the file says where.

    Raises:
        InputError: Not a GGUF control vector, or the gguf package is not installed.
    """
    gguf = _library()
    try:
        file = gguf.GGUFReader(str(path))
    except (ValueError, OSError, IndexError, KeyError) as error:
        raise InputError(f"not a GGUF file: {error}", where=str(path)) from error
    arch = _text(file, "general.architecture")
    if arch != ARCH:
        raise InputError(f"architecture {arch!r}", where=str(path), expected=ARCH)
    out = []
    for tensor in file.tensors:
        kind, _, number = tensor.name.partition(".")
        if kind != "direction" or not number.isdigit() or int(number) < 1 or tensor.data.ndim != 1:
            raise InputError(
                f"tensor {tensor.name} of shape {tensor.data.shape}", where=str(path), expected="direction.1, ..."
            )
        text, site = _text(file, f"{KEY}.{tensor.name}"), Site(int(number))
        vector = np.array(tensor.data, dtype=np.float32)
        out.append(direction_of(text, vector, str(path)) if text else foreign(vector, site, str(path)))
    return tuple(sorted(out, key=lambda one: one.site))


def _text(file: Any, key: str) -> str:
    field = file.get_field(key)
    return "" if field is None else str(field.contents())
