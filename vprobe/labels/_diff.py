"""Published labels beside those made anew from the raw ratings, cell by cell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vprobe import benchmarks
from vprobe.labels import _noise, _raw

EXACT = 1e-9
"""Labels closer than this are the same: the last bits depend on the order of summation."""
AROUND = 0.3
"""The released tags are the labels above this."""


@dataclass(frozen=True)
class DiffRow:
    """One label, published and made anew.

    Args:
        family: "pvq", "higher_pvq" or "bfi".
        value: Canonical value name.
        item_id: The item.
        published: As shipped.
        regenerated: From the raw ratings.
        difference: Regenerated less published.
        rater_group: Number of the item's rater group, from 0.
    """

    family: str
    value: str
    item_id: str
    published: float
    regenerated: float
    difference: float
    rater_group: int

    @property
    def exact(self) -> bool:
        """True when both are the same but for rounding."""
        return abs(self.difference) <= EXACT


@dataclass(frozen=True)
class DiffSummary:
    """How the labels of one family compare in one rater group.

    Args:
        family: "pvq", "higher_pvq" or "bfi".
        rater_group: Number of the group, from 0.
        n: Labels compared.
        n_exact: Labels that are the same but for rounding.
        largest: Largest difference without sign.
        n_tags_moved: Labels that lie above .3 on one side only.
    """

    family: str
    rater_group: int
    n: int
    n_exact: int
    largest: float
    n_tags_moved: int


@dataclass(frozen=True)
class Diff:
    """All 9,880 labels compared.

    Args:
        repaired: The person who rated two groups had the second profile where it belongs.
        rows: Every label, in the order of the benchmark.
        summary: Per family and rater group.
    """

    repaired: bool
    rows: tuple[DiffRow, ...]
    summary: tuple[DiffSummary, ...]

    @property
    def different(self) -> tuple[DiffRow, ...]:
        """The labels that are not the same."""
        return tuple(row for row in self.rows if not row.exact)


def diff(folder: Path | None = None, *, repaired: bool = False) -> Diff:
    """Compare every published label with the one its raw ratings give.

    As shipped, the labels of rater group 0 differ. One of its raters, P186, also rated group 5 and answered the
    questionnaires twice, and the data hold the answers of group 5 only. The missing scores follow from the published
    labels; with them (`repaired`) every label is exact.

    Args:
        folder: The official data; the user's cache when None.
        repaired: Give that person the second profile in group 0.

    Raises:
        DataError: The data are missing or not the pinned version.
    """
    benchmark = benchmarks.load(_raw.NAME, folder=folder)
    items = {item.id: i for i, item in enumerate(benchmark.items)}
    family = {value: name for name, scales in _raw.FAMILIES for value in scales}
    cells: dict[tuple[int, int], DiffRow] = {}
    for group in _raw.groups(folder, repaired=repaired):
        rows = [items[name] for name in group.item_ids]
        found = _noise.rank(group.ratings, group.scores, np.array(rows)).labels
        for at, row in enumerate(rows):
            item = benchmark.items[row]
            for column, value in enumerate(_raw.VALUES):
                published, fresh = item.loading(value), float(found[at, column])
                cells[row, column] = DiffRow(
                    family[value], value, item.id, published, fresh, fresh - published, group.number
                )
    ordered = tuple(cells[key] for key in sorted(cells))
    return Diff(repaired, ordered, _summary(ordered))


def _summary(rows: tuple[DiffRow, ...]) -> tuple[DiffSummary, ...]:
    parts: dict[tuple[int, str], list[DiffRow]] = {}
    for row in rows:
        parts.setdefault((row.rater_group, row.family), []).append(row)
    return tuple(
        DiffSummary(
            family=family,
            rater_group=group,
            n=len(part),
            n_exact=sum(row.exact for row in part),
            largest=max((abs(row.difference) for row in part), default=math.nan),
            n_tags_moved=sum((row.published > AROUND) != (row.regenerated > AROUND) for row in part),
        )
        for (group, family), part in sorted(parts.items())
    )
