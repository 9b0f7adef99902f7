"""What a model was asked, as a key by which it is known again, and what it answered, as JSON."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import sys
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np

from vprobe.types import Answers, Direction, Generation, Steering, Tokens

_ARRAY, _WROTE = "array", "wrote"
_LARGE = (Answers, Tokens, Steering, Direction)
_HELD = 100_000
"""Texts, vectors and changes whose digests are held at once."""


class Questions:
    """Makes keys of questions. Texts, vectors and changes are looked at once, however many questions hold them."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Any, bytes]] = {}

    def key(self, asked: Sequence[Any]) -> str:
        """Return a digest of all that is asked: types, names, and numbers to the last bit.

        Args:
            asked: The verb and what it is given.

        Returns:
            Hex; empty where something, such as a gate of one's own, is told apart by nothing but its place in memory.
        """
        try:
            return self._digest(asked).hex()
        except _NamelessError:
            return ""

    def _digest(self, one: Any) -> bytes:
        if not isinstance(one, _LARGE):
            return self._parts(one)
        if id(one) in self._seen:
            return self._seen[id(one)][1]
        digest = self._parts(one)
        if len(self._seen) >= _HELD:
            self._seen.clear()
        self._seen[id(one)] = (one, digest)  # held, so that nothing else comes to have its id
        return digest

    def _parts(self, one: Any) -> bytes:
        if one is None or isinstance(one, (bool, int, float, str, np.generic)):
            return _hash(type(one).__name__, repr(one).encode())
        if isinstance(one, np.ndarray):
            return _hash(f"array {one.dtype.str} {one.shape}", one.tobytes())
        if dataclasses.is_dataclass(one):
            fields = [(field.name, getattr(one, field.name)) for field in dataclasses.fields(one)]
            return _hash(type(one).__qualname__, *map(self._digest, fields))
        if isinstance(one, Mapping):
            return _hash("mapping", *sorted(map(self._digest, one.items())))
        if isinstance(one, Set):
            return _hash("set", *sorted(map(self._digest, one)))
        if isinstance(one, Sequence):
            if all(type(part) is int for part in one):
                return _hash("integers", repr(list(one)).encode())
            return _hash("sequence", *map(self._digest, one))
        return _hash("function", _name(one).encode())


class _NamelessError(Exception):
    """A question that cannot be known again."""


def _name(function: Any) -> str:
    """Return where a function of vprobe stands.

    Raises:
        _NamelessError: It is made on the way, or not vprobe's, so that another may have the same name.
    """
    name, home = getattr(function, "__qualname__", "<"), str(getattr(function, "__module__", ""))
    if "<" in name or not home.startswith("vprobe."):
        raise _NamelessError
    found: Any = sys.modules.get(home)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not function:  # a method of some object, or a function dressed in another's name
        raise _NamelessError
    return f"{home}.{name}"


def _hash(kind: str, *parts: bytes) -> bytes:
    whole = hashlib.sha256(f"{kind} {[len(part) for part in parts]}\n".encode())
    for part in parts:
        whole.update(part)
    return whole.digest()


def packed(answer: Any) -> Any:
    """Return an answer as JSON, numbers to the last bit.

    Args:
        answer: Tuples of numbers, an array, or what a model wrote.
    """
    if isinstance(answer, np.ndarray):
        data = base64.b64encode(answer.tobytes()).decode()
        return {_ARRAY: data, "type": answer.dtype.str, "shape": answer.shape}
    if isinstance(answer, Generation):
        return {_WROTE: [answer.prompt_id, answer.ids, answer.text, answer.stopped]}
    return list(map(packed, answer)) if isinstance(answer, (tuple, list)) else float(answer)


def unpacked(kept: Any) -> Any:
    """Return an answer from its JSON."""
    if isinstance(kept, list):
        return tuple(map(unpacked, kept))
    if isinstance(kept, dict) and _ARRAY in kept:
        data = np.frombuffer(base64.b64decode(kept[_ARRAY]), dtype=kept["type"])
        return data.reshape(kept["shape"]).copy()
    if isinstance(kept, dict):
        name, ids, text, stopped = kept[_WROTE]
        return Generation(name, tuple(ids), text, stopped)
    return kept
