"""How repeatable human labels are: the share of their variance that is more than the luck of who was asked."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from vprobe.errors import InputError
from vprobe.types import Reliability


def share(
    labels: Float[np.ndarray, "item value"],
    ratings: Sequence[Float[np.ndarray, "_ _"]],
    rows: Sequence[Int[np.ndarray, " _"]],
    centre: Int[np.ndarray, " item"],
) -> Float[np.ndarray, " value"]:
    """Return 1 - Var_perm / Var_obs per value, where each label is a rank correlation over one block of raters.

    Var_perm is the label variance left when the people of a block exchange their value scores at random, all items of
    the block alike. It needs no drawing: under such exchanges labels i and j of a block of n raters have covariance
    rho_ij / (n - 1), with rho_ij the rank correlation of the two items' ratings, whatever the value; labels of
    different blocks have none. Both variances are taken around the means of `centre`. Split-half figures run lower,
    by up to .09 on Value Portrait: a ceiling from here errs high, and agreement over ceiling errs low.

    Args:
        labels: Rank correlations between an item's ratings and the raters' scores on a value.
        ratings: Per block, the ratings, one row per item and one column per rater.
        rows: Per block, the rows of `labels` its items stand in.
        centre: Cluster of each item; its cluster's mean is taken off first. All 0 for plain variance.

    Returns:
        At most 1; below 0 when labels vary less than chance would have them.

    Raises:
        InputError: An item that all its raters gave the same rating has no correlation.

    Source: permutation moments of a correlation, Pitman (1937), Supplement to the JRSS 4, 225-232.
    """
    n_items = len(labels)
    noise = np.zeros((n_items, n_items))
    for block, index in zip(ratings, rows):
        ranks = unit_ranks(block)
        noise[np.ix_(index, index)] = ranks @ ranks.T / (block.shape[1] - 1)
    _, cluster = np.unique(centre, return_inverse=True)
    member = np.eye(cluster.max() + 1)[cluster]
    mean = member @ (member / member.sum(axis=0)).T  # averages over each item's cluster
    permuted = (np.trace(noise) - (mean * noise).sum()) / n_items
    observed = ((labels - mean @ labels) ** 2).mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(observed > 0, 1.0 - permuted / observed, np.nan)


def unit_ranks(x: Float[np.ndarray, "row rater"]) -> Float[np.ndarray, "row rater"]:
    """Return each row's average ranks, centred and of length 1, so that a product of two rows is a Spearman r.

    Args:
        x: Any numbers; equal ones share their mean rank.

    Raises:
        InputError: A row whose numbers are all equal.
    """
    below = (x[:, None, :] < x[:, :, None]).sum(axis=-1)
    same = (x[:, None, :] == x[:, :, None]).sum(axis=-1)
    ranks = below + (same - 1) / 2.0
    ranks = ranks - ranks.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(ranks, axis=1, keepdims=True)
    if not (norm > 0).all():
        raise InputError("all ratings of an item are equal", where="reliability", expected="ratings that differ")
    return ranks / norm


def record(value: str, estimate: float, *, within: bool) -> Reliability:
    """Build the record of one value, with the ceiling that follows from the estimate.

    Args:
        value: Canonical value name.
        estimate: Share of label variance that is not noise; NaN is not known.
        within: True when it concerns differences between responses to one query.
    """
    return Reliability(value, estimate, math.sqrt(estimate) if estimate > 0 else math.nan, within)
