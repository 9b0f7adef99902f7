"""Tensors in files of torch, read without running anything that stands in them, and written for other tools."""

from __future__ import annotations

import pickle
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from vprobe.errors import InputError

PACKAGE = "steering_vectors.steering_vector"
CLASS = "SteeringVector"


@dataclass(frozen=True)
class Pickled:
    """What a file of torch holds: one tensor, or one vector per layer as the steering-vectors package keeps them.

    Args:
        arrays: Float32; one array of any shape, or one per entry of `layers`.
        layers: Layer of each array; empty when the file is one bare tensor.
        kind: What the layers are of, in the package's words, such as "decoder_block"; empty for a bare tensor.
        facts: (name, text) pairs kept beside the tensors; only files made here have them.
    """

    arrays: tuple[np.ndarray, ...]
    layers: tuple[int, ...] = ()
    kind: str = ""
    facts: tuple[tuple[str, str], ...] = ()


def read_tensors(path: Path) -> Pickled:
    """Read tensors with `weights_only=True`: a file that asks for anything but tensors is refused.

    Args:
        path: A file of `torch.save`.

    Raises:
        InputError: Not such a file, or something else than a tensor or a steering vector in it.
    """
    stand_in = _stand_in()
    try:
        with torch.serialization.safe_globals([(stand_in, f"{PACKAGE}.{CLASS}")]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an unusual protocol: what it cannot read is refused anyway
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"not a file of tensors only: {str(error).splitlines()[0][:120]}",
            where=str(path),
            expected="what torch.save writes of a tensor or of a SteeringVector; nothing else is unpickled",
        ) from error
    if isinstance(found, torch.Tensor):
        return Pickled((_array(found, path),), facts=_facts(getattr(found, "vprobe", {})))
    parts = vars(found) if isinstance(found, stand_in) else found
    layers = parts.get("layer_activations") if isinstance(parts, Mapping) else None
    if not isinstance(layers, Mapping) or not layers or not all(type(one) is int for one in layers):
        raise InputError(
            f"a {type(found).__name__} without vectors per layer", where=str(path),
            expected="a tensor, or layer_activations by layer number",
        )  # fmt: skip
    numbers = tuple(sorted(layers))
    arrays = tuple(_array(layers[one], path) for one in numbers)
    return Pickled(arrays, numbers, str(parts.get("layer_type", "decoder_block")), _facts(parts.get("vprobe", {})))


def write_tensors(path: Path, what: Pickled) -> None:
    """Write tensors with `torch.save`: a bare tensor, or an instance of the steering-vectors package's class.

    The package need not be installed to write; facts are an attribute that other tools do not look at.

    Args:
        path: The file; replaced when it exists.
        what: What is written.
    """
    if not what.layers:
        tensor: Any = torch.from_numpy(np.array(what.arrays[0], dtype=np.float32))
        tensor.vprobe = dict(what.facts)
        torch.save(tensor, path)
        return
    made = _stand_in()()
    made.layer_activations = {
        layer: torch.from_numpy(np.array(one, dtype=np.float32))
        for layer, one in zip(what.layers, what.arrays, strict=True)
    }
    made.layer_type, made.vprobe = what.kind, dict(what.facts)
    with _importable(type(made)):
        torch.save(made, path)


def _stand_in() -> Any:
    """Return a class of the package's name that holds what its own would."""
    return type(CLASS, (), {"__module__": PACKAGE, "__qualname__": CLASS})


@contextmanager
def _importable(stand_in: type) -> Iterator[None]:
    """Let pickle find a class under the package's name, whether the package is installed or not."""
    names = (PACKAGE.partition(".")[0], PACKAGE)
    before = {name: sys.modules.get(name) for name in names}
    try:
        for name in names:
            sys.modules[name] = ModuleType(name)
        setattr(sys.modules[PACKAGE], CLASS, stand_in)
        yield
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def _array(tensor: Any, path: Path) -> np.ndarray:
    if not isinstance(tensor, torch.Tensor):
        raise InputError(f"a {type(tensor).__name__} among vectors", where=str(path), expected="tensors")
    return tensor.detach().to(torch.float32).numpy()


def _facts(found: Any) -> tuple[tuple[str, str], ...]:
    return tuple((str(key), str(text)) for key, text in found.items()) if isinstance(found, dict) else ()
