"""What a lexicon is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

NO_FACTOR = ""
"""Factor of a term that loads on none, and dimension of a factor that belongs to none."""


@dataclass(frozen=True)
class Term:
    """One value word.

    Args:
        word: Its most frequent form.
        forms: All forms counted for it.
        share: Share of respondents who named it.
        n_models: Models that named it.
        factor: Name of the factor it loads on most; empty when on none.
        sub: ValueLex sub-dimension whose list has it; empty when none has.
    """

    word: str
    forms: tuple[str, ...]
    share: float
    n_models: int
    factor: str = NO_FACTOR
    sub: str = ""


@dataclass(frozen=True)
class Factor:
    """Terms that respondents tend to name together.

    Args:
        name: "F1", "F2" and so on, the one with most terms first.
        words: Its terms, the highest loading first.
        dimension: Name of the group of factors it belongs to; empty where factors form no groups.
        phi: Congruence of its loadings (Tucker's phi) with those of models drawn anew, median over draws.
        phi_low: The same, 5th percentile.
    """

    name: str
    words: tuple[str, ...]
    dimension: str = NO_FACTOR
    phi: float = math.nan
    phi_low: float = math.nan


@dataclass(frozen=True)
class Parallel:
    """How many factors are more than chance: eigenvalues beside those of tables whose terms go their own ways.

    Args:
        observed: Eigenvalues of the table, each respondent's own level taken away, largest first.
        chance: 95th percentile of the same over tables in which every term was moved between models by itself.
        n: Eigenvalues above chance, counted until the first that is not.
        p: Of the largest one.
        draws: Tables drawn.
    """

    observed: Float[np.ndarray, " term"]
    chance: Float[np.ndarray, " term"]
    n: int
    p: float
    draws: int


@dataclass(frozen=True)
class Stability:
    """How far the factors depend on which models were asked.

    Args:
        draws: Times the models were drawn anew, with replacement.
        ari: Agreement (adjusted Rand index) of the terms' factors with those of the full table, median over draws.
        ari_low: The same, 5th percentile.
        halves: Agreement between two halves of the models that share none, mean over random halves.
    """

    draws: int
    ari: float
    ari_low: float
    halves: float


@dataclass(frozen=True)
class TaxonomyFit:
    """How well factors match a grouping of terms given beforehand, such as the 3 x 2 taxonomy of ValueLex.

    Args:
        n: Terms the grouping names.
        ari: Agreement (adjusted Rand index) of factors with the six groups.
        ari_p: Of `ari`, groups shuffled over terms.
        ari_dimension: Agreement of the groups of factors with the three dimensions; NaN where factors form no groups.
        ari_dimension_p: Of `ari_dimension`.
        phi: Congruence (Tucker's phi) of the loadings, turned towards the groups, with each group present.
        phi_mean: Their mean.
        phi_chance: 95th percentile of the mean when groups are shuffled over terms.
        phi_p: Of `phi_mean`.
        groups: Names of the groups, in the order of `phi`.
    """

    n: int
    ari: float
    ari_p: float
    ari_dimension: float
    ari_dimension_p: float
    phi: Float[np.ndarray, " group"]
    phi_mean: float
    phi_chance: float
    phi_p: float
    groups: tuple[str, ...]


@dataclass(frozen=True)
class SemanticFit:
    """Groups of terms of similar meaning, and whether factors follow them.

    Args:
        group: Group of each term, from 0; -1 for a term without a vector.
        silhouette: How well the groups are separated, from -1 to 1.
        ari: Agreement (adjusted Rand index) with the terms' factors; NaN without factors.
        n: Terms with a vector.
    """

    group: Int[np.ndarray, " term"]
    silhouette: float
    ari: float
    n: int


@dataclass(frozen=True)
class Lexicon:
    """Value words that models name, and the factors behind them, or the reason why no factors are reported.

    Args:
        terms: The words, in the order of the table.
        factors: Empty where refused.
        loadings: Loading of each term on each factor, correlated factors; no columns where refused.
        correlations: Correlations of the factors.
        parallel: Whether there is any structure at all; None when there were too few data to ask.
        stability: None where refused before it was asked.
        taxonomy: Match with the 3 x 2 taxonomy; None where refused or too few terms are listed.
        dimensions_p: Whether factors form groups: p of their separation; NaN where not asked.
        verbosity: Share of the variance of the plain table on its first component: talkative models, mostly.
        n_respondents: Rows of the table.
        n_models: Models.
        n_silent: Respondents left out because they named none of the terms.
        n_flat: Respondents left out because they named nearly none, or nearly all, of the terms.
        n_rare: Terms left out as too rare or too common.
        seed: Seed of all draws.
        refused: Why no factors are reported; empty where they are.
    """

    terms: tuple[Term, ...]
    factors: tuple[Factor, ...]
    loadings: Float[np.ndarray, "term factor"]
    correlations: Float[np.ndarray, "factor factor"]
    parallel: Parallel | None
    stability: Stability | None
    taxonomy: TaxonomyFit | None
    dimensions_p: float
    verbosity: float
    n_respondents: int
    n_models: int
    n_silent: int
    n_flat: int
    n_rare: int
    seed: int
    refused: str = field(default="")
