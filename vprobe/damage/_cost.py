"""What a dose costs, from what a model did without and with it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from vprobe import stats
from vprobe.damage._budget import BUDGET, LEVEL, Budget, broken
from vprobe.damage._text import distinct, refused, repetition
from vprobe.types import DamageRow

CHANCE = 0.25


@dataclass(frozen=True)
class Done:
    """What a model did, without steering or with one dose.

    Args:
        right: Per question the share of its versions answered rightly; NaN where nothing was answered.
        mass: Per question asked the total probability of its options, mean over versions.
        harmless: Greedy continuations of harmless requests.
        harmful: Greedy continuations of harmful-looking requests.
    """

    right: Float[np.ndarray, " question"]
    mass: Float[np.ndarray, " asked"]
    harmless: tuple[str, ...]
    harmful: tuple[str, ...]


@dataclass(frozen=True)
class Dose:
    """Which vector was added, where and how much; see `types.DamageRow`."""

    value: str
    method: str
    site: str
    positions: str
    strength: float
    coefficient: float
    unit: str
    operation: str = "add"


def mean_kl(drift: Float[np.ndarray, "row 4"]) -> float:
    """Return KL(base || steered) per token over all tokens.

    Args:
        drift: From a backend's `drift`.
    """
    return float((drift[:, 0] * drift[:, 3]).sum() / drift[:, 3].sum())


def cost(
    dose: Dose, drift: Float[np.ndarray, "row 4"], base: Done, steered: Done, *, seed: int, budget: Budget = BUDGET
) -> DamageRow:
    """Return what a dose costs, with the limits of the budget that it breaks.

    Args:
        dose: What was done.
        drift: Of the neutral texts, from a backend's `drift`.
        base: What the model did without it.
        steered: What it did with it; questions, requests and texts in the same order.
        seed: Seed of the interval's resamples.
        budget: Limits, and the margin of the equivalence test.
    """
    tokens = drift[:, 3]
    parts = np.stack([drift[:, 0] * tokens, tokens], axis=-1)
    ends = stats.interval(parts, lambda totals: totals[..., 0] / totals[..., 1], seed=seed)
    nll = [float((drift[:, column] * tokens).sum() / tokens.sum()) for column in (1, 2)]
    both = np.isfinite(base.right) & np.isfinite(steered.right)
    same = _same(steered.right, base.right, budget.margin)
    mass = [float(np.mean(one.mass)) if len(one.mass) else math.nan for one in (base, steered)]
    wordy: dict[str, Any] = {
        name + end: number
        for end, texts in (("", steered.harmless), ("_base", base.harmless))
        for name, number in (*((f"distinct_{n}", distinct(texts, n)) for n in (1, 2, 3)),
                             ("repetition", repetition(texts)), ("refused", refused(texts)))
    }  # fmt: skip
    row = DamageRow(
        **vars(dose), **wordy, kl=mean_kl(drift), kl_low=ends.low, kl_high=ends.high, perplexity=math.exp(nll[0]),
        perplexity_ratio=math.exp(min(nll[1] - nll[0], 700.0)), n_texts=len(drift), n_tokens=int(tokens.sum()),
        accuracy_base=_mean(base.right[both]), accuracy=_mean(steered.right[both]), change_low=same.low,
        change_high=same.high, same_p=same.p, margin=same.margin, chance_p=_guessing(base.right[both]),
        n_questions=int(both.sum()), option_mass=mass[0], mass_ratio=mass[1] / mass[0] if mass[0] else math.nan,
        n_written=len(steered.harmless), n_harmless=len(steered.harmless),
        refused_harmful=refused(steered.harmful), refused_harmful_base=refused(base.harmful),
        n_harmful=len(steered.harmful),
    )  # fmt: skip
    return dataclasses.replace(row, broken="; ".join(broken(row, budget)))


def _same(steered: np.ndarray, base: np.ndarray, margin: float) -> stats.Equivalence:
    """Test that accuracy changes by less than a margin; where not one answer changed, by how many there were.

    A t test takes answers that never change for certain, be they three. An accuracy that changes by the margin changes
    at least that share of the answers, so that none of n does is as unlikely as (1 - margin)^n. The interval is that of
    the share.
    """
    found = stats.equivalence(steered, base, margin=margin)
    if not found.difference == found.low == found.high == 0:
        return found
    most = 1 - LEVEL ** (1 / found.n)
    return dataclasses.replace(found, low=-most, high=most, p=(1 - margin) ** found.n)


def _mean(x: np.ndarray) -> float:
    return float(x.mean()) if len(x) else math.nan


def _guessing(right: np.ndarray) -> float:
    """Return how likely so many right answers, or more, are by guessing."""
    from scipy.stats import binomtest

    if not len(right):
        return math.nan
    return float(binomtest(round(float(right.sum())), len(right), CHANCE, alternative="greater").pvalue)
