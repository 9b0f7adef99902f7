"""Do the factors stay the same when other models are asked?"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from vprobe.lexicon._records import Stability
from vprobe.lexicon._structure import Extraction, extract
from vprobe.stats import tucker, turned

LEAST_HALVES = 0.2
"""Two halves of the models must agree at least this much on the terms' factors (adjusted Rand index)."""
HALVES = 10


def stability(
    used: Bool[np.ndarray, "respondent term"],
    models: Int[np.ndarray, " respondent"],
    found: Extraction,
    *,
    seed: int,
    draws: int,
) -> tuple[Stability, Float[np.ndarray, "draw factor"]]:
    """Find the factors again for models drawn with replacement, and in halves of the models.

    Returns:
        The agreement, and for each draw the congruence of each factor.
    """
    rng = np.random.default_rng(seed)
    k, n = found.loadings.shape[1], int(models.max()) + 1
    rows = [np.flatnonzero(models == one) for one in range(n)]
    same, congruent = np.empty(draws), np.empty((draws, k))
    for draw in range(draws):
        again = extract(used[np.concatenate([rows[one] for one in rng.integers(0, n, n)])], k)
        same[draw] = agreement(found.factor, again.factor)
        congruent[draw] = tucker(turned(again.loadings, found.loadings), found.loadings)
    halves = np.empty(HALVES)
    for split in range(HALVES):
        first = np.isin(models, rng.permutation(n)[: n // 2])
        halves[split] = agreement(extract(used[first], k).factor, extract(used[~first], k).factor)
    fit = Stability(draws, float(np.median(same)), float(np.quantile(same, 0.05)), float(halves.mean()))
    return fit, congruent


def agreement(first: Int[np.ndarray, " term"], second: Int[np.ndarray, " term"]) -> float:
    """Return the adjusted Rand index of two groupings; terms in no group count as a group of their own.

    Source: Hubert & Arabie (1985), Journal of Classification 2.
    """
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(first, second))
