"""Tables with a known structure, to see how often it is found: for checks, and for planning how many models to ask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats as scipy_stats

from vprobe.errors import InputError
from vprobe.lexicon._table import TermTable
from vprobe.values import VALUELEX, VALUELEX_SUB


@dataclass(frozen=True)
class Simulated:
    """A table made with a known structure.

    Args:
        table: Respondents by terms.
        subs: True sub-dimension of each term; empty where there is no structure.
        dimensions: True dimension of each term.
    """

    table: TermTable
    subs: tuple[str, ...]
    dimensions: tuple[str, ...]


@dataclass(frozen=True)
class Design:
    """How a table is made. What is not said below is drawn at random.

    Args:
        n_models: Models.
        n_respondents: Respondents, dealt out evenly to the models.
        n_terms: Terms for each of the six sub-dimensions.
        loading: Loading of a term on its sub-dimension, 0 for a table without structure.
        within: Correlation of the two sub-dimensions of one dimension; others are uncorrelated.
        model_share: Share of the variance of everything that lies between models.
        rarest: Share of respondents who name the rarest term.
        commonest: Share who name the most common one; terms lie evenly between.
        verbosity: Standard deviation of how much respondents name of everything, in units of a term's own.
        verbosity_share: Share of the variance of `verbosity` that lies between models.

    Raises:
        InputError: A number that makes no table.
    """

    n_models: int = 30
    n_respondents: int = 525
    n_terms: int = 10
    loading: float = 0.75
    within: float = 0.5
    model_share: float = 0.3
    rarest: float = 0.15
    commonest: float = 0.6
    verbosity: float = 0.5
    verbosity_share: float = 0.7

    def __post_init__(self) -> None:
        shares = (self.loading, self.within, self.model_share, self.verbosity_share)
        if not all(0.0 <= one <= 1.0 for one in shares) or self.verbosity < 0:
            raise InputError(f"shares {shares}", where="simulated table", expected="numbers from 0 to 1")
        if not 0.0 < self.rarest <= self.commonest < 1.0:
            raise InputError(
                f"shares from {self.rarest} to {self.commonest}", where="simulated table", expected="between 0 and 1"
            )
        if min(self.n_models, self.n_terms) < 1 or self.n_respondents < self.n_models:
            raise InputError(
                f"{self.n_models} models, {self.n_respondents} respondents", where="simulated table",
                expected="at least one term, one model and one respondent per model",
            )  # fmt: skip


def simulate(design: Design | None = None, *, seed: int) -> Simulated:
    """Make a table of respondents by terms with the 3 x 2 structure planted in it, or with none.

    Every respondent has a level on each sub-dimension; a term is named where its sub-dimension's level, the term's own
    ups and downs and the respondent's verbosity together exceed the term's threshold. All of these differ between
    models and between the respondents of one model.

    Args:
        design: How; the default has 525 respondents of 30 models and a clear structure.
        seed: Seed of everything drawn.
    """
    it = design or Design()
    rng = np.random.default_rng(seed)
    models = np.sort(np.arange(it.n_respondents) % it.n_models)
    n_subs = len(VALUELEX_SUB)
    sub = np.repeat(np.arange(n_subs), it.n_terms)

    def level(columns: int, share: float) -> Float[np.ndarray, "respondent column"]:
        between = rng.standard_normal((it.n_models, columns))[models]
        return np.sqrt(share) * between + np.sqrt(1 - share) * rng.standard_normal((it.n_respondents, columns))

    wide = level(n_subs // 2, it.model_share)[:, np.arange(n_subs) // 2]
    subs = np.sqrt(it.within) * wide + np.sqrt(1 - it.within) * level(n_subs, it.model_share)
    own = level(len(sub), it.model_share)
    slope = it.verbosity * rng.uniform(0.5, 1.5, len(sub))
    drawn = it.loading * subs[:, sub] + np.sqrt(1 - it.loading**2) * own + slope * level(1, it.verbosity_share)
    threshold = scipy_stats.norm.ppf(1 - rng.uniform(it.rarest, it.commonest, len(sub))) * np.sqrt(1 + slope**2)
    planted = it.loading > 0
    terms = tuple(
        f"{VALUELEX_SUB[s]}-{i % it.n_terms + 1:02d}" if planted else f"term-{i + 1:02d}" for i, s in enumerate(sub)
    )
    return Simulated(
        table=TermTable(
            respondents=tuple(f"model-{m:02d}/{i:03d}" for i, m in enumerate(models)),
            models=tuple(f"model-{m:02d}" for m in models),
            terms=terms,
            forms=tuple((term,) for term in terms),
            used=drawn > threshold,
        ),
        subs=tuple(VALUELEX_SUB[s] if planted else "" for s in sub),
        dimensions=tuple(VALUELEX[s // 2] if planted else "" for s in sub),
    )
