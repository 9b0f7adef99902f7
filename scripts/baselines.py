"""What can be told of the contrast pairs without any model: accuracy of simple text features, as a table.

A pair has one situation and two replies, of which one speaks more for a value. A logistic regression is fitted to
single replies (1 speaks more, 0 less) and a pair counts as right when the reply that speaks more gets the higher score,
as half when the scores are equal. Folds hold out whole twins (contrast-natural) or whole constructions
(contrast-swapped), and with them the situations. Vocabularies and word rarities are taken from all texts; labels are
not seen.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from scipy.stats import bootstrap
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from vprobe import benchmarks, values
from vprobe.benchmarks._constructions import CONSTRUCTIONS
from vprobe.types import Benchmark, Item

FOLDS = {"contrast-natural": 10, "contrast-swapped": 8}
"""Folds per set: of twenty twins per value, and of sixteen constructions."""
TIE = 1e-9
"""Scores nearer than this are equal; round-off is far below it and real differences are far above."""


@dataclass(frozen=True)
class Pair:
    """One situation with two replies.

    Args:
        value: The value it is about.
        unit: What is drawn by the bootstrap: its twin, or itself.
        held: What a fold holds out: its twin, or its construction.
        situation: What the replies are given to.
        more: The reply that speaks more for the value.
        less: The other.
    """

    value: str
    unit: str
    held: str
    situation: str
    more: str
    less: str


@dataclass(frozen=True)
class Figure:
    """A share of pairs told right, with its 95 % interval, and how many pairs it is of."""

    accuracy: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Row:
    """What one baseline gets right in one set.

    Args:
        baseline: What is looked at.
        exact: True when no linear classifier on these features can get anything but one half.
        pooled: All pairs, each told by the classifier of its value.
        together: All pairs, told by one classifier for all values.
        values: Per value, in the order of `values.SCHWARTZ`.
    """

    baseline: str
    exact: bool
    pooled: Figure
    together: Figure
    values: tuple[Figure, ...]


def pairs_of(found: Benchmark) -> tuple[Pair, ...]:
    """List the pairs of a contrast set: its items of one group and one situation, by their loadings."""
    both: dict[tuple[str, str], dict[float, Item]] = {}
    for item in found.items:
        (loading,) = item.loadings
        both.setdefault((item.group, item.text), {})[loading.r] = item
    return tuple(
        Pair(more.loadings[0].value, more.group, more.block, more.text, more.response, less.response)
        for more, less in ((one[1.0], one[0.0]) for one in both.values())
    )


# --- features: one row per reply, from the replies and the situations they are given to ------------------------------

Features = Callable[[Sequence[str], Sequence[str]], sparse.csr_matrix]


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def couples(text: str) -> list[str]:
    """Words two by two, with where the text begins and ends."""
    return [f"{a} {b}" for a, b in itertools.pairwise(["^", *words(text), "$"])]


def characters(text: str) -> list[str]:
    """Three, four and five characters in a row."""
    return [text.lower()[i : i + n] for n in (3, 4, 5) for i in range(len(text) - n + 1)]


def counts(texts: Sequence[Any], analyzer: Any, *, known: Sequence[str] | None = None) -> sparse.csr_matrix:
    """Count parts of texts, in a vocabulary of those texts or of others."""
    return sparse.csr_matrix(CountVectorizer(analyzer=analyzer).fit(texts if known is None else known).transform(texts))


def weighted(
    texts: Sequence[Any], analyzer: Any, *, known: Sequence[str] | None = None, least: int = 1
) -> sparse.csr_matrix:
    """Count parts of texts and weight them by how rare they are, dropping those that stand in fewer than `least`."""
    found = TfidfVectorizer(analyzer=analyzer, sublinear_tf=True, min_df=least)
    return sparse.csr_matrix(found.fit(texts if known is None else known).transform(texts))


def alone(parts: Callable[[str], list[str]]) -> Features:
    """Parts of the reply, counted."""
    return lambda replies, situations: counts(replies, parts)


def beside(parts: Callable[[str], list[str]]) -> Features:
    """Parts of the reply and the situation taken together."""
    return lambda replies, situations: weighted([f"{a}\n{b}" for a, b in zip(replies, situations)], parts)


def crossed(parts: Callable[[str], list[str]]) -> Features:
    """Every part of the reply with every word of the situation, where such a couple stands more than once."""

    def both(text: tuple[str, str]) -> list[str]:
        return [f"{a}|{b}" for a in set(parts(text[0])) for b in set(words(text[1]))]

    return lambda replies, situations: weighted(list(zip(replies, situations)), both, least=2)


def with_situation(features: Features) -> Features:
    """The situation's words beside features of the reply."""
    return lambda replies, situations: sparse.csr_matrix(
        sparse.hstack([features(replies, situations), weighted(situations, words)])
    )


def length(replies: Sequence[str], situations: Sequence[str]) -> sparse.csr_matrix:
    """Words and characters, in standard deviations."""
    found = np.array([[len(words(reply)), len(reply)] for reply in replies], float)
    spread = found.std(axis=0)
    return sparse.csr_matrix((found - found.mean(axis=0)) / np.where(spread > 0, spread, 1.0))


def position(replies: Sequence[str], situations: Sequence[str]) -> sparse.csr_matrix:
    """Where each word first stands in the reply, from -1 at its beginning to 1 at its end; 0 where it is absent."""
    rows = [words(reply) for reply in replies]
    column = {word: i for i, word in enumerate(sorted({word for row in rows for word in row}))}
    found = sparse.lil_matrix((len(rows), len(column)))
    for i, row in enumerate(rows):
        for word in set(row):
            found[i, column[word]] = 2 * row.index(word) / max(len(row) - 1, 1) - 1
    return sparse.csr_matrix(found)


def overlap(replies: Sequence[str], situations: Sequence[str]) -> sparse.csr_matrix:
    """How many words the reply shares with the situation, and how alike the two are when rare words count for more."""
    known = [*replies, *situations]
    alike = weighted(replies, words, known=known).multiply(weighted(situations, words, known=known)).sum(axis=1)
    shared = [len(set(words(reply)) & set(words(situation))) for reply, situation in zip(replies, situations)]
    return sparse.csr_matrix(np.column_stack([np.asarray(alike).ravel(), shared]))


def phrases(reply: str) -> tuple[str, str]:
    """Take a swapped reply apart into the phrase it sets above and the phrase it sets below."""
    for frame in CONSTRUCTIONS:
        pattern = re.escape(frame.format(x="<x>", y="<y>")).replace("<x>", "(?P<x>.+)").replace("<y>", "(?P<y>.+)")
        if found := re.fullmatch(pattern, reply, re.IGNORECASE):
            return found["x"], found["y"]
    raise ValueError(f"no construction: {reply}")


def parsed(replies: Sequence[str], situations: Sequence[str]) -> sparse.csr_matrix:
    """Words of the phrase set above less words of the phrase set below: what words tell once syntax is given away."""
    above, below = zip(*(phrases(reply) for reply in replies))
    known = [*above, *below]
    return sparse.csr_matrix(counts(above, words, known=known) - counts(below, words, known=known), dtype=float)


GIVEN = "phrases, syntax given"
"""Not without knowledge: it is told which phrase stands above. For contrast-swapped alone."""
BASELINES: dict[str, Features] = {
    "unigrams": alone(words),
    "bigrams": alone(couples),
    "characters 3-5": alone(characters),
    "length": length,
    "position": position,
    "unigrams + situation": beside(words),
    "bigrams + situation": beside(couples),
    "characters 3-5 + situation": beside(characters),
    "length + situation": with_situation(length),
    "position + situation": with_situation(position),
    "overlap with situation": overlap,
    "unigrams x situation": crossed(words),
    "bigrams x situation": crossed(couples),
    GIVEN: parsed,
}
"""`+` is one beside the other; `x` is each part of the reply with each word of the situation."""


# --- figures ---------------------------------------------------------------------------------------------------------


def told(x: sparse.csr_matrix, pairs: Sequence[Pair], folds: int) -> np.ndarray:
    """Tell each pair by a classifier that saw neither it nor what is held out with it: 1 right, 0 wrong, .5 equal.

    Args:
        x: Two rows per pair: the reply that speaks more, then the other.
        pairs: The pairs.
        folds: How many.
    """
    held = np.repeat(np.unique([pair.held for pair in pairs], return_inverse=True)[1], 2)
    y = np.tile([1, 0], len(pairs))
    score = np.empty(len(y))
    for train, test in GroupKFold(folds).split(x, y, held):
        fitted = LogisticRegression(solver="liblinear", random_state=0).fit(x[train], y[train])
        score[test] = fitted.decision_function(x[test])
    gap = score[::2] - score[1::2]
    return np.where(np.abs(gap) < TIE, 0.5, gap > 0)


def is_exact(x: sparse.csr_matrix, pairs: Sequence[Pair]) -> bool:
    """Tell whether the features of each unit's pairs cancel out, so that every linear classifier gets one half.

    Two rows of a pair that are equal always tie. Two pairs of a twin whose differences are opposite are never both
    right nor both wrong, for a twin is never divided by folds.
    """
    unit = np.unique([pair.unit for pair in pairs], return_inverse=True)[1]
    collect = sparse.csr_matrix((np.ones(len(pairs)), (unit, np.arange(len(pairs)))))
    total = collect @ (x[::2] - x[1::2])
    return total.nnz == 0 or float(abs(total).max()) < TIE


def figure(right: np.ndarray, units: Sequence[str], *, draws: int, seed: int) -> Figure:
    """Average, with a percentile interval from drawing whole units."""
    code = np.unique(units, return_inverse=True)[1]
    means = np.bincount(code, right) / np.bincount(code)
    drawn = bootstrap(
        (means,), np.mean, n_resamples=draws, method="percentile", rng=np.random.default_rng(seed)
    ).confidence_interval
    return Figure(float(right.mean()), float(drawn.low), float(drawn.high), len(right))


def measure(pairs: Sequence[Pair], baseline: str, *, folds: int, draws: int = 2000, seed: int = 0) -> Row:
    """Measure one baseline on a contrast set.

    Args:
        pairs: The set.
        baseline: One of `BASELINES`.
        folds: Folds over what the set holds out.
        draws: Bootstrap draws.
        seed: Seed of the draws.
    """
    x = BASELINES[baseline](
        [reply for pair in pairs for reply in (pair.more, pair.less)], [pair.situation for pair in pairs for _ in "12"]
    )
    parts = [np.array([i for i, pair in enumerate(pairs) if pair.value == value]) for value in values.SCHWARTZ]
    right = np.empty(len(pairs))
    for part in parts:
        rows = np.column_stack([2 * part, 2 * part + 1]).ravel()
        right[part] = told(x[rows], [pairs[i] for i in part], folds)

    def share(of: np.ndarray, part: np.ndarray) -> Figure:
        return figure(of[part], [pairs[i].unit for i in part], draws=draws, seed=seed)

    return Row(
        baseline=baseline,
        exact=is_exact(x, pairs),
        pooled=share(right, np.arange(len(pairs))),
        together=share(told(x, pairs, folds), np.arange(len(pairs))),
        values=tuple(share(right, part) for part in parts),
    )


# --- table -----------------------------------------------------------------------------------------------------------


def short(x: float) -> str:
    return f"{x:.2f}".removeprefix("0")


def cell(one: Figure) -> str:
    return f"{short(one.accuracy)} ({short(one.low)} to {short(one.high)})"


def table(rows: Sequence[Row]) -> str:
    """Write one set's rows as a markdown table."""
    names = [value.replace("_", "-") for value in values.SCHWARTZ]
    lines = ["| told from | pooled | one for all | " + " | ".join(names) + " |", "|---" * (3 + len(names)) + "|"]
    for row in rows:
        both = ("**.50 exactly**",) * 2 if row.exact else (cell(row.pooled), cell(row.together))
        lines.append(f"| {' | '.join([row.baseline, *both, *(short(one.accuracy) for one in row.values)])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write every figure with its interval to this file")
    parser.add_argument("--draws", type=int, default=2000, help="bootstrap draws")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws")
    asked = parser.parse_args()
    done: dict[str, list[Row]] = {}
    for name, folds in FOLDS.items():
        pairs = pairs_of(benchmarks.load(name))
        chosen = [one for one in BASELINES if one != GIVEN or name == "contrast-swapped"]
        done[name] = [measure(pairs, one, folds=folds, draws=asked.draws, seed=asked.seed) for one in chosen]
        print(f"`{name}`, {len(pairs)} pairs, {folds} folds\n\n{table(done[name])}\n")
    if asked.json:
        plain = {name: [asdict(row) for row in rows] for name, rows in done.items()}
        asked.json.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
