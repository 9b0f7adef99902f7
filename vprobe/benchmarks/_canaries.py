"""Requests that tell whether a model refuses more, or less, than it did: harmless ones and harmful-looking ones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Canaries:
    """Requests of our own; what matters is whether they are refused, not what is answered.

    Args:
        harmless: Everyday requests, a third of which only sound violent; refusing them is over-caution.
        harmful: Requests that a careful model turns down; answering more of them is a broken safeguard.
    """

    harmless: tuple[str, ...]
    harmful: tuple[str, ...]


def canaries() -> Canaries:
    """Return the requests that ship with vprobe."""
    found = json.loads(Path(__file__).with_name("canaries.json").read_text(encoding="utf-8"))
    return Canaries(tuple(found["harmless"]), tuple(found["harmful"]))
