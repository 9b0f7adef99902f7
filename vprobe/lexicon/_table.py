"""Who named which value: texts become a table of respondents by terms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from vprobe.benchmarks._valuelex_terms import keys
from vprobe.errors import InputError
from vprobe.lexicon._words import value_words

LEAST_MODELS = 3
"""Fewest models that must name a term."""


@dataclass(frozen=True)
class Elicited:
    """What one respondent said when asked for its values once.

    Args:
        respondent: A model with its sampling setting and persona, such as "qwen/t0.7/baker".
        model: The model, or its family: respondents of one model are not independent and are kept together.
        question: Id of the question.
        text: The answer.

    Raises:
        InputError: No respondent or model is named.
    """

    respondent: str
    model: str
    question: str
    text: str

    def __post_init__(self) -> None:
        if not self.respondent.strip() or not self.model.strip():
            raise InputError("no respondent or model", where="elicited text", expected="a name for both")


@dataclass(frozen=True)
class TermTable:
    """Which respondent named which term at least once.

    Args:
        respondents: Names, one per row.
        models: Model of each respondent.
        terms: Names, one per column: the most frequent form of each.
        forms: Every form that was counted for each term.
        used: True where a respondent named a term.
        n_silent: Respondents left out because they named no term that was kept.
        n_rare: Terms left out because too few, or nearly all, respondents named them.

    Raises:
        InputError: Names and table differ in size.
    """

    respondents: tuple[str, ...]
    models: tuple[str, ...]
    terms: tuple[str, ...]
    forms: tuple[tuple[str, ...], ...]
    used: Bool[np.ndarray, "respondent term"]
    n_silent: int = 0
    n_rare: int = 0

    def __post_init__(self) -> None:
        sizes = (len(self.respondents), len(self.models)), (len(self.terms), len(self.forms))
        if any(size != (n, n) for size, n in zip(sizes, self.used.shape, strict=True)):
            raise InputError(f"names of {sizes}, a table of {self.used.shape}", where="term table", expected="one size")

    @property
    def model_codes(self) -> Int[np.ndarray, " respondent"]:
        """Number of each respondent's model, from 0 in order of sorted names."""
        return np.unique(np.array(self.models), return_inverse=True)[1].astype(np.int64)


def tabulate(
    answers: Sequence[Elicited],
    *,
    least_share: float = 0.05,
    most_share: float = 0.95,
    least_models: int = LEAST_MODELS,
) -> TermTable:
    """Turn answers into a table of respondents by terms; forms of one word are one term.

    Two forms are one term when they share a beginning and their endings belong together ("honest", "honesty"), are
    spelled the British and the American way, or differ in number; see `benchmarks._valuelex_terms`.

    Args:
        answers: Everything that was said, in any order; a respondent's answers are pooled.
        least_share: Smallest share of respondents that must name a term.
        most_share: Largest share; what everybody names tells nobody apart.
        least_models: Fewest models that must name a term.

    Raises:
        InputError: No answers, a respondent of two models, shares that are none, or no term left.
    """
    if not answers:
        raise InputError("no answers", where="lexicon", expected="texts of models asked for their values")
    if not 0.0 <= least_share < most_share <= 1.0:
        raise InputError(f"shares {least_share} and {most_share}", where="lexicon", expected="0 <= least < most <= 1")
    models = _models(answers)
    said: dict[str, Counter[str]] = {name: Counter() for name in models}
    for one in answers:
        said[one.respondent].update(value_words(one.text))
    groups = _merge([form for counter in said.values() for form in counter.elements()])
    place = {form: column for column, forms in enumerate(groups) for form in forms}
    used = np.zeros((len(models), len(groups)), dtype=bool)
    for row, counter in enumerate(said.values()):
        used[row, [place[form] for form in counter]] = True
    share = used.mean(axis=0) if len(groups) else np.zeros(0)
    owners = np.array(list(models.values()))
    spread = np.array([len(set(owners[column])) for column in used.T], dtype=np.int64)
    kept = np.flatnonzero((share >= least_share) & (share <= most_share) & (spread >= least_models))
    if not len(kept):
        raise InputError(
            f"none of {len(groups)} terms is named by {least_share:.0%} to {most_share:.0%} of the respondents and by "
            f"{least_models} models", where="lexicon", expected="terms that several models share",
            do="ask more models, or lower the smallest share",
        )  # fmt: skip
    rows = np.flatnonzero(used[:, kept].any(axis=1))
    names = list(models)
    return TermTable(
        respondents=tuple(names[i] for i in rows),
        models=tuple(models[names[i]] for i in rows),
        terms=tuple(groups[i][0] for i in kept),
        forms=tuple(groups[i] for i in kept),
        used=used[np.ix_(rows, kept)],
        n_silent=len(names) - len(rows),
        n_rare=len(groups) - len(kept),
    )


def _models(answers: Sequence[Elicited]) -> dict[str, str]:
    """Return the model of every respondent, in order of appearance."""
    out: dict[str, str] = {}
    for one in answers:
        if out.setdefault(one.respondent, one.model) != one.model:
            raise InputError(
                f"respondent {one.respondent!r} is of {out[one.respondent]!r} and of {one.model!r}",
                where="lexicon", expected="one model per respondent", do="put the model into the respondent's name",
            )  # fmt: skip
    return out


def _merge(spoken: Sequence[str]) -> list[tuple[str, ...]]:
    """Group the forms that share a key, the most frequent first in each group, the groups by their first form."""
    count = Counter(spoken)
    parent = {form: form for form in count}

    def root(form: str) -> str:
        while parent[form] != form:
            form = parent[form]
        return form

    owner: dict[str, str] = {}
    for form in sorted(count):
        for key in sorted(keys(form)):
            parent[root(form)] = root(owner.setdefault(key, form))
    groups: dict[str, list[str]] = {}
    for form in sorted(count, key=lambda one: (-count[one], one)):
        groups.setdefault(root(form), []).append(form)
    return sorted(tuple(group) for group in groups.values())
