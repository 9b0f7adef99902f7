"""What the contrast sets share: pairs of replies to one situation, of which one speaks more for a value."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vprobe import values as words
from vprobe.benchmarks._pinned import DataSet
from vprobe.benchmarks._wordings import FORM, message_templates
from vprobe.types import Benchmark, Item, Loading, Reliability


@dataclass(frozen=True)
class Pair:
    """One situation with the reply that speaks more for a value and the one that does not.

    Args:
        id: Unique in its set.
        group: What folds never divide.
        block: What a stricter split holds out.
        value: The value it is about.
        situation: What the replies are given to.
        more: The reply that speaks more for the value.
        less: The other.
    """

    id: str
    group: str
    block: str
    value: str
    situation: str
    more: str
    less: str


def benchmark(
    data: DataSet, pairs: Sequence[Pair], limit: int | None, *, values: tuple[str, ...] = words.SCHWARTZ
) -> Benchmark:
    """Make a benchmark of pairs: loading +1 for the reply that speaks more, 0 for the other, no other value known.

    Args:
        data: Where the pairs are from.
        pairs: In file order; those of one group stand together.
        limit: Keep only this many groups, whole; None keeps all.
        values: Values the pairs are about.
    """
    first = _more_comes_first(pairs)
    kept = _taking_turns(pairs)[:limit]
    return Benchmark(
        name=data.name,
        items=tuple(
            Item(
                id=f"{pair.id}-{number}",
                group=pair.group,
                block=pair.block,
                source=pair.value,
                form=FORM,
                text=pair.situation,
                response=pair.more if more else pair.less,
                loadings=(Loading(pair.value, float(more)),),
                licence=data.licence,
            )
            for group in kept
            for pair in group
            for number, more in enumerate((True, False) if pair.id in first else (False, True), start=1)
        ),
        templates=message_templates(),
        values=values,
        reliability=tuple(
            Reliability(value, math.nan, math.nan, within) for within in (True, False) for value in values
        ),
        licence=data.licence,
        citation=data.citation,
        sha256=data.sha256,
        labels="keyed by the authors, no human ratings",
    )


def _taking_turns(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Order the groups so that every value has its first one, then its second one: a small limit is balanced too."""
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.group, []).append(pair)
    seen: Counter[str] = Counter()
    turn: dict[str, int] = {}
    for name, group in groups.items():
        turn[name] = seen[group[0].value]
        seen[group[0].value] += 1
    return [groups[name] for name in sorted(groups, key=turn.__getitem__)]


def _more_comes_first(pairs: Sequence[Pair]) -> frozenset[str]:
    """Pick half of the pairs of each value, by hash: in those the reply that speaks more has the lower number.

    A rule a reader could guess from an id, such as every other pair, would give the answers away.
    """
    out: list[str] = []
    for value in dict.fromkeys(p.value for p in pairs):
        ids = sorted((p.id for p in pairs if p.value == value), key=lambda i: hashlib.sha256(i.encode()).hexdigest())
        out += ids[: len(ids) // 2]
    return frozenset(out)
