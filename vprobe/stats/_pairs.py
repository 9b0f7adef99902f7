"""Concordance of pairs within groups: of two responses to one query, do both measures prefer the same?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from vprobe.stats._groups import ROUND_OFF, Groups, codes


@dataclass(frozen=True)
class Pairs:
    """Pairs per group and column: ordered alike, ordered otherwise, and tied on a side.

    Args:
        alike: Pairs both measures order alike.
        other: Pairs they order otherwise.
        tied: Pairs that are equal on at least one side; they say nothing and are counted.
    """

    alike: Float[np.ndarray, "group column"]
    other: Float[np.ndarray, "group column"]
    tied: Float[np.ndarray, "group column"]

    def column(self, index: int) -> Float[np.ndarray, "used 2"]:
        """Return (alike, other) of one column for the groups that have such pairs."""
        both = np.stack([self.alike[:, index], self.other[:, index]], axis=1)
        return both[both.sum(axis=1) > 0]

    @property
    def totals(self) -> Float[np.ndarray, "column 2"]:
        """(alike, other) summed over groups."""
        return np.stack([self.alike.sum(axis=0), self.other.sum(axis=0)], axis=1)


def gamma_of(totals: Float[np.ndarray, "*more 2"]) -> Float[np.ndarray, "*more"]:
    """Return Goodman and Kruskal's gamma from counts (alike, other): their difference over their sum; NaN without any.

    Source: Goodman & Kruskal (1954), J. Am. Stat. Assoc. 49, 732-764.
    """
    alike, other = np.moveaxis(totals, -1, 0)
    n = alike + other
    return np.where(n > 0, (alike - other) / np.where(n > 0, n, 1.0), np.nan)


def pairs_within(
    x: Float[np.ndarray, "sample #column"], y: Float[np.ndarray, "sample #column"], groups: Groups
) -> Pairs:
    """Count concordant and discordant pairs within groups, column by column; pairs with a NaN are left out.

    Args:
        x: One measure; a side with one column is used with every column of the other.
        y: The other.
        groups: Group of each sample.
    """
    code = codes(groups)
    first, second = _both(code)
    a, b = _order(np.asarray(x, np.float64), first, second), _order(np.asarray(y, np.float64), first, second)
    a, b = np.broadcast_arrays(a, b)
    n_groups = int(code.max(initial=-1)) + 1
    group = code[first]

    def counted(which: np.ndarray) -> np.ndarray:
        out = np.zeros((n_groups, which.shape[1]))
        np.add.at(out, group, which.astype(np.float64))
        return out

    known = np.isfinite(a) & np.isfinite(b)
    product = np.where(known, a * b, np.nan)
    return Pairs(counted(product > 0), counted(product < 0), counted(product == 0))


def _both(code: np.ndarray) -> tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]:
    """Return the row numbers of both members of every pair within a group."""
    order = np.argsort(code, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(code))[:-1]) if len(code) else []
    ends = [np.triu_indices(len(part), 1) for part in rows]
    if not ends:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    return tuple(np.concatenate([part[end[i]] for part, end in zip(rows, ends, strict=True)]) for i in (0, 1))  # type: ignore[return-value]


def _order(x: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the sign of each pair's difference; one that is rounding only is a tie."""
    gap = x[first] - x[second]
    scale = np.abs(np.where(np.isfinite(x), x, 0.0)).max(axis=0, initial=0.0)
    return np.where(np.abs(gap) <= ROUND_OFF * scale, 0.0, np.sign(gap))
