"""Every part of a check is needed: a toy model wrong in one verb, rule or row only is named by the check it is in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from vprobe import conformance
from vprobe.errors import ModelError
from vprobe.types import STEER_POSITIONS, Site, Steered, Steering

from tests.toy_backend import DEFECTS, POINTS, Toy

VERBS = ("read", "choose", "generate")
BY_VERB = {one: DEFECTS[one] for one in ("first list for all", "pads count", "hooks stay")} | {
    "zero acts": DEFECTS["zero changes"]
}
RULES = (*STEER_POSITIONS[:5], "from:0", "from:-1")


class Partly(Toy):
    """A toy model with a defect in one verb only, or only in changes of some kind."""

    def __init__(self, defect: str, verb: str = "", when: Callable[[Steering], bool] = lambda _: True) -> None:
        super().__init__("")
        self.wrong, self.verb, self.when = defect, verb, when

    @contextmanager
    def _in(self, verb: str) -> Iterator[None]:
        left = self._left
        self.defect = self.wrong if verb == self.verb or self.wrong == "hooks stay" else ""
        self._left = left if verb == self.verb else []
        try:
            yield
        finally:
            self._left, self.defect = self._left or left, ""

    def read(self, *given: Any, **named: Any) -> np.ndarray:
        with self._in("read"):
            return super().read(*given, **named)

    def choose(self, *given: Any, **named: Any) -> Any:
        with self._in("choose"):
            return super().choose(*given, **named)

    def generate(self, *given: Any, **named: Any) -> Any:
        with self._in("generate"):
            return super().generate(*given, **named)

    def _changed(self, one: Steering, x: np.ndarray, acts: np.ndarray, twice: np.ndarray) -> np.ndarray:
        if self.defect == "zero acts" and one.coefficient == 0:
            one = replace(one, coefficient=20.0)
        if self.verb or not self.when(one):
            return super()._changed(one, x, acts, twice)
        if self.wrong == "ignored":
            return x
        if self.wrong == "all tokens":
            return super()._changed(one, x, np.ones_like(acts), twice)
        if self.wrong == "a little short":
            return super()._changed(replace(one, coefficient=0.98 * one.coefficient), x, acts, twice)
        assert self.wrong == "twice when decoding"
        late = np.arange(len(x)) >= len(x) - 1
        return super()._changed(one, x, acts, acts & late & self._writes)

    _writes = False

    def _run(self, *given: Any, written: int = 0, **named: Any) -> Any:
        self._writes = written > 0
        return super()._run(*given, written=written, **named)


def found(backend: Any, *names: str) -> tuple[conformance.Check, ...]:
    return conformance.check(backend, only=names)


def passed(backend: Any, *names: str) -> list[bool | None]:
    return [row.passed for row in found(backend, *names)]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("defect", BY_VERB)
def test_a_defect_of_one_verb_is_enough(defect: str, verb: str) -> None:
    assert passed(Partly(defect, verb), BY_VERB[defect]) == [False]


def test_a_toy_with_nothing_wrong_in_a_verb_passes_these_checks() -> None:
    assert set(passed(Partly("", "choose"), *BY_VERB.values())) == {True}


class Leaving(Toy):
    """One verb leaves its change in place, or takes one of another model."""

    def __init__(self, verb: str, defect: str) -> None:
        super().__init__("")
        self.verb, self.wrong = verb, defect

    def __getattribute__(self, name: str) -> Any:
        if name in VERBS:
            self.defect = self.wrong if name == self.verb else ""
        return super().__getattribute__(name)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("defect", ["hooks stay", "any model"])
def test_every_verb_is_steered_where_nothing_may_stay_and_nothing_foreign_may_pass(defect: str, verb: str) -> None:
    assert passed(Leaving(verb, defect), DEFECTS[defect]) == [False]


@pytest.mark.parametrize("rule", RULES)
def test_every_position_rule_is_tried(rule: str) -> None:
    assert passed(Partly("ignored", when=lambda one: one.positions == rule), DEFECTS["prompt is all"]) == [False]


@pytest.mark.parametrize("rule", ["prompt", "after_prompt", "last_prompt"])
def test_a_rule_that_steers_what_it_does_not_name_is_found_out(rule: str) -> None:
    assert passed(Partly("all tokens", when=lambda one: one.positions == rule), DEFECTS["prompt is all"]) == [False]


@pytest.mark.parametrize("rule", ["prompt", "last_prompt", "response"])
def test_rules_that_reach_the_end_of_the_prompt_must_move_the_first_answer_token(rule: str) -> None:
    toy = Partly("ignored", when=lambda one: one.positions == rule)
    assert passed(toy, DEFECTS["response is after"]) == [False]


@pytest.mark.parametrize("rule", ["all", "response", "after_prompt"])
def test_steps_after_the_prompt_are_compared_under_every_rule(rule: str) -> None:
    assert passed(Partly("twice when decoding", when=lambda one: one.positions == rule), DEFECTS["decoding twice"]) == [
        False
    ]


@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_written_and_what_is_chosen_are_compared_both_ways(sign: int) -> None:
    class Mute(Toy):
        def generate(self, rows: Any, *, steering: Steered = (), **given: Any) -> Any:
            kept = [one for one in steering if isinstance(one, Steering) and one.coefficient * sign <= 0]
            return super().generate(rows, steering=kept, **given)

    assert passed(Mute(), DEFECTS["writing unsteered"]) == [False]


def test_rows_beyond_the_first_must_move_too_when_options_are_scored() -> None:
    assert passed(Partly("row 0 only", "choose"), DEFECTS["choices unsteered"]) == [False]


def test_a_change_that_is_two_parts_in_a_hundred_short_is_not_as_told() -> None:
    assert passed(Partly("a little short"), "every row of a batch is steered") == [False]


class Shown(Toy):
    """What is steered is shown, and nothing is handed on."""

    def read(self, rows: Any, sites: Sequence[Site], positions: Sequence[str], *, steering: Steered = ()) -> np.ndarray:
        plain, moved = (super(Shown, self).read(rows, sites, positions, steering=given) for given in ((), steering))
        at = {one.at for one in steering if isinstance(one, Steering)}
        kept = np.array([site in at for site in sites])
        return np.where(kept[:, None], moved, plain)


@pytest.mark.parametrize("defect", ["one block off", "heads mixed", "neurons ignored"])
def test_what_is_steered_must_be_handed_on(defect: str) -> None:
    assert passed(Shown(), DEFECTS[defect]) == [False]


def test_one_block_off_is_found_out_where_nothing_but_blocks_outputs_can_be_read() -> None:
    points = tuple(one for one in POINTS if one != "resid_pre")
    assert passed(Toy("one block off", points=points), DEFECTS["one block off"]) == [False]
    assert passed(Toy(points=points), DEFECTS["one block off"]) == [True]


class Told(Toy):
    """Errors in an operation are swallowed, or leave the change in place."""

    stays = False

    def choose(self, rows: Any, *, steering: Steered = ()) -> Any:
        try:
            return super().choose(rows, steering=steering)
        except Exception:
            if not self.stays:
                return super().choose(rows)
            self._left = [Steering(self._add, steering[0].direction, 1.0)]  # type: ignore[union-attr]
            raise

    _add: Any = None


def test_an_error_must_come_out_and_leave_nothing() -> None:
    from vprobe import steering

    swallowing, leaving = Told(), Told()
    leaving.stays, leaving._add = True, steering.load("add")
    for one, words in ((swallowing, "did not come out"), (leaving, "stays after the call")):
        (row,) = found(one, DEFECTS["hooks stay"])
        assert row.passed is False and words in row.found


def test_readings_must_be_float32() -> None:
    class Wide(Toy):
        def read(self, *given: Any, **named: Any) -> np.ndarray:
            return super().read(*given, **named).astype(np.float64)

    assert passed(Wide(), DEFECTS["half precision"]) == [False]


def test_only_a_models_own_error_is_a_refusal() -> None:
    class Broken(Toy):
        def choose(self, rows: Any, *, steering: Steered = ()) -> Any:
            try:
                return super().choose(rows, steering=steering)
            except ModelError as error:
                raise KeyError("direction") from error

    (row,) = found(Broken(), DEFECTS["any model"])
    assert row.passed is False and "KeyError" in row.found


def test_the_first_token_alone_does_not_show_that_the_answer_is_steered() -> None:
    class First(Toy):
        def generate(self, rows: Any, *, steering: Steered = (), **given: Any) -> Any:
            plain = super().generate(rows, **given)
            return tuple(replace(one, ids=(one.ids[0] + 1, *one.ids[1:])) for one in plain) if steering else plain

    assert passed(First(), DEFECTS["decoding unsteered"]) == [False]
