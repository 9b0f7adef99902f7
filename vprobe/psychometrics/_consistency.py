"""Do the items of a scale belong together, more than any items do? Alpha and omega beside random sets of items."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from vprobe.errors import InputError, unknown
from vprobe.types import AnswerTable, Scores

FEWEST_UNITS = 10
"""Complete units below which neither alpha nor omega is worked out."""
LEVEL = 0.95
STATISTICS = ("alpha", "omega")
Table = Float[np.ndarray, "unit item"]


@dataclass(frozen=True)
class ConsistencyRow:
    """How well the items of one scale go together, beside random items of the same answers.

    Args:
        scale: Canonical value name.
        statistic: "alpha" or "omega".
        ratings: "raw", or "ipsatised": each unit's mean over all tagged items taken off first.
        estimate: Alpha or omega; NaN when it does not exist.
        null_mean: Its mean over random item sets of the same size.
        null_95: Its 95th percentile over them.
        verdict: "pass" above `null_95`, else "fail"; "unknown" when it cannot be worked out.
        n_items: Items of the scale.
        n_units: Units (a respondent asked in one version) that answered all of them.
        n_left_out: Units that answered some of them only.
        n_draws: Random item sets that gave a number.
    """

    scale: str
    statistic: str
    ratings: str
    estimate: float
    null_mean: float
    null_95: float
    verdict: Literal["pass", "fail", "unknown"]
    n_items: int
    n_units: int
    n_left_out: int
    n_draws: int


@dataclass(frozen=True)
class _Scale:
    """A scale's items among those rated, and +1 or -1 for each."""

    items: Int[np.ndarray, " item"]
    signs: Float[np.ndarray, " item"]


def alpha(table: Table) -> float:
    """Return Cronbach's alpha of complete answers; NaN below two items or without variance of the sum.

    Args:
        table: One row per unit, one column per item, higher meaning more of the same thing in every column.

    Source: Cronbach (1951), Psychometrika 16, 297-334.
    """
    k = table.shape[1]
    total = float(table.sum(axis=1).var(ddof=1)) if len(table) > 1 else 0.0
    if k < 2 or total <= 1e-12 * max(1.0, float(np.abs(table).max())):
        return math.nan
    return k / (k - 1) * (1.0 - float(table.var(axis=0, ddof=1).sum()) / total)


def omega(table: Table) -> float:
    """Return McDonald's omega of complete answers, from one common factor; NaN below three items that vary.

    Args:
        table: One row per unit, one column per item, higher meaning more of the same thing in every column.

    Source: McDonald (1999), Test Theory, ch. 6; the factor by maximum likelihood, scikit-learn.
    """
    from sklearn.decomposition import FactorAnalysis
    from sklearn.exceptions import ConvergenceWarning

    varying = table[:, table.std(axis=0) > 1e-9] if len(table) > 2 else table[:, :0]
    if varying.shape[1] < 3:
        return math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # random item sets need not have a factor to converge to
        found = FactorAnalysis(n_components=1, max_iter=200, random_state=0).fit(varying)
    common = float(found.components_[0].sum()) ** 2
    return common / (common + float(np.asarray(found.noise_variance_).sum()))


def consistency(
    answers: AnswerTable,
    keys: Scores,
    *,
    seed: int,
    draws: int = 100,
    statistics: Sequence[str] = STATISTICS,
) -> tuple[ConsistencyRow, ...]:
    """Measure every scale's internal consistency over units, raw and ipsatised, beside random sets of items.

    A unit is one respondent asked in one version. Raw alpha of any items is high when some units agree with everything,
    so a scale passes only above the 95th percentile of random item sets of its size. About one in twenty scales of
    unrelated items passes too: read many verdicts together.

    Args:
        answers: Several respondents or versions.
        keys: Per scale, the items that measure it: above 0 in its sense, below 0 against it, 0 or NaN not at all.
        seed: Seed of the random item sets.
        draws: Random item sets per scale.
        statistics: "alpha", "omega" or both.

    Raises:
        InputError: Keys that are no labels, no keyed item among the answers, an unknown statistic, or no draws.
    """
    for name in statistics:
        if name not in STATISTICS:
            raise unknown("statistic", name, STATISTICS)
    if draws < 1:
        raise InputError(f"{draws} draws", where="consistency", expected="at least 1")
    raw, scales = _units(answers, keys)
    tagged = np.unique(np.concatenate([one.items for one in scales]))
    counted = np.isfinite(raw[:, tagged])
    level = np.where(counted, raw[:, tagged], 0.0).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
    out = []
    for ratings, table in (("raw", raw), ("ipsatised", raw - level[:, None])):
        for name in statistics:
            measure = alpha if name == "alpha" else omega
            for scale, one in zip(keys.values, scales, strict=True):
                out.append(_row(table, one, measure, scale, name, ratings, draws, seed))
    return tuple(out)


def _units(answers: AnswerTable, keys: Scores) -> tuple[Table, list[_Scale]]:
    """Return the answers, one row per unit and one column per item that keys and answers share, and the scales."""
    if keys.kind != "label":
        raise InputError(f"{keys.kind} keys", where="consistency", expected="labels: which items measure which scale")
    row = {name: i for i, name in enumerate(keys.sample_ids)}
    shared = [i for i, name in enumerate(answers.item_ids) if name in row]
    x = keys.x[[row[answers.item_ids[i]] for i in shared]]
    if not np.nan_to_num(x).any():
        raise InputError(
            "no answered item has a key",
            where="consistency",
            expected="answers and keys of one instrument",
            do="check the item ids of both",
        )
    cube = answers.cube()[:, :, shared]
    table = cube.reshape(-1, len(shared))
    signs = np.sign(np.nan_to_num(x))
    scales = [_Scale(np.flatnonzero(column), column[column != 0]) for column in signs.T]
    return table[np.isfinite(table).any(axis=1)], scales


def _row(
    table: Table,
    one: _Scale,
    measure: Callable[[Table], float],
    scale: str,
    statistic: str,
    ratings: str,
    draws: int,
    seed: int,
) -> ConsistencyRow:
    rng = np.random.default_rng(seed)
    k = len(one.items)
    estimate, n_units = _complete(table[:, one.items] * one.signs, measure)
    null = np.array([], dtype=np.float64)
    if math.isfinite(estimate):
        sets = (rng.choice(table.shape[1], k, replace=False) for _ in range(draws))
        null = np.array([_complete(table[:, items] * one.signs, measure)[0] for items in sets])
        null = null[np.isfinite(null)]
    edge = float(np.quantile(null, LEVEL)) if len(null) else math.nan
    known = math.isfinite(estimate) and math.isfinite(edge)
    return ConsistencyRow(
        scale=scale,
        statistic=statistic,
        ratings=ratings,
        estimate=estimate,
        null_mean=float(null.mean()) if len(null) else math.nan,
        null_95=edge,
        verdict=("pass" if estimate > edge else "fail") if known else "unknown",
        n_items=k,
        n_units=n_units,
        n_left_out=int(np.isfinite(table[:, one.items]).any(axis=1).sum()) - n_units,
        n_draws=len(null),
    )


def _complete(table: Table, measure: Callable[[Table], float]) -> tuple[float, int]:
    whole = table[np.isfinite(table).all(axis=1)] if table.shape[1] else table[:0]
    return (measure(whole) if len(whole) >= FEWEST_UNITS else math.nan), len(whole)
