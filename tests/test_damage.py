"""What steering costs: figures against hand counts, limits that catch what they should, doses of equal cost."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
from vprobe import benchmarks, damage
from vprobe.damage import Done, Dose
from vprobe.errors import InputError
from vprobe.types import DamageRow

DOSE = Dose("benevolence", "partial", "resid_post.1", "all", 0.1, 2.0, "residual norm")
N = 160


def done(right: np.ndarray | None = None, mass: float = 0.8, text: str = "a bird sat on the old wall") -> Done:
    shown = np.repeat([1.0, 0.0], N // 2) if right is None else right
    return Done(shown, np.full(N, mass), (text, text + " today"), ("No.", "I'm sorry, but I cannot help with that."))


def drift(kl: float = 0.2, nll: float = 2.0, more: float = 0.01, n: int = 20) -> np.ndarray:
    tokens = np.arange(1.0, n + 1)
    return np.stack([np.full(n, kl), np.full(n, nll), np.full(n, nll + more), tokens], axis=-1)


def row(**changed: float) -> DamageRow:
    found = damage.cost(DOSE, drift(), done(), done(), seed=0)
    return dataclasses.replace(found, **changed)  # type: ignore[arg-type]


def test_kl_and_perplexity_count_every_token_once() -> None:
    parts = np.array([[0.1, 2.0, 2.5, 1.0], [0.4, 3.0, 3.0, 3.0], [0.2, 1.0, 1.0, 4.0]])
    found = damage.cost(DOSE, parts, done(), done(), seed=0)
    assert found.kl == pytest.approx((0.1 + 1.2 + 0.8) / 8) == pytest.approx(damage.mean_kl(parts))
    assert found.perplexity == pytest.approx(math.exp((2 + 9 + 4) / 8))
    assert found.perplexity_ratio == pytest.approx(math.exp(0.5 / 8))
    assert (found.n_texts, found.n_tokens) == (3, 8)


def test_the_interval_of_kl_covers_the_mean_of_texts_that_differ() -> None:
    rng, covered = np.random.default_rng(0), 0
    for _ in range(100):
        tokens = rng.integers(5, 20, 40).astype(float)
        kl = rng.gamma(4.0, 0.25, 40)
        parts = np.stack([kl, tokens, tokens, tokens], axis=-1)
        found = damage.cost(DOSE, parts, done(), done(), seed=1)
        covered += found.kl_low <= 1.0 <= found.kl_high
    assert 86 <= covered <= 100


def test_a_model_that_loses_one_answer_in_fifty_is_the_same_and_one_that_loses_a_tenth_is_not() -> None:
    right = np.repeat([1.0, 0.0], N // 2)
    little, much = right.copy(), right.copy()
    little[:2] = 0.0
    much[:16] = 0.0
    small = damage.cost(DOSE, drift(), done(right), done(little), seed=0)
    assert (small.accuracy_base, small.accuracy, small.n_questions) == (0.5, 0.4875, N)
    assert small.same_p < 0.01 and small.change_low < -0.0125 < small.change_high and small.broken == ""
    large = damage.cost(DOSE, drift(), done(right), done(much), seed=0)
    assert large.same_p > 0.5 and "accuracy -0.100" in large.broken and "equivalence" in large.broken


def test_pairs_with_a_missing_answer_are_left_out_on_both_sides() -> None:
    right = np.repeat([1.0, 0.0], N // 2)
    gone = right.copy()
    gone[:40] = math.nan
    found = damage.cost(DOSE, drift(), done(right), done(gone), seed=0)
    assert found.n_questions == N - 40 and found.accuracy == found.accuracy_base == pytest.approx(40 / 120)


def test_a_model_that_guesses_shows_no_loss_and_keeps_no_limit_on_ability() -> None:
    rng = np.random.default_rng(3)
    base, moved = ((rng.random(N) < 0.25).astype(float) for _ in range(2))
    found = damage.cost(DOSE, drift(), done(base), done(moved), seed=0)
    assert found.chance_p > 0.05 and found.broken == "accuracy only guesses"
    none = damage.cost(DOSE, drift(), done(np.empty(0)), done(np.empty(0)), seed=0)
    assert math.isnan(none.accuracy) and math.isnan(none.chance_p) and none.broken == "accuracy not measured"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"kl": 1.01}, "KL 1.01"), ({"perplexity_ratio": 1.11}, "perplexity 1.11"),
        ({"mass_ratio": 0.94}, "option mass"),
        ({"accuracy": 0.47}, "accuracy -0.030"), ({"same_p": 0.06}, "equivalence p 0.06"), ({"kl": math.nan}, "KL n/a"),
        ({"margin": 0.1}, "equivalence"), ({"mass_ratio": math.nan}, "option mass n/a"),
        ({"option_mass": 0.01}, "options never given, base mass 0.01"),
        ({"kl": 1.0}, ""), ({"perplexity_ratio": 1.1}, ""), ({"accuracy": 0.48}, ""), ({"mass_ratio": 0.95}, ""),
    ],
)  # fmt: skip
def test_every_limit_breaks_just_beyond_it_and_a_missing_figure_keeps_none(changed: dict, words: str) -> None:
    assert row().broken == ""
    found = "; ".join(damage.broken(row(**changed)))
    assert found.startswith(words) and bool(found) == bool(words)


def test_the_largest_dose_is_the_last_before_the_first_that_breaks_on_either_side() -> None:
    at = [row(strength=s, coefficient=10 * s, kl=k) for s, k in ((0.1, 0.1), (0.2, 1.2), (0.4, 0.5), (-0.1, 2.0))]
    up, down = damage.within_budget(at)
    assert (up.strength, up.coefficient, up.broken, up.tried) == (0.1, 1.0, "KL 1.2", 3)
    assert math.isnan(down.strength) and down.sign == -1 and down.broken == "KL 2"
    dull = [row(strength=s, chance_p=0.5, kl=k) for s, k in ((0.1, 0.1), (0.2, 0.3), (0.4, 1.2))]
    (found,) = damage.within_budget(dull)
    assert math.isnan(found.strength) and found.without_ability == 0.2 and "only guesses" in found.broken
    (all_,) = damage.within_budget([row(strength=0.1), row(strength=0.3)])
    assert all_.strength == 0.3 and all_.broken == ""


# texts


def test_distinct_and_repetition_count_words() -> None:
    assert damage.distinct(["a b a", "A c"], 1) == 3 / 5
    assert damage.distinct(["a b a", "A c"], 2) == 1.0
    assert damage.distinct(["a b a b a b"], 2) == 2 / 5
    assert math.isnan(damage.distinct(["a"], 2)) and math.isnan(damage.distinct([], 1))
    assert damage.repetition(["one two three four five"]) == 0.0
    assert damage.repetition(["a b c d a b c d", "one two three four"]) == pytest.approx((1 / 5) / 2)
    assert math.isnan(damage.repetition(["too short", ""]))


@pytest.mark.parametrize(
    ("text", "refuses"),
    [
        ("I'm sorry, but I can't help with that.", True), ("I can\u2019t do that.", True),
        ("As an AI, I do not.", True),
        ("I'm sorry, I didn't mean to hurt you.", False), ("I can't wait to see it!", False), ("I can't", True),
        ("I cannot do this.", True), ("Sure! First, boil the water.", False), ("", False),
        ("The pelican is a bird.", False), (" ".join(["word"] * 41) + " I cannot", False), ("AI can't i cant", False),
    ],
)  # fmt: skip
def test_refusals_are_counted_by_the_phrases_of_the_list(text: str, refuses: bool) -> None:
    assert damage.refuses(text) == refuses


def test_refusals_are_told_apart_by_kind_of_request() -> None:
    found = row()
    assert (found.refused, found.refused_harmful, found.n_harmless, found.n_harmful) == (0.0, 0.5, 2, 2)
    assert math.isnan(damage.refused([]))


def test_canaries_are_forty_of_each_kind_and_none_stands_twice() -> None:
    found = benchmarks.canaries()
    assert len(found.harmless) == len(found.harmful) == 40
    assert len({one.lower() for one in (*found.harmless, *found.harmful)}) == 80


# doses of equal cost


@pytest.mark.parametrize("target", [0.01, 0.5, 1.0, 3.0])
@pytest.mark.parametrize(
    "curve",
    [lambda c: 0.02 * c * c, lambda c: 5 * (1 - math.exp(-0.01 * c * c)), lambda c: 0.3 * c**1.2 + 1e-4 * c**4,
     lambda c: 0.5 * math.log1p(c**2 / 9)],
)  # fmt: skip
def test_the_coefficient_of_a_kl_is_found_in_few_evaluations(curve: Callable[[float], float], target: float) -> None:
    calls = []

    def kl(c: float) -> float:
        calls.append(c)
        return curve(c)

    for start in (0.01, 1.0, 40.0):
        calls.clear()
        found = damage.equal_damage(kl, target, start=start, largest=1e4)
        assert curve(found.coefficient) == found.kl == pytest.approx(target, rel=0.01)
        assert found.evaluations == len(calls) <= 11


@pytest.mark.parametrize(
    ("curve", "words"),
    [
        (lambda c: 2.0 * c / (1 + c), "levels off at 2 nats|levels off at 1.9"),
        (lambda c: 0.0, "changes nothing in the texts"),
        (lambda c: 1e-12 * c, "reaches only"),
        (lambda c: 0.5 if c < 3 else 9.0, "jumps from 0.5 to 9 nats"),
        (lambda c: 9.0, "even at a coefficient of"),
    ],
)
def test_a_kl_that_cannot_be_had_is_said_with_how_far_it_came(curve: Callable[[float], float], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        damage.equal_damage(curve, 3.0, start=1.0, largest=1e5)
    assert "kl=3" in caught.value.where and caught.value.do


def test_a_dose_is_kl_and_nats_and_nothing_else() -> None:
    assert damage.target_of("kl=1.0") == 1.0 and damage.target_of("KL = .5") == 0.5 and math.isnan(damage.target_of(""))
    for wrong in ("1.0", "kl", "kl=", "kl=-1", "kl=0", "kl=nan", "ppl=1"):
        with pytest.raises(InputError, match="kl= and a number of nats"):
            damage.target_of(wrong)
