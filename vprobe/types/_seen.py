"""What a direction was made from, as digests, so that it is never scored on the very data that made it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float


@dataclass(frozen=True)
class Seen:
    """Digests of the samples a direction was fitted or chosen on: by name, by query and by what was recorded of them.

    Args:
        samples: Of sample ids.
        queries: Of the samples' queries: responses to one query share its words.
        rows: Of the activations at the direction's site; these know the data again whatever it is called.
    """

    samples: frozenset[str] = frozenset()
    queries: frozenset[str] = frozenset()
    rows: frozenset[str] = frozenset()

    @classmethod
    def of(cls, samples: Iterable[str], queries: Iterable[str | int], x: Float[np.ndarray, "sample d_model"]) -> Seen:
        """Take the digests of samples.

        Args:
            samples: Their ids.
            queries: Their queries.
            x: Their activations at one site.
        """
        return cls(frozenset(map(_of_name, samples)), frozenset(map(_of_name, queries)), frozenset(_of_rows(x)))

    def __or__(self, other: Seen) -> Seen:
        """Return what either has seen."""
        return Seen(self.samples | other.samples, self.queries | other.queries, self.rows | other.rows)

    def has_samples(self, names: Iterable[str]) -> Bool[np.ndarray, " sample"]:
        """Tell which sample ids are among those seen."""
        return np.array([_of_name(name) in self.samples for name in names], dtype=bool)

    def has_queries(self, names: Iterable[str | int]) -> Bool[np.ndarray, " sample"]:
        """Tell which queries are among those seen."""
        return np.array([_of_name(name) in self.queries for name in names], dtype=bool)

    def has_rows(self, x: Float[np.ndarray, "sample d_model"]) -> Bool[np.ndarray, " sample"]:
        """Tell which activations are among those seen, to the last bit of float32."""
        if not self.rows:
            return np.zeros(len(x), dtype=bool)
        return np.array([row in self.rows for row in _of_rows(x)], dtype=bool)


def _of_name(name: str | int) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()[:16]


def _of_rows(x: np.ndarray) -> Iterable[str]:
    plain = np.ascontiguousarray(x, dtype="<f4") + np.float32(0.0)  # -0 is 0
    return (hashlib.blake2b(row.tobytes(), digest_size=8).hexdigest() for row in plain)
