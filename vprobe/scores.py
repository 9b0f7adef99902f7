"""Scores: projections become probe scores, ratings become item scores, and both become a profile over values."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from vprobe import stats
from vprobe.errors import InputError, RefusedError
from vprobe.types import Activations, Direction, ProfileRow, Response, ScoreRow, Scores, Seen

PROBE_UNIT = "standard deviations of the fitted samples"
SEEN_UNIT = ", on samples the direction was fitted or chosen on (unsafe)"
"""Added to the unit of numbers that rest on such scores, so that no table holds them unmarked."""
PROFILE_UNIT = "rating points per standard deviation of the key within queries"
REVERSED = "_reversed"
LITTLE_MASS = 0.5
"""Below this mean probability of the answer options a reader is warned about the ratings."""


@dataclass(frozen=True)
class Behavior:
    """How a model rated each item, averaged over the versions it answered; NaN is unscored.

    Args:
        item_ids: In the order of the arrays.
        expected: Mean of the expected ratings, rating points.
        greedy: Mean of the ratings parsed from greedy text, rating points.
        n_versions: Versions with an expected rating.
        n_unscored: Items without any expected rating.
        n_unscored_greedy: Items without any parsed rating.
        n_unparsed: Prompts whose text gave no rating.
        option_mass: Mean total probability of the options; NaN without log-probs.
        order_effect: Mean of reversed less forward order, points, over items answered in both; NaN without pairs.
        greedy_r: Correlation over items of expected with greedy rating, on prompts that have both.
        greedy_mad: Mean absolute difference of the two, points.
        icc_versions: ICC(3,k) of the mean over all versions; NaN with one version.
        n_complete: Items answered in every version, on which the ICC rests.
    """

    item_ids: tuple[str, ...]
    expected: Float[np.ndarray, " sample"]
    greedy: Float[np.ndarray, " sample"]
    n_versions: Int[np.ndarray, " sample"]
    n_unscored: int
    n_unscored_greedy: int
    n_unparsed: int
    option_mass: float
    order_effect: float
    greedy_r: float
    greedy_mad: float
    icc_versions: float
    n_complete: int


def project(
    acts: Activations,
    directions: Sequence[Direction],
    *,
    groups: stats.Groups | None = None,
    unsafe: bool = False,
) -> Scores:
    """Score samples on directions; one direction per value, each at its own site.

    Args:
        acts: Activations that hold every direction's site.
        directions: At most one per value.
        groups: The query of each sample; with them other responses to queries a direction was fitted on are found too.
        unsafe: True to score nevertheless what a direction was fitted or chosen on; the result is marked, in `n_seen`
            and in its unit. `directions.held_out` gives honest scores of such samples.

    Raises:
        InputError: A value twice, a site that was not recorded, another model's or position's direction, or a number of
            groups other than that of samples.
        RefusedError: A direction was fitted or chosen on some of the samples or queries, and `unsafe` is not True.
    """
    names = tuple(one.value for one in directions)
    if len(set(names)) != len(names):
        raise InputError("two directions for one value", where="project", do="choose one site and method per value")
    for one in directions:
        if one.model and acts.model and one.model != acts.model:
            raise InputError(
                f"direction of model {one.model[:12]}, activations of model {acts.model[:12]}",
                where=f"direction {one.value} at {one.site}",
                do="fit directions on the model they are used with",
            )
        if one.position != acts.position:
            raise InputError(
                f"fitted at {one.position}, activations at {acts.position}", where=f"direction {one.value}"
            )
    if groups is not None and len(groups) != len(acts.sample_ids):
        raise InputError(f"{len(groups)} groups for {len(acts.sample_ids)} samples", where="project")
    seen = _seen(acts, directions, groups)
    if seen.any() and not unsafe:
        first = acts.sample_ids[int(seen.argmax())]
        raise RefusedError(
            f"{int(seen.sum())} of {len(seen)} samples are what a direction was fitted or chosen on, first {first!r}",
            where="project",
            expected="samples of other queries: on these a direction looks better than it is",
            do="take held-out scores (directions.held_out, table 'scores'); unsafe=True scores and marks the result",
        )
    columns = [replace(one, seen=Seen()).score(acts.at(one.site)) for one in directions]
    x = np.stack(columns, axis=1) if columns else np.empty((len(acts.sample_ids), 0))
    n = int(seen.sum())
    return Scores(x, acts.sample_ids, names, "probe", PROBE_UNIT + (SEEN_UNIT if n else ""), n)


def rate(responses: Sequence[Response], item_ids: Sequence[str]) -> Behavior:
    """Turn answers to rating prompts into one rating per item.

    Args:
        responses: Answers, any number of versions per item, in any order.
        item_ids: Items wanted; answers to other items are left out.

    Raises:
        InputError: One item answered twice in one version.
    """
    row = {item: i for i, item in enumerate(item_ids)}
    mine = [one for one in responses if one.item_id in row]
    versions = tuple(dict.fromkeys(one.template for one in mine))
    if len({(one.item_id, one.template) for one in mine}) != len(mine):
        raise InputError("an item was answered twice in one version", where="rate")
    expected, greedy, mass = np.full((3, len(row), len(versions)), np.nan)
    for one in mine:
        at = (row[one.item_id], versions.index(one.template))
        expected[at], mass[at] = one.expected, one.option_mass
        greedy[at] = math.nan if one.rating is None else one.rating
    both = np.isfinite(expected) & np.isfinite(greedy)
    a, b = (_mean(np.where(both, part, np.nan)) for part in (expected, greedy))
    return Behavior(
        item_ids=tuple(item_ids),
        expected=_mean(expected),
        greedy=_mean(greedy),
        n_versions=np.isfinite(expected).sum(axis=1),
        n_unscored=int((~np.isfinite(expected)).all(axis=1).sum()),
        n_unscored_greedy=int((~np.isfinite(greedy)).all(axis=1).sum()),
        n_unparsed=sum(one.text is not None and one.rating is None for one in mine),
        option_mass=_overall(mass),
        order_effect=_order_effect(expected, versions),
        greedy_r=stats.pearson(a, b),
        greedy_mad=_overall(np.abs(a - b)),
        icc_versions=stats.icc(expected).icc3k,
        n_complete=int(np.isfinite(expected).all(axis=1).sum()) if versions else 0,
    )


def profile(
    ratings: Float[np.ndarray, " sample"], keys: Scores, groups: stats.Groups, *, seed: int, resamples: int = 1000
) -> tuple[ProfileRow, ...]:
    """Return how many rating points a model adds per standard deviation of a key, value by value, within queries.

    Keyed by human labels it says which values the model's ratings favour; keyed by held-out probe scores, whether they
    follow what the probe reads. Agreeing with everything cancels, as only differences within a query count.

    Args:
        ratings: One rating per item, points.
        keys: Labels or held-out probe scores of the same items.
        groups: The query of each item.
        seed: Seed of the bootstrap.
        resamples: Draws of the bootstrap.

    Raises:
        InputError: Keys that are neither labels nor probe scores, or of another number of items.
    """
    if keys.kind not in ("label", "probe") or len(keys.x) != len(ratings):
        raise InputError(
            f"{keys.kind} keys of {len(keys.x)} items for {len(ratings)} ratings",
            where="profile",
            expected="labels or probe scores of the same items",
        )
    sums = stats.within(keys.x, ratings[:, None], groups)
    slopes, rows = stats.slope_of(sums.totals), []
    for column, value in enumerate(keys.values):
        ends = stats.interval(sums.column(column), stats.slope_of, seed=seed, resamples=resamples)
        used = int(sums.n[:, column].sum())
        rows.append(
            ProfileRow(
                value=value,
                kind="rating" if keys.kind == "label" else "probe",
                estimate=float(slopes[column]),
                low=ends.low,
                high=ends.high,
                n_items=used,
                n_unscored=len(ratings) - used,
                unit=PROFILE_UNIT + (SEEN_UNIT if keys.n_seen else ""),
            )
        )
    return tuple(rows)


def rows(scores: Scores, groups: Sequence[str], *, method: str = "", site: str = "") -> tuple[ScoreRow, ...]:
    """Write scores out as rows of the table `scores`, item by item.

    Args:
        scores: Any kind.
        groups: The query of each sample.
        method: Direction method; empty unless a probe.
        site: Site read, "nested" when inner folds chose it; empty unless a probe.
    """
    return tuple(
        ScoreRow(item, group, value, scores.kind, method, site, float(score), scores.unit)
        for item, group, line in zip(scores.sample_ids, groups, scores.x, strict=True)
        for value, score in zip(scores.values, line, strict=True)
    )


def map2d(x: Float[np.ndarray, "sample d_model"], *, seed: int) -> Float[np.ndarray, "sample 2"]:
    """Lay samples out in the plane so that near ones stay near; a picture, not evidence.

    Args:
        x: Activations, or their deviations from query means so that queries do not make the clusters.
        seed: Seed of the layout.

    Raises:
        RefusedError: Fewer than ten samples.

    Source: McInnes, Healy & Melville (2018), arXiv 1802.03426.
    """
    if len(x) < 10:
        raise RefusedError(f"{len(x)} samples", where="map", expected="at least 10")
    # umap compiles for seconds, so only who wants a map pays for it. Left alone it resets the process's OpenMP threads,
    # after which small torch models run ten times slower.
    os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # about a variant that needs another package
        import umap

    centred = np.asarray(x, dtype=np.float64) - x.mean(axis=0, dtype=np.float64)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    main = u[:, :50] * s[:50]
    turn = np.sign(u[np.abs(u[:, :50]).argmax(axis=0), np.arange(main.shape[1])])  # settles the sign of each component
    layout = umap.UMAP(n_neighbors=min(15, len(x) - 1), init="pca", random_state=seed, n_jobs=1)
    return np.asarray(layout.fit_transform(main * turn), dtype=np.float64)


def _seen(acts: Activations, directions: Sequence[Direction], groups: stats.Groups | None) -> np.ndarray:
    """Tell which samples some direction was fitted or chosen on, by name, by query or by their activations."""
    found = np.zeros(len(acts.sample_ids), dtype=bool)
    for one in directions:
        found |= one.seen.has_samples(acts.sample_ids) | one.seen.has_rows(acts.at(one.site))
        if groups is not None:
            found |= one.seen.has_queries(groups)
    return found


def _mean(table: np.ndarray) -> np.ndarray:
    """Return row means over the numbers that exist; NaN for rows without any."""
    known = np.isfinite(table)
    n = known.sum(axis=1)
    return np.where(n > 0, np.where(known, table, 0.0).sum(axis=1) / np.maximum(n, 1), np.nan)


def _overall(table: np.ndarray) -> float:
    known = table[np.isfinite(table)]
    return float(known.mean()) if known.size else math.nan


def _order_effect(expected: np.ndarray, versions: tuple[str, ...]) -> float:
    gaps = [
        expected[:, versions.index(name + REVERSED)] - expected[:, i]
        for i, name in enumerate(versions)
        if name + REVERSED in versions
    ]
    return _overall(np.stack(gaps)) if gaps else math.nan
