"""The search behind `vprobe steer solve`, on responses that are known: bent, leaking, bounded, and with a price."""

from __future__ import annotations

import math

import numpy as np
import pytest
from vprobe import effects
from vprobe.errors import RefusedError
from vprobe.pipeline._wish import ROUNDS, TOLERANCE, Search, Wish

VALUES = ("power", "benevolence", "security")
LEAK = np.array([[1.0, -0.4, 0.3], [-0.5, 1.0, 0.1], [0.2, 0.1, 1.0]])
"""Change of each value (column) per unit of dose of each vector (row)."""


def bent(doses: np.ndarray) -> np.ndarray:
    """Points that level off at 1 either way."""
    return np.tanh(doses @ LEAK)


def search(wish: Wish, *, most: float = 3.0, scale: float = 1.0) -> Search:
    return Search(VALUES, wish, most, bent, lambda doses: scale * float(doses @ doses))


@pytest.mark.parametrize("wrong", [1.0, 0.4, 2.0])
def test_targets_are_reached_whatever_small_doses_promise(wrong: float) -> None:
    found = search(Wish((("benevolence", 0.8), ("power", -0.3)), ("security",))).run(LEAK * wrong)
    assert np.abs(found.reached - [-0.3, 0.8, 0.0]).max() <= TOLERANCE
    assert np.allclose(found.reached, bent(found.doses)) and 1 <= found.rounds <= ROUNDS


def test_a_free_value_may_be_given_up_for_a_target_but_is_not_when_it_need_not_be() -> None:
    found = search(Wish((("benevolence", 0.5),))).run(LEAK)
    assert abs(found.reached[1] - 0.5) <= TOLERANCE and np.abs(found.reached[[0, 2]]).max() < 0.05
    found = search(Wish((("benevolence", 0.5),)), most=0.5).run(LEAK)  # the doses that undo leaks are out of bounds
    assert abs(found.reached[1] - 0.5) <= TOLERANCE and np.abs(found.doses).max() <= 0.5


def test_a_target_beyond_the_scale_or_the_doses_is_refused_with_what_can_be_had() -> None:
    with pytest.raises(RefusedError, match=r"benevolence moves by \+1\.000 .*ends of their scale") as refused:
        search(Wish((("benevolence", 1.5),))).run(LEAK)
    assert str(refused.value).endswith("to do: ask for at most +0.99")  # what can be had, never rounded up
    with pytest.raises(RefusedError, match=r"with a dose of 0\.2, the largest of --strengths") as refused:
        search(Wish((("benevolence", 0.8),)), most=0.2).run(LEAK)
    assert "scale" not in str(refused.value)


def test_the_budget_is_kept_and_used() -> None:
    free = search(Wish((("benevolence", 0.5),), ("power", "security"))).run(LEAK)
    price = float(free.doses @ free.doses)
    dear = search(Wish((("benevolence", 0.5),), ("power", "security"), price * 1.01)).run(LEAK)
    assert dear.kl <= price * 1.01 and np.allclose(dear.doses, free.doses, atol=0.02)
    with pytest.raises(RefusedError, match=r"moves by \+(0\.\d+) within a KL of") as refused:
        search(Wish((("benevolence", 0.5),), ("power", "security"), price / 4)).run(LEAK)
    reached = float(str(refused.value).split("moves by +")[1].split(" ")[0])
    least = math.sqrt(price / 4) * np.linalg.norm(LEAK[:, 1])  # the most that any doses of this price can do
    assert 0.85 * math.tanh(least) < reached <= math.tanh(least) + 1e-3
    kept = search(Wish((("benevolence", round(reached - 0.01, 3)),), ("power", "security"), price / 4)).run(LEAK)
    assert kept.kl <= price / 4
    with pytest.raises(RefusedError, match=r"moves by \+0\.000 within a KL of 1e-09"):
        Search(VALUES, Wish((("power", 0.4),), (), 1e-9), 3.0, bent, lambda doses: 1e-6).run(LEAK)


def test_a_try_that_is_worse_is_not_kept() -> None:
    tried: list[np.ndarray] = []

    def moved(doses: np.ndarray) -> np.ndarray:
        tried.append(doses)
        return bent(doses) if len(tried) > 1 else -bent(doses)

    found = Search(VALUES, Wish((("power", 0.3),)), 3.0, moved, lambda doses: 0.0).run(LEAK)
    assert len(tried) > 1 and abs(found.reached[0] - 0.3) <= TOLERANCE


def test_a_correction_says_what_the_step_changed_and_leaves_other_directions_alone() -> None:
    step, gained = np.array([0.2, -0.1, 0.0]), np.array([0.1, 0.05, -0.3])
    found = effects.turned(LEAK, step, gained)
    assert np.allclose(step @ found, gained)
    across = np.array([[0.1, 0.2, 0.0], [0.0, 0.0, 1.0]])
    assert np.allclose(across @ found, across @ LEAK)


def linear(effect: np.ndarray, wish: Wish, most: float = 3.0, price: float = 1.0) -> Search:
    return Search(VALUES, wish, most, lambda doses: doses @ effect, lambda doses: price * float(doses @ doses))


def test_what_is_to_stay_counts_twenty_times_as_much_as_what_is_free() -> None:
    effect = np.array([[1.0, 0.5, 0.0], [0.0, -1.0, 1.0], [0.0, 0.0, 0.0]])  # what undoes one leak makes another
    for keep, share in ((("benevolence",), 1 / 1.05), (("security",), 0.05 / 1.05), ((), 0.5)):
        found = linear(effect, Wish((("power", 0.5),), keep)).run(effect)
        assert found.reached == pytest.approx([0.5, 0.25 * (1 - share), 0.25 * share], abs=2e-3)


def test_the_search_goes_on_until_what_is_to_stay_stays() -> None:
    effect = np.array([[1.0, 0.5, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]])
    believed = effect * [[1, 0, 1], [1, 1, 1], [1, 1, 1]]  # the leak is not known
    found = linear(effect, Wish((("power", 0.5),), ("benevolence",))).run(believed)
    assert np.abs(found.reached - [0.5, 0.0, 0.0]).max() <= TOLERANCE and found.rounds > 1
    assert abs(linear(effect, Wish((("power", 0.5),))).run(believed).reached[1]) > 0.2, "a free value is let go"


def test_a_correction_is_taken_from_the_best_doses_and_not_from_none() -> None:
    effect, tried = np.diag([1.0, 0.8, 1.2]), []

    def moved(doses: np.ndarray) -> np.ndarray:
        tried.append(doses)
        return doses @ effect

    wish = Wish((("power", 0.6), ("benevolence", -0.4), ("security", 0.9)))
    found = Search(VALUES, wish, 3.0, moved, lambda doses: 0.0).run(np.diag([1.5, 1.5, 1.5]))
    assert np.abs(found.reached - [0.6, -0.4, 0.9]).max() <= TOLERANCE
    # each step by hand: least squares on the effects so far, then Broyden's correction for that step
    believed, doses, reached = np.diag([1.5, 1.5, 1.5]), np.zeros(3), np.zeros(3)
    for one in tried[:3]:
        step = np.linalg.solve(believed.T, np.array([0.6, -0.4, 0.9]) - reached)
        assert one == pytest.approx(doses + step, abs=1e-6)
        gained = step @ effect
        believed = believed + np.outer(step, gained - step @ believed) / (step @ step)
        doses, reached = one, one @ effect


def test_a_budget_is_used_to_within_three_in_a_hundred() -> None:
    effect = np.eye(3)
    for budget in (1e-3, 0.01, 0.08, 0.15):
        with pytest.raises(RefusedError, match=r"power moves by \+(0\.\d+) within a KL of") as refused:
            linear(effect, Wish((("power", 0.5),), (), budget), price=0.7).run(effect)
        reached = float(str(refused.value).split("moves by +")[1].split(" ")[0])
        assert math.sqrt(0.96 * budget / 0.7) - 5e-4 <= reached <= math.sqrt(budget / 0.7) + 5e-4
    found = linear(effect, Wish((("power", 0.5),), (), 0.26)).run(effect)
    assert found.kl == pytest.approx(0.25, abs=1e-3) and found.rounds == 1


def test_a_miss_beyond_the_tolerance_is_refused_and_bent_only_where_responses_bend() -> None:
    effect = np.eye(3)
    for change in (0.513, -0.513):
        with pytest.raises(RefusedError, match=r"with a dose of 0\.504, the largest") as refused:
            linear(effect, Wish((("power", change),)), most=0.504).run(effect)
        assert "ends of their scale" not in str(refused.value)
        assert f"ask for at most {math.copysign(0.5, change):+.2f}, or allow larger ones" in str(refused.value)
    assert abs(linear(effect, Wish((("power", 0.5049),)), most=0.5).run(effect).reached[0] - 0.5) < 1e-6
    steep = np.array([[1.0, 0.9, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    with pytest.raises(RefusedError, match=r"ends of their scale"):
        Search(VALUES, Wish((("power", 0.9),)), 3.0, lambda doses: np.tanh(doses @ steep) * 0.3, lambda doses: 0.0).run(
            steep
        )
