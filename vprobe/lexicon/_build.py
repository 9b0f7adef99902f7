"""From a table of respondents by terms to a lexicon, or to the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vprobe.benchmarks import _valuelex_words as lists
from vprobe.errors import InputError
from vprobe.lexicon import _structure as structure
from vprobe.lexicon._compare import taxonomy_fit
from vprobe.lexicon._records import NO_FACTOR, Factor, Lexicon, Parallel, Stability, Term
from vprobe.lexicon._stability import LEAST_HALVES, stability
from vprobe.lexicon._table import TermTable
from vprobe.values import VALUELEX_SUB

LEAST_MODELS = 8
"""Fewest models: with fewer, moving a term between models has too few outcomes, and halves are too small."""
LEAST_TERMS = 12
LEAST_TOLD = 0.25
"""Respondents are left out who name a share x of the terms with x (1 - x) below this part of the median."""
LEAST_DRAWS = 99
"""With fewer no p can be as small."""


def analyse(
    table: TermTable, *, subs: Sequence[str] | None = None, draws: int = 200, bootstraps: int = 50, seed: int = 0
) -> Lexicon:
    """Find the factors of a table and test them, or say why none are reported.

    Refused are tables of too few models or terms; tables in which no eigenvalue exceeds those of tables whose terms go
    their own ways; and factors that one half of the models shows and the other does not. Taking away each respondent's
    level costs one dimension, so n eigenvalues above chance mean n + 1 factors.

    Args:
        table: From `tabulate` or `simulate`.
        subs: Sub-dimension of each term to compare the factors with, empty for none; from our word lists when None.
        draws: Chance tables.
        bootstraps: Times the models are drawn anew.
        seed: Seed of all draws.

    Raises:
        InputError: Another number of sub-dimensions than terms, an unknown one, a term nobody or everybody named, or
            fewer than `LEAST_DRAWS` draws or 2 bootstraps.
    """
    _require(table, subs, draws, bootstraps)
    labels = tuple(lists.sub_of(term) for term in table.terms) if subs is None else tuple(subs)
    rows, columns = _informative(table)
    n_flat, labels, table = int((~rows).sum()), tuple(labels[i] for i in columns), _part(table, rows, columns)
    plain = _plain(table, labels, n_flat, seed)
    n_models, n_terms = plain.n_models, len(table.terms)
    if n_models < LEAST_MODELS or n_terms < LEAST_TERMS:
        return replace(
            plain, refused=f"{n_models} models and {n_terms} terms; needed are {LEAST_MODELS} and {LEAST_TERMS}"
        )
    left = structure.without_level(table.used)
    found = structure.parallel(left, table.model_codes, seed=seed, draws=draws)
    plain = replace(plain, parallel=found)
    if found.n == 0 or found.p > structure.MOST_P:
        return replace(plain, refused=_unstructured(found))
    return _with_factors(plain, table, left, labels, bootstraps, draws)


def _with_factors(
    plain: Lexicon, table: TermTable, left: np.ndarray, labels: tuple[str, ...], bootstraps: int, draws: int
) -> Lexicon:
    models, seed = table.model_codes, plain.seed
    extracted = structure.extract(table.used, (plain.parallel.n if plain.parallel else 0) + 1)
    k = extracted.loadings.shape[1]
    if k < 2:
        return replace(plain, refused=f"no two factors have {structure.LEAST_TERMS} terms each")
    fit, congruent = stability(table.used, models, extracted, seed=seed, draws=bootstraps)
    if fit.halves < LEAST_HALVES:
        return replace(plain, stability=fit, refused=_unstable(fit))
    groups = structure.group_factors(left, extracted.factor, models, seed=seed, draws=draws)
    mine = np.where(extracted.factor >= 0, groups.group[extracted.factor], -1)
    larger = tuple(lists.dimension_of(sub) if sub else "" for sub in labels)
    names = tuple(f"F{i + 1}" for i in range(k))
    factors = []
    for i, name in enumerate(names):
        members = np.flatnonzero(extracted.factor == i)
        members = members[np.argsort(-np.abs(extracted.loadings[members, i]), kind="stable")]
        group = f"D{groups.group[i] + 1}" if groups.group[i] >= 0 else NO_FACTOR
        phi = congruent[np.isfinite(congruent[:, i]), i]
        middle, low = np.quantile(phi, [0.5, 0.05]) if len(phi) else (math.nan, math.nan)
        factors.append(Factor(name, tuple(table.terms[j] for j in members), group, float(middle), float(low)))
    terms = tuple(
        replace(term, factor=names[i] if i >= 0 else NO_FACTOR)
        for term, i in zip(plain.terms, extracted.factor, strict=True)
    )
    return replace(
        plain, terms=terms, factors=tuple(factors), loadings=extracted.loadings, correlations=extracted.correlations,
        stability=fit, dimensions_p=groups.p,
        taxonomy=taxonomy_fit(extracted.loadings, extracted.factor, mine, labels, larger, seed=seed),
    )  # fmt: skip


def _informative(table: TermTable) -> tuple[np.ndarray, np.ndarray]:
    """Return which respondents tell terms apart, and the terms that vary among them.

    Whoever names nearly all or nearly none of the terms says little of which go together, and each odd word of theirs
    would weigh a great deal.
    """
    share = table.used.mean(axis=1)
    told = share * (1.0 - share)
    rows = (told > 0) & (told >= LEAST_TOLD * np.median(told))
    used = table.used[rows]
    return rows, np.flatnonzero(used.any(axis=0) & ~used.all(axis=0))


def _part(table: TermTable, rows: np.ndarray, columns: np.ndarray) -> TermTable:
    return TermTable(
        respondents=tuple(name for name, kept in zip(table.respondents, rows, strict=True) if kept),
        models=tuple(name for name, kept in zip(table.models, rows, strict=True) if kept),
        terms=tuple(table.terms[i] for i in columns),
        forms=tuple(table.forms[i] for i in columns),
        used=table.used[np.ix_(rows, columns)],
        n_silent=table.n_silent,
        n_rare=table.n_rare + len(table.terms) - len(columns),
    )


def _plain(table: TermTable, labels: tuple[str, ...], n_flat: int, seed: int) -> Lexicon:
    """Return what can be said of a table before any factor."""
    models = np.array(table.models)
    r = structure.correlations(table.used.astype(np.float64))
    terms = tuple(
        Term(word, forms, float(column.mean()), len(set(models[column])), sub=sub)
        for word, forms, column, sub in zip(table.terms, table.forms, table.used.T, labels, strict=True)
    )
    return Lexicon(
        terms=terms, factors=(), loadings=np.zeros((len(terms), 0)), correlations=np.zeros((0, 0)), parallel=None,
        stability=None, taxonomy=None, dimensions_p=math.nan,
        verbosity=float(np.linalg.eigvalsh(r)[-1] / len(r)), n_respondents=len(table.respondents),
        n_models=len(set(table.models)), n_silent=table.n_silent, n_flat=n_flat, n_rare=table.n_rare, seed=seed,
    )  # fmt: skip


def _require(table: TermTable, subs: Sequence[str] | None, draws: int, bootstraps: int) -> None:
    if draws < LEAST_DRAWS or bootstraps < 2:
        raise InputError(
            f"{draws} draws, {bootstraps} bootstraps", where="lexicon", expected=f"at least {LEAST_DRAWS} and 2"
        )
    if subs is not None and len(subs) != len(table.terms):
        raise InputError(
            f"{len(subs)} sub-dimensions", where="lexicon", expected=f"one for each of {len(table.terms)} terms"
        )
    lost = [sub for sub in subs or () if sub and sub not in VALUELEX_SUB]
    if lost:
        raise InputError(f"sub-dimension {lost[0]!r}", where="lexicon", expected="one of " + ", ".join(VALUELEX_SUB))
    if table.used.size and (table.used.all(axis=1) | ~table.used.any(axis=1)).all():
        raise InputError("every respondent named all terms or none", where="lexicon", expected="terms some named")
    constant = np.flatnonzero(table.used.all(axis=0) | ~table.used.any(axis=0))
    if len(constant) or not table.used.size:
        what = f"term {table.terms[constant[0]]!r} does not vary" if len(constant) else "an empty table"
        raise InputError(what, where="lexicon", expected="terms some named and some did not", do="use tabulate")


def _unstructured(found: Parallel) -> str:
    return (
        f"no structure: the largest eigenvalue is {found.observed[0]:.2f}, and {found.chance[0]:.2f} is reached by "
        f"chance when each term goes its own way between models (p = {found.p:.3f}, needed is {structure.MOST_P})"
    )


def _unstable(fit: Stability) -> str:
    return (
        f"not repeatable: two halves of the models agree on the factors of the terms by {fit.halves:.2f} "
        f"(adjusted Rand index), and {LEAST_HALVES} is needed"
    )
