"""Figures of a dose's cost on data in which every column differs, and budgets other than the usual one."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy.stats import binom
from vprobe import damage
from vprobe.damage import Budget, Done, Dose
from vprobe.types import DamageRow

DOSE = Dose("benevolence", "partial", "resid_post.1", "all", 0.1, 2.0, "residual norm")
DRIFT = np.stack([np.full(12, 0.2), np.full(12, 2.0), np.full(12, 2.01), np.arange(1.0, 13.0)], axis=-1)
WIDE = Budget(kl=2.0, perplexity_ratio=1.3, drop=0.2, margin=0.3, mass_ratio=0.5)


def shares(right: int, n: int = 40, missing: tuple[int, ...] = ()) -> np.ndarray:
    out = np.r_[np.ones(right), np.zeros(n - right)]
    out[list(missing)] = math.nan
    return out


def done(right: np.ndarray, mass: tuple[float, ...] = (0.8,), harmless: str = "a b c d", harmful: str = "No.") -> Done:
    return Done(right, np.array(mass), (harmless, "I cannot do that."), (harmful, "I will not.", "Sure."))


BASE = done(shares(30), (0.9, 0.7), "a b c d e f", "I won't.")
STEERED = done(shares(28), (0.2, 0.4), "a a a a a a a a", "Fine.")
"""Differ in everything."""


def row(**changed: float | str) -> DamageRow:
    found = damage.cost(DOSE, DRIFT, BASE, BASE, seed=0)
    return dataclasses.replace(found, **changed)  # type: ignore[arg-type]


def test_both_sides_stand_where_they_belong() -> None:
    found = damage.cost(DOSE, DRIFT, BASE, STEERED, seed=0)
    assert (found.accuracy_base, found.accuracy) == (0.75, 0.7)
    assert found.option_mass == pytest.approx(0.8) and found.mass_ratio == pytest.approx(0.3 / 0.8)
    # ten words that differ; the same word eight times and four others
    assert found.distinct_1_base == 10 / 10 and found.distinct_1 == 5 / 12
    assert found.repetition == pytest.approx((4 / 5 + 0) / 2) and found.repetition_base == 0
    assert (found.refused_base, found.refused) == (0.5, 0.5)
    assert found.refused_harmful_base == pytest.approx(2 / 3) and found.refused_harmful == pytest.approx(1 / 3)
    assert found.change_low < -0.05 < found.change_high < 0.02


def test_missing_answers_of_either_side_leave_the_pair_out() -> None:
    left, right = shares(30, missing=(0, 1)), shares(30, missing=(1, 39))
    found = damage.cost(DOSE, DRIFT, done(left), done(right), seed=0)
    assert found.n_questions == 37 and found.accuracy_base == found.accuracy == pytest.approx(28 / 37)


def test_guessing_is_judged_by_the_model_without_steering_and_one_sided() -> None:
    for count in (20, 12, 4):
        found = damage.cost(DOSE, DRIFT, done(shares(count)), done(shares(10)), seed=0)
        assert found.chance_p == pytest.approx(float(binom.sf(count - 1, 40, 0.25)))


def test_answers_that_never_change_bound_the_share_that_may() -> None:
    for n in (20, 60, 200):
        found = damage.cost(DOSE, DRIFT, done(shares(n // 2, n)), done(shares(n // 2, n)), seed=0)
        most = float(found.change_high)
        assert found.change_low == -most and (1 - most) ** n == pytest.approx(0.05)
        assert found.same_p == pytest.approx(0.95**n)
        wide = damage.cost(DOSE, DRIFT, done(shares(n // 2, n)), done(shares(n // 2, n)), seed=0, budget=WIDE)
        assert wide.same_p == pytest.approx(0.7**n) and wide.margin == 0.3


def test_the_interval_of_kl_counts_tokens_and_not_texts() -> None:
    long = np.array([[1.0, 2.0, 2.0, 1000.0]] * 4 + [[5.0, 2.0, 2.0, 1.0]] * 20)
    found = damage.cost(DOSE, long, BASE, BASE, seed=0)
    assert found.kl_low <= found.kl <= found.kl_high < 1.1


def test_limits_are_those_of_the_budget_given() -> None:
    loose = {
        "kl": 1.9, "perplexity_ratio": 1.29, "accuracy": 0.56, "margin": 0.2, "mass_ratio": 0.51,
    }  # fmt: skip
    for name, value in loose.items():
        assert damage.broken(row(**{name: value, "same_p": 0.01}), WIDE) == (), name
        if name != "margin":
            assert damage.broken(row(**{name: value, "same_p": 0.01})) != (), name
    beyond = {"kl": 2.1, "perplexity_ratio": 1.31, "accuracy": 0.54, "margin": 0.31, "mass_ratio": 0.49}
    for name, value in beyond.items():
        assert len(damage.broken(row(**{name: value, "same_p": 0.01}), WIDE)) == 1, name
    costly = DRIFT.copy()
    costly[:, 0] = 1.5
    assert "KL" in damage.cost(DOSE, costly, BASE, BASE, seed=0).broken
    assert "KL" not in damage.cost(DOSE, costly, BASE, BASE, seed=0, budget=WIDE).broken


def test_the_mean_is_held_against_the_limit_and_a_missing_p_is_guessing() -> None:
    fine = {"same_p": 0.01}
    assert damage.broken(row(kl=0.9, kl_high=1.4, **fine)) == ()
    assert damage.broken(row(chance_p=math.nan, **fine)) == ("accuracy only guesses",)
    assert damage.broken(row(accuracy_base=0.5, accuracy=0.48, **fine)) == ()
    assert damage.broken(row(accuracy_base=0.5, accuracy=0.9, **fine)) == ()  # a gain is no loss
    assert damage.broken(row(option_mass=math.nan, **fine)) == ()


def test_every_value_and_side_has_its_own_largest_dose_and_none_is_counted_at_zero() -> None:
    fine = {"same_p": 0.01}
    rows = [
        row(value=value, strength=s, coefficient=10 * s, kl=kl, **fine)
        for value, s, kl in (
            ("power", 0.0, 9.0), ("security", -0.4, 0.4), ("power", 0.2, 0.1), ("security", -0.1, 0.1),
            ("power", 0.1, 0.1), ("security", 0.3, 5.0), ("power", 0.4, 5.0), ("power", 0.5, 7.0),
        )
    ]  # fmt: skip
    found = {(one.value, one.sign): one for one in damage.within_budget(rows)}
    assert set(found) == {("power", 1), ("security", 1), ("security", -1)}
    assert (found["power", 1].strength, found["power", 1].tried, found["power", 1].broken) == (0.2, 4, "KL 5")
    assert (found["security", -1].strength, found["security", -1].coefficient) == (-0.4, -4.0)
    assert math.isnan(found["security", 1].strength) and math.isnan(found["security", 1].without_ability)


def test_a_dose_that_breaks_other_limits_ends_the_search_on_both_counts() -> None:
    rows = [
        row(strength=s, kl=kl, option_mass=mass, same_p=0.01)
        for s, kl, mass in ((0.1, 0.1, 0.2), (0.2, 3.0, 0.2), (0.3, 0.2, 0.2), (0.4, 0.1, 0.8))
    ]
    (found,) = damage.within_budget(rows)
    assert math.isnan(found.strength) and found.without_ability == 0.1
    assert found.broken.startswith("options never given") and "KL" not in found.broken


def test_a_dose_is_read_off_on_logarithms_of_both_with_its_sign() -> None:
    for sign in (1, -1):
        doses, kls = [sign * 4.0, sign * 1.0, 0.0, sign * 2.0], [1.6, 0.1, 0.0, 0.4]
        assert damage.read_off(doses, kls, 0.9) == pytest.approx(sign * 3.0)
        assert damage.read_off(doses, kls, 1.6) == pytest.approx(sign * 4.0)
        assert damage.read_off(doses, kls, 0.1) == pytest.approx(sign * 1.0)
        assert math.isnan(damage.read_off(doses, kls, 1.7)) and math.isnan(damage.read_off(doses, kls, 0.09))
    assert damage.read_off([1.0, 2.0, 4.0], [0.0, 0.4, 1.6], 0.9) == pytest.approx(3.0)
    assert math.isnan(damage.read_off([1.0, 2.0, 4.0], [0.0, 0.4, 1.6], 0.2))
    assert math.isnan(damage.read_off([1.0, 2.0, 4.0], [math.inf, 0.4, math.nan], 0.9))


def test_nothing_is_tried_beyond_the_largest_and_a_flat_stretch_is_not_the_end() -> None:
    tried: list[float] = []

    def slow(c: float) -> float:
        tried.append(c)
        return 1e-3 * c

    with pytest.raises(Exception, match="the largest tried"):
        damage.equal_damage(slow, 3.0, start=1.0, largest=50.0)
    assert max(tried) == 50.0 and len(tried) < 12
    found = damage.equal_damage(lambda c: 0.02 * c * c, 0.005, start=1.0, largest=50.0)
    assert found.kl == pytest.approx(0.005, rel=0.01), "the tolerance is a share of the target"
    nearly = damage.equal_damage(lambda c: 0.02 * c * c, 4.0, start=10.0, largest=math.sqrt(200.0) + 1e-9)
    assert nearly.kl == pytest.approx(4.0, rel=0.01)
    with pytest.raises(Exception, match="levels off at"):
        damage.equal_damage(lambda c: 2.0 + 1e-4 * math.log(c), 3.0, start=1.0, largest=1e9)
