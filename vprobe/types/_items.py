"""What a benchmark is made of: items with loadings, wordings, reliability."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vprobe import values as words
from vprobe.errors import InputError


@dataclass(frozen=True)
class Loading:
    """How an item goes with a value in human data: signed correlation over raters.

    Args:
        value: Canonical value name.
        r: Correlation, from -1 to 1; NaN is not known. For keyed items without human data, +1, 0 or -1.
        p: Two-sided p of `r`; NaN is not known.
    """

    value: str
    r: float
    p: float = math.nan

    def __post_init__(self) -> None:
        words.find(self.value, where="loading")
        if not math.isnan(self.r) and not -1.0 <= self.r <= 1.0:
            raise InputError(f"loading {self.r}", where=self.value, expected="a number from -1 to 1 or NaN")


@dataclass(frozen=True)
class Option:
    """One answer a model may choose: its exact words and the number they stand for."""

    label: str
    rating: float


@dataclass(frozen=True)
class Item:
    """One query with one response, and what is known of the values the response expresses.

    Args:
        id: Unique in its benchmark.
        group: The query; folds never divide a group.
        block: The rater group a confirmatory split holds out; empty when there is none.
        source: Where the query came from, such as "Reddit"; counts are given by source.
        form: Which wording of a template fits, such as "scenario" or "message".
        title: Title of the query, may be empty.
        text: The query.
        response: The response to it; empty when it is whatever the model itself answers.
        loadings: One per value that is known.
        n_raters: People who rated the item; 0 when nobody did.
        keying: +1, or -1 for an item whose agreement speaks against its value.
        scale: Lowest and highest rating.
        licence: Licence of the text.

    Raises:
        InputError: Empty text, a value named twice, keying other than +1 or -1.
    """

    id: str
    group: str
    source: str
    form: str
    text: str
    response: str
    title: str = ""
    block: str = ""
    loadings: tuple[Loading, ...] = ()
    n_raters: int = 0
    keying: int = 1
    scale: tuple[float, float] = (1.0, 6.0)
    licence: str = ""

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise InputError("empty query", where=f"item {self.id}", expected="some text")
        if self.keying not in (1, -1):
            raise InputError(f"keying {self.keying}", where=f"item {self.id}", expected="+1 or -1")
        seen = [loading.value for loading in self.loadings]
        if len(set(seen)) != len(seen):
            raise InputError("a value has two loadings", where=f"item {self.id}")

    def loading(self, value: str) -> float:
        """Return the signed loading of a value, NaN when it is not known."""
        return next((one.r for one in self.loadings if one.value == value), math.nan)


@dataclass(frozen=True)
class Template:
    """One wording of the question put to a model about an item, for one form of item.

    A form may be that of one item alone, where items differ in their options.

    Args:
        name: Version name, such as "v1_reversed"; templates of one name differ only by form.
        form: The item form it is for.
        text: User message with `{title}`, `{text}` and `{content}` (the response) to be replaced.
        options: Answers in the order shown; empty where the answer is free text.
    """

    name: str
    form: str
    text: str
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Reliability:
    """How repeatable the human labels of one value are, and the highest correlation anything can have with them.

    Args:
        value: Canonical value name.
        estimate: Share of label variance that is not rater noise; NaN is not known.
        ceiling: sqrt(estimate), the highest expected correlation; NaN when the estimate is not known or not positive.
        within: True when it concerns differences between responses to one query.
    """

    value: str
    estimate: float
    ceiling: float
    within: bool


@dataclass(frozen=True)
class Benchmark:
    """An instrument as loaded: its items, its wordings, and where they came from.

    Args:
        name: Plug-in name.
        items: In file order; responses to one query stand together.
        templates: Every wording for every form.
        values: Values its loadings speak of, in a fixed order.
        reliability: Per value; empty when nobody measured it.
        licence: Licence of the data.
        citation: How to cite the data.
        sha256: Hash over the files it was read from.
        labels: One sentence on where the loadings come from.
    """

    name: str
    items: tuple[Item, ...]
    templates: tuple[Template, ...]
    values: tuple[str, ...]
    reliability: tuple[Reliability, ...]
    licence: str
    citation: str
    sha256: str
    labels: str

    @property
    def versions(self) -> tuple[str, ...]:
        """Names of the templates, each once, in order."""
        return tuple(dict.fromkeys(t.name for t in self.templates))

    def pick(self, item_ids: tuple[str, ...]) -> tuple[Item, ...]:
        """Return items by id, in the order asked for.

        Raises:
            InputError: An id is not in the benchmark.
        """
        known = {item.id: item for item in self.items}
        lost = [i for i in item_ids if i not in known]
        if lost:
            raise InputError(f"{len(lost)} unknown items, first {lost[0]!r}", where=f"benchmark {self.name}")
        return tuple(known[i] for i in item_ids)

    def groups(self, item_ids: tuple[str, ...]) -> tuple[str, ...]:
        """Return the query of each item."""
        return tuple(item.group for item in self.pick(item_ids))

    def loadings(self, item_ids: tuple[str, ...], values: tuple[str, ...]) -> Float[np.ndarray, "sample value"]:
        """Return the signed loadings as a table; NaN is not known."""
        rows = [[item.loading(value) for value in values] for item in self.pick(item_ids)]
        return np.asarray(rows, dtype=np.float64).reshape(len(item_ids), len(values))
