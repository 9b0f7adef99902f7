"""Audits from stored changes: figures and verdicts, item by item, without a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vprobe import effects, store
from vprobe.effects import Audit
from vprobe.pipeline._prompted import ARM, moves_of
from vprobe.types import AuditRow, ChangeRow

STEERED, AGREES, TOLD, PURGED, SHARED = "steered", "acquiescence", "told", "purged", "shared"
AUDITED = (STEERED, ARM, TOLD, AGREES)
"""Arms whose effect is audited; the last shows that a wish to say yes is caught."""
COSINE, ALONG, ALIKE = (
    "cosine with what instructions share",
    "share of the instructions' vectors in it",
    "mean cosine of instructions",
)
REVERSED = "_reversed"
ONE_ORDER = "asked in one order only; give --versions v1,v1_reversed"


def audit_rows(changes: Sequence[ChangeRow], carried: Sequence[AuditRow], *, seed: int) -> list[AuditRow]:
    """Return the figures and verdicts of all audits from changes item by item; no model is asked.

    Args:
        changes: Rows of `audit_items`.
        carried: Figures only the model can give: cosines and shares.
        seed: Seed of the bootstrap.
    """
    out: list[AuditRow] = []
    for value in dict.fromkeys(row.value for row in changes):
        mine = [row for row in changes if row.value == value]
        for arm in AUDITED:
            case = _Case(value, arm, mine)
            if case.rows:
                out += [*case.options(seed), *case.reversed_items(seed)]
        told = _Case(value, TOLD, mine)
        out += told.compliance([row for row in carried if row.value == value], seed)
    return out


class _Case:
    """One arm of one value, with what its changes are summed up over.

    Args:
        value: The value.
        arm: The arm.
        rows: All changes of the value.
    """

    def __init__(self, value: str, arm: str, rows: Sequence[ChangeRow]) -> None:
        self.value, self.arm, self._all = value, arm, rows
        self.rows = [row for row in rows if row.arm == arm]
        known = {row.item_id: (row.group, row.label) for row in rows}
        self.items = tuple(known)
        self.groups = tuple(group for group, _ in known.values())
        self.labels = np.array([label for _, label in known.values()])
        self.versions = tuple(dict.fromkeys(row.version for row in rows))

    def _mean(self, arm: str, versions: Sequence[str]) -> np.ndarray:
        return moves_of([row for row in self._all if row.arm == arm], self.items, versions).mean(axis=0)

    def _laid(self, audit: str, found: Audit) -> list[AuditRow]:
        figures = found.figures or (effects.Figure("none", math.nan, math.nan, math.nan, ""),)
        return [
            AuditRow(self.value, self.arm, audit, one.measure, one.estimate, one.low, one.high, one.unit,
                     found.verdict, found.n_items, found.n_unscored, found.note)
            for one in figures
        ]  # fmt: skip

    def options(self, seed: int) -> list[AuditRow]:
        """Audit whether the effect follows the meaning of options or their place."""
        pairs = [name for name in self.versions if name + REVERSED in self.versions]
        if not pairs:
            return self._laid("options", Audit((), "not asked", 0, len(self.items), ONE_ORDER))
        listed = self._mean(self.arm, pairs)
        reverse = self._mean(self.arm, [name + REVERSED for name in pairs])
        return self._laid("options", effects.options(listed, reverse, self.labels, self.groups, seed=seed))

    def reversed_items(self, seed: int) -> list[AuditRow]:
        """Audit whether the effect changes its sign on items that speak against the value."""
        moved = self._mean(self.arm, self.versions)
        return self._laid("reversed items", effects.reversed_items(moved, self.labels, self.groups, seed=seed))

    def compliance(self, carried: Sequence[AuditRow], seed: int) -> list[AuditRow]:
        """Audit how much of the effect of being asked is left without what all instructions share."""
        if not self.rows:
            note = carried[0].note if carried else ""
            return self._laid("compliance", Audit((), "not asked", 0, len(self.items), note))
        whole, purged, shared = (self._mean(arm, self.versions) for arm in (TOLD, PURGED, SHARED))
        found = self._laid("compliance", effects.compliance(whole, purged, shared, self.labels, self.groups, seed=seed))
        one = found[0]
        kept = [replace(row, verdict=one.verdict, n_items=one.n_items, n_unscored=one.n_unscored) for row in carried]
        return [*found, *kept]


def renew(folder: Path, seed: int) -> None:
    """Make the audits again from the stored changes; cosines need the model and are kept.

    Args:
        folder: A run with audits.
        seed: Seed of the bootstrap.
    """
    changes = store.load_rows(folder, "audit_items", ChangeRow)
    old = store.load_rows(folder, "audits", AuditRow)
    carried = [row for row in old if row.measure in (COSINE, ALONG, ALIKE)]
    store.save_rows(folder, "audits", audit_rows(changes, carried, seed=seed), AuditRow)
