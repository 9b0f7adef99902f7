"""A lexicon of values in models' own words: which words they name, and which go together.

Models are asked our own questions (`questions`), the value words are taken from what they say (`value_words`), forms of
one word become one term (`tabulate`), and the factors behind the table of respondents by terms are found and tested
(`analyse`). A table without structure, or with a structure that half of the models do not show, gets a reason instead
of factors. `simulate` makes tables with a known structure, to see how many models it takes.

The way from words to factors follows Biedma et al. (2024), arXiv 2404.12744, whose own settings are not published:
thresholds, merging rule, retention rule and rotation are ours and stand in the docstrings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from vprobe.errors import InputError
from vprobe.lexicon._build import analyse
from vprobe.lexicon._compare import semantic_fit
from vprobe.lexicon._file import read, save
from vprobe.lexicon._prompts import Question, questions
from vprobe.lexicon._records import Factor, Lexicon, Parallel, SemanticFit, Stability, TaxonomyFit, Term
from vprobe.lexicon._simulate import Design, Simulated, simulate
from vprobe.lexicon._table import Elicited, TermTable, tabulate
from vprobe.lexicon._words import value_words

__all__ = [
    "Design", "Elicited", "Factor", "Lexicon", "Parallel", "Question", "SemanticFit", "Simulated", "Stability",
    "TaxonomyFit", "Term", "TermTable", "analyse", "build", "questions", "read", "save", "semantic", "simulate",
    "tabulate", "value_words",
]  # fmt: skip


def build(
    answers: Sequence[Elicited], *, least_share: float = 0.05, draws: int = 200, bootstraps: int = 50, seed: int = 0
) -> Lexicon:
    """Build a lexicon from what models said when asked for their values.

    Args:
        answers: Everything that was said.
        least_share: Smallest share of respondents that must name a term.
        draws: Chance tables.
        bootstraps: Times the models are drawn anew.
        seed: Seed of all draws.

    Raises:
        InputError: No answers, or no term that enough respondents and models share.
    """
    return analyse(tabulate(answers, least_share=least_share), draws=draws, bootstraps=bootstraps, seed=seed)


def semantic(
    lexicon: Lexicon, words: Sequence[str], vectors: Float[np.ndarray, "word d"], *, n_groups: int = 0
) -> SemanticFit:
    """Group the terms of a lexicon by meaning, and compare the groups with its factors.

    Args:
        lexicon: The lexicon; refused ones are grouped too.
        words: Words there are vectors of; those that are no term are left out.
        vectors: One embedding per word, such as rows of a model's embedding matrix.
        n_groups: Groups wanted; the number with the best silhouette when 0.

    Raises:
        InputError: Words and vectors differ in number, or too few terms have a vector.
    """
    if len(words) != len(vectors):
        raise InputError(f"{len(words)} words, {len(vectors)} vectors", where="semantic groups", expected="one each")
    place = {word.lower(): row for row, word in enumerate(words)}
    table = np.full((len(lexicon.terms), vectors.shape[1]), np.nan)
    for row, term in enumerate(lexicon.terms):
        if term.word in place:
            table[row] = vectors[place[term.word]]
    names = [one.name for one in lexicon.factors]
    factor = np.array([names.index(one.factor) if one.factor else -1 for one in lexicon.terms])
    return semantic_fit(table, factor, n_groups=n_groups)
