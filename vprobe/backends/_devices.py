"""What this machine can run a model on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Device:
    """One place a model can run.

    Args:
        name: As `--device` takes it.
        what: What it is, in words.
        memory_gib: Its memory, GiB; NaN when it cannot be read.
    """

    name: str
    what: str
    memory_gib: float


def devices() -> tuple[Device, ...]:
    """List the devices, the one `auto` takes first. Imports torch."""
    import torch

    found: list[Device] = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(index)
        found.append(Device(f"cuda:{index}", properties.name, properties.total_memory / 2**30))
    found.append(Device("cpu", f"{torch.get_num_threads()} torch threads", _memory()))
    return tuple(found)


def _memory() -> float:
    import os

    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError, AttributeError):
        return float("nan")
