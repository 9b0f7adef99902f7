"""Which prompts, sites and positions are read inside a model, in which batches, and how a stopped reading goes on."""

from __future__ import annotations

from vprobe.activations._foresee import Foreseen, foresee
from vprobe.activations._record import Progress, batches, plan, read_all, record
from vprobe.activations._select import POLICIES, Fitting, expand_sites, fits, length

__all__ = [
    "POLICIES",
    "Fitting",
    "Foreseen",
    "Progress",
    "batches",
    "expand_sites",
    "fits",
    "foresee",
    "length",
    "plan",
    "read_all",
    "record",
]
