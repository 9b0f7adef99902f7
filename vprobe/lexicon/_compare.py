"""Factors beside groupings made without them: the 3 x 2 taxonomy, and groups of similar meaning."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from vprobe import stats
from vprobe.errors import InputError
from vprobe.lexicon._records import SemanticFit, TaxonomyFit
from vprobe.lexicon._stability import agreement, tucker, turned

LEAST_TERMS = 6
"""Fewest terms with a given group that a comparison is made on."""
MOST_GROUPS = 12


def taxonomy_fit(
    loadings: Float[np.ndarray, "term factor"],
    factor: Int[np.ndarray, " term"],
    dimension: Int[np.ndarray, " term"],
    subs: Sequence[str],
    dimensions: Sequence[str],
    *,
    seed: int,
    draws: int = 500,
) -> TaxonomyFit | None:
    """Compare factors with a grouping of terms given beforehand; None where it names too few terms.

    Args:
        loadings: Of all terms.
        factor: Factor of each term, -1 for none.
        dimension: Group of factors of each term, -1 for none.
        subs: Group of each term in the taxonomy; empty for none.
        dimensions: Larger group of each term.
        seed: Seed of the shuffles.
        draws: Shuffles of the groups over terms.
    """
    listed = np.flatnonzero([bool(sub) for sub in subs])
    names, code = np.unique([sub for sub in subs if sub], return_inverse=True)
    if len(listed) < LEAST_TERMS or len(names) < 2:
        return None
    larger = np.unique([one for one, sub in zip(dimensions, subs, strict=True) if sub], return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    orders = [np.arange(len(listed)), *(rng.permutation(len(listed)) for _ in range(draws))]
    mine, wide = factor[listed], dimension[listed]
    ari, ari_p = _against_chance([agreement(mine, code[order]) for order in orders])
    grouped = bool((wide >= 0).any())
    both = _against_chance([agreement(wide, larger[order]) for order in orders] if grouped else [math.nan])
    targets = (np.eye(len(names))[code[order]] for order in orders)
    phi = [tucker(turned(loadings[listed], target), target) for target in targets]
    means = [float(one.mean()) for one in phi]
    return TaxonomyFit(
        n=len(listed), ari=ari, ari_p=ari_p, ari_dimension=both[0], ari_dimension_p=both[1], phi=phi[0],
        phi_mean=means[0], phi_chance=float(np.quantile(means[1:], 0.95)), phi_p=_against_chance(means)[1],
        groups=tuple(str(name) for name in names),
    )  # fmt: skip


def _against_chance(found: Sequence[float]) -> tuple[float, float]:
    """Return the first number, and its p against the others; NaN without others."""
    p = stats.permutation_p(np.array(found[:1]), np.array(found[1:])[:, None]) if len(found) > 1 else [math.nan]
    return float(found[0]), float(p[0])


def semantic_fit(
    vectors: Float[np.ndarray, "term d"], factor: Int[np.ndarray, " term"], *, n_groups: int = 0
) -> SemanticFit:
    """Group terms by the meaning their embeddings give them, and compare the groups with the factors.

    Average-link clustering of cosine distances, the mean vector taken away.

    Args:
        vectors: One row per term, such as rows of a model's embedding matrix; a row of NaN has no vector.
        factor: Factor of each term, -1 for none; all -1 where there are no factors.
        n_groups: Groups wanted; the number with the best silhouette when 0.

    Raises:
        InputError: Another number of vectors than terms, fewer than four of them, or a number of groups that is none.
    """
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.metrics import silhouette_score

    known = np.isfinite(vectors).all(axis=1) & np.any(vectors, axis=1)
    n = int(known.sum())
    if len(vectors) != len(factor) or n < 4:
        raise InputError(
            f"{n} vectors for {len(factor)} terms", where="semantic groups", expected="one each, at least 4"
        )
    if n_groups and not 2 <= n_groups < n:
        raise InputError(f"{n_groups} groups", where="semantic groups", expected=f"from 2 to {n - 1}, or 0")
    rows = vectors[known].astype(np.float64)
    rows = rows - rows.mean(axis=0)
    tried = []
    for k in (n_groups,) if n_groups else range(2, min(MOST_GROUPS, n - 1) + 1):
        group = AgglomerativeClustering(k, metric="cosine", linkage="average").fit_predict(rows)
        tried.append((float(silhouette_score(rows, group, metric="cosine")), group))
    silhouette, group = max(tried, key=lambda one: one[0])
    out = np.full(len(vectors), -1)
    out[known] = group
    ari = agreement(out[known], factor[known]) if (factor >= 0).any() else math.nan
    return SemanticFit(out, silhouette, ari, n)
