"""What was published about models' values, each put as a number that is above zero where it holds, and tested."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy import stats as scipy_stats

from vprobe import stats
from vprobe import values as words
from vprobe.compare._effects import PER_DOUBLING, size_slope, stage_difference
from vprobe.compare._families import Estimate, mean, negative
from vprobe.compare._table import Profiles

ALPHA = 0.05
HIGH, LOW = ("benevolence", "security", "self_direction"), ("tradition", "power", "achievement")
PORTRAIT = "Han et al. (2025), Value Portrait"
VALUELEX = "Biedma et al. (2024), ValueLex"


@dataclass(frozen=True)
class FindingRow:
    """A published finding, tested on the models at hand.

    Args:
        finding: What was claimed.
        source: By whom.
        statistic: The number that is above zero where it holds.
        unit: What 1.0 of it means.
        estimate: That number; NaN where it cannot be estimated.
        low: Lower end of the 95 % interval over families.
        high: Upper end.
        p: Two-sided, of this finding alone.
        p_holm: The same, corrected for the findings tested here together; see `stands`.
        n_models: Models it rests on.
        n_families: Families they are from.
        stands: The estimate is above zero with p of .05 or less, by itself: each finding was predicted by its source.
            Where one is picked out of these after looking, `p_holm` is the one to read.
        reason: Why it does not stand, or what to know where it does; may be empty.
    """

    finding: str
    source: str
    statistic: str
    unit: str
    estimate: float
    low: float
    high: float
    p: float
    p_holm: float
    n_models: int
    n_families: int
    stands: bool
    reason: str = ""


def findings(table: Profiles) -> tuple[FindingRow, ...]:
    """Test the published findings that speak of these scales; none where they are other scales.

    Value Portrait's are tested on any instrument that scores the ten Schwartz values, ValueLex's on any that scores
    its three dimensions.

    Args:
        table: The scores.
    """
    found: tuple[FindingRow, ...] = ()
    if set(words.SCHWARTZ) == set(table.values):
        found = _value_portrait(table)
    if set(words.VALUELEX) == set(table.values):
        found = _valuelex(table)
    several = stats.holm(np.array([row.p for row in found])).tolist()
    return tuple(replace(row, p_holm=p) for row, p in zip(found, several, strict=True))


def _value_portrait(table: Profiles) -> tuple[FindingRow, ...]:
    benevolence = stage_difference(table, table.column("benevolence"), "reasoning", "instruct")
    apart = size_slope(table, np.std(table.x, axis=1))
    out = [
        _row("The ten values lie further apart in larger models", PORTRAIT, "SD over the ten values",
             f"{table.unit}, {PER_DOUBLING}", apart),
        _row("Reasoning models are higher on Benevolence", PORTRAIT, "reasoning less instruct", table.unit, benevolence,
             stages=True),
    ]  # fmt: skip
    ranks, claims = _ranks(table.x), ((HIGH, "high", "above"), (LOW, "low", "below"))
    for names, claimed, side in claims:
        for value in names:
            over = mean(ranks[:, table.values.index(value)], table.families)
            over = over if claimed == "high" else negative(over)
            title, statistic = f"{words.title(value)} is {claimed}", f"ranks {side} the middle of the ten values"
            out.append(_row(title, PORTRAIT, statistic, "ranks", over))
    return tuple(out)


def _valuelex(table: Profiles) -> tuple[FindingRow, ...]:
    """Test ValueLex's findings.

    What was published does not say how consistency was measured. Here a model is consistent when the item scores of
    one dimension lie close together: minus their SD, averaged over the three dimensions.
    """
    competence = table.column("competence")
    others = (table.column("character") + table.column("integrity")) / 2.0
    agreed = stage_difference(table, -table.spread.mean(axis=1), "instruct", "base")
    above = [
        _row(f"Competence is valued more than {words.title(other)}", VALUELEX, f"Competence less {words.title(other)}",
             table.unit, mean(competence - table.column(other), table.families))
        for other in ("character", "integrity")
    ]  # fmt: skip
    return (
        *above,
        _row("Larger models favour Competence", VALUELEX, "Competence less the mean of the other two",
             f"{table.unit}, {PER_DOUBLING}", size_slope(table, competence - others)),
        _row("Instruction tuning raises consistency", VALUELEX, "SD of a dimension's item scores, base less instruct",
             table.unit, agreed, stages=True),
    )  # fmt: skip


def _ranks(x: Float[np.ndarray, "model value"]) -> Float[np.ndarray, "model value"]:
    """Return each value's rank within its model, less the middle rank; a model that lacks a value has none."""
    whole = np.isfinite(x).all(axis=1)
    out = np.full(x.shape, np.nan)
    if whole.any():
        out[whole] = scipy_stats.rankdata(x[whole], axis=1) - (x.shape[1] + 1) / 2.0
    return out


def _row(finding: str, source: str, statistic: str, unit: str, found: Estimate, *, stages: bool = False) -> FindingRow:
    above, clear = found.estimate > 0, found.p <= ALPHA
    reasons = [_reason(found, above=above, clear=clear)]
    larger = found.n_families - found.n_matched
    if stages and larger and not found.reason:
        reasons.append(f"models of unlike or unknown size were compared in {larger} of {found.n_families} families")
    return FindingRow(
        finding, source, statistic, unit, found.estimate, found.low, found.high, found.p, math.nan, found.n_models,
        found.n_families, bool(above and clear), "; ".join(one for one in reasons if one),
    )  # fmt: skip


def _reason(found: Estimate, *, above: bool, clear: bool) -> str:
    if found.reason:
        return found.reason
    if not above:
        return "the opposite, p of .05 or less" if clear else "the estimate is not above zero"
    return "" if clear else "p is above .05"
