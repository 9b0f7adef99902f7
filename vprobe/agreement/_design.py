"""How conditions hang together: which are of one kind, and which are drawn and shuffled as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vprobe import stats
from vprobe.errors import InputError


@dataclass(frozen=True)
class Design:
    """Which conditions are of one kind, and which belong together.

    Args:
        kinds: Kind of each condition.
        clusters: Cluster of each.
    """

    kinds: tuple[str, ...]
    clusters: tuple[str, ...]

    @staticmethod
    def of(n: int, kinds: Sequence[str], clusters: Sequence[str]) -> Design:
        """Return the design of n conditions; empty kinds are one kind, empty clusters are one each."""
        for given, name in ((kinds, "kinds"), (clusters, "clusters")):
            if given and len(given) != n:
                raise InputError(f"{len(given)} {name} of {n} conditions", where="agreement over conditions")
        alone = tuple(clusters) if clusters else tuple(str(i) for i in range(n))
        return Design(tuple(kinds) if kinds else ("",) * n, alone)

    def only(self, kept: np.ndarray) -> Design:
        """Return the design of some of the conditions."""
        at = np.flatnonzero(kept)
        return Design(tuple(self.kinds[i] for i in at), tuple(self.clusters[i] for i in at))

    def centred(self, x: np.ndarray) -> np.ndarray:
        """Take each kind's mean away; nothing where all conditions are of one kind, which changes no correlation."""
        return x if len(set(self.kinds)) < 2 else stats.centre(x, self.kinds)

    def sums(self, parts: np.ndarray) -> np.ndarray:
        """Add up the parts of conditions that belong together."""
        if len(set(self.clusters)) == len(self.clusters):
            return parts
        code = stats.codes(self.clusters)
        out = np.zeros((int(code.max()) + 1, parts.shape[1]))
        np.add.at(out, code, parts)
        return out

    def counted(self, known: np.ndarray, column: int | None) -> int:
        """Return how many clusters have a condition that is used."""
        used = known.all(axis=1) if column is None else known[:, column]
        return len({self.clusters[i] for i in np.flatnonzero(used)})

    def orders(self, known: np.ndarray, draws: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield shuffles in which whole clusters change places with others of their kind, size and gaps."""
        # who lacks a number changes places with alike
        pattern = np.unique(known, axis=0, return_inverse=True)[1].reshape(-1)
        members: dict[str, list[int]] = {}
        for i, name in enumerate(self.clusters):
            members.setdefault(name, []).append(i)
        rows = list(members.values())
        alike = [(self.kinds[part[0]], *(int(pattern[i]) for i in part)) for part in rows]
        names = {key: number for number, key in enumerate(sorted(set(alike)))}
        kind = np.array([names[key] for key in alike])
        for _ in range(draws):
            moved = order_within(kind, rng)
            out = np.empty(len(self.clusters), dtype=np.int64)
            for place, source in enumerate(moved):
                out[rows[place]] = rows[source]
            yield out

    def note(self) -> str:
        """Say what a reader must know of the design."""
        n = len(set(self.clusters))
        parts = (
            f"within {len(set(self.kinds))} kinds of conditions" if len(set(self.kinds)) > 1 else "",
            f"{n} clusters of conditions" if n < len(self.clusters) else "",
        )
        return "; ".join(part for part in parts if part)


def order_within(kinds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a shuffle of rows within each kind."""
    order = np.empty(len(kinds), dtype=np.int64)
    order[np.argsort(kinds, kind="stable")] = np.lexsort((rng.random(len(kinds)), kinds))
    return order


def told(*notes: str) -> str:
    """Join the notes that say something."""
    return "; ".join(note for note in notes if note)
