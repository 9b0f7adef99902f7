"""Closed forms: expected cosine, expected held-out correlation, effective sample size, what chance hides."""

from __future__ import annotations

import math

from scipy.stats import norm

from vprobe import stats

NULL_SD = 0.067
"""Standard deviation of a held-out correlation when labels mean nothing, 520 samples in queries of five."""
NULL_N = 520 / 2.2
"""The effective number of samples that belongs to `NULL_SD`: five to a query, intraclass correlation .3."""


def mean_difference_cosine(gap: float, residual: float, n_high: float, n_low: float) -> float:
    """Return the expected cosine of a difference in means with the true one.

    Args:
        gap: Length of the true difference, activation units.
        residual: Trace of the activations' covariance within classes.
        n_high: Independent samples with more of the value.
        n_low: Independent samples with less.

    Source: signal over signal plus the expected squared length of the means' noise; checked by simulation.
    """
    return _recovered(gap**2, residual * (1.0 / n_high + 1.0 / n_low))


def covariance_cosine(shift: float, residual: float, n: float, reliability: float) -> float:
    """Return the expected cosine of a covariance direction, fitted on noisy continuous labels, with the true one.

    Args:
        shift: What activations gain per standard deviation of the true score.
        residual: Trace of the activations' covariance given the true score.
        n: Independent samples.
        reliability: Share of label variance that is true score.

    Source: as `mean_difference_cosine`, with the labels' noise diluting n; checked by simulation.
    """
    return _recovered(shift**2 * reliability, residual / n)


def share_cosine(n: float, share: float, reliability: float) -> float:
    """Return `covariance_cosine` from the share of activation variance that a value has.

    Args:
        n: Independent samples.
        share: Variance along the value over the trace of the activations' covariance.
        reliability: Share of label variance that is true score.

    Source: as `covariance_cosine`.
    """
    return _recovered(share * reliability, (1.0 - share) / n)


def n_for_cosine(cosine: float, share: float, reliability: float) -> float:
    """Return how many independent samples a covariance direction needs for an expected cosine.

    Args:
        cosine: Wanted, between 0 and 1.
        share: Variance along the value over the trace of the activations' covariance.
        reliability: Share of label variance that is true score.

    Source: `share_cosine` solved for n.
    """
    return cosine**2 / (1.0 - cosine**2) * (1.0 - share) / (share * reliability)


def held_out_r(cosine: float, shift: float, noise: float, reliability: float) -> float:
    """Return the expected correlation of held-out projections with noisy labels.

    Args:
        cosine: Of the direction with the true one.
        shift: What activations gain per standard deviation of the true score.
        noise: Standard deviation of the activations' noise along one direction, the same in all.
        reliability: Share of label variance that is true score.

    Source: correlation of a noisy measure with a noisy criterion, Spearman (1904); checked by simulation.
    """
    return math.sqrt(reliability) * shift * cosine / math.hypot(shift * cosine, noise)


def whole_cosine(halves: float) -> float:
    """Return the cosine of a direction with the population's, from the cosine of two fitted on halves of the queries.

    No truth is needed. It sees noise, not bias: two halves that share a confounder agree on it.

    Args:
        halves: Cosine of the two directions; with one below 0 there is no estimate (NaN).

    Source: Spearman-Brown on cosines; checked by simulation.
    """
    whole = stats.spearman_brown(halves)
    return math.sqrt(whole) if whole >= 0.0 else math.nan


def effective_n(n: float, per_query: float, icc: float) -> float:
    """Return how many independent samples grouped ones are worth.

    Args:
        n: Samples.
        per_query: Samples of one query.
        icc: Intraclass correlation, how alike samples of one query are.

    Source: Kish (1965), Survey Sampling, ch. 5 (design effect).
    """
    return n / (1.0 + (per_query - 1.0) * icc)


def null_sd(n: float) -> float:
    """Return the standard deviation of a held-out correlation when labels mean nothing and queries are held out.

    Args:
        n: Independent samples, see `effective_n`. 520 samples in fives have .067; it shrinks with the root of n.

    Source: simulated with 104 queries of five responses.
    """
    return NULL_SD * math.sqrt(NULL_N / n)


def detectable_r(n: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the smallest true held-out correlation that is told from chance.

    Args:
        n: Independent samples, see `effective_n`.
        alpha: Level of the one-sided test.
        power: How often it must be found; .5 gives the correlation that is just significant.

    Source: Cohen (1988), Statistical Power Analysis, ch. 3, with the null of `null_sd`.
    """
    return float(norm.isf(alpha) + norm.ppf(power)) * null_sd(n)


def n_for_r(r: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return how many independent samples it takes to tell a true held-out correlation from chance.

    Args:
        r: True held-out correlation.
        alpha: Level of the one-sided test.
        power: How often it must be found.

    Source: `detectable_r` solved for n.
    """
    return NULL_N * (detectable_r(NULL_N, alpha=alpha, power=power) / r) ** 2


def raters_needed(reliability: float, target: float, raters: float) -> float:
    """Return how many people must rate each item for labels of some reliability.

    Args:
        reliability: Of labels from `raters` people.
        target: Wanted.
        raters: People who rated each item so far.

    Source: Spearman (1910) and Brown (1910), Brit. J. Psychol. 3, solved for the length.
    """
    return raters * target * (1.0 - reliability) / (reliability * (1.0 - target))


def _recovered(signal: float, noise: float) -> float:
    return math.sqrt(signal / (signal + noise))
