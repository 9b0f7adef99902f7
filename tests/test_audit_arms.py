"""What an audit adds: parts of a vector of being told that add up to it, and what other instructions alone share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from vprobe import benchmarks, effects, prompts
from vprobe.benchmarks import Ask
from vprobe.config import RunConfig
from vprobe.pipeline import _audit
from vprobe.pipeline._audited import PURGED, SHARED, STEERED, TOLD
from vprobe.pipeline._nulls import Trial
from vprobe.pipeline._read import Asked
from vprobe.pipeline._trial import Tried
from vprobe.types import Direction, Site

from tests.toy_backend import Toy

D = 8
RNG = np.random.default_rng(0)
NOTHING = Asked((), (), ())
TARGET = Direction(np.eye(D, dtype=np.float32)[0], Site(1), "power", "partial", "write", unit=3.0)
TRIAL = Trial(TARGET, (), np.zeros((0, D)), Tried(np.arange(0), True, NOTHING, (), (), ()), np.zeros((0, 1)))


def test_the_parts_of_a_vector_of_being_told_add_up_to_it_at_every_dose() -> None:
    told, shared = RNG.standard_normal(D), effects.shared_part(RNG.standard_normal((5, D)) + 2.0)
    arms = _audit._arms(RunConfig(), TRIAL, _audit.Channel(told, shared, "system prompt"), (-0.1, 0.2))
    put: dict[tuple[str, float], Any] = {
        (arm, dose): one.coefficient * one.direction.vector.astype(np.float64) for arm, dose, (one,) in arms
    }
    assert {arm for arm, _ in put} == {STEERED, TOLD, PURGED, SHARED} and len(put) == 8
    for dose in (-0.1, 0.2):
        np.testing.assert_allclose(put[STEERED, dose], dose * 3.0 * TARGET.vector, atol=1e-6)
        np.testing.assert_allclose(put[TOLD, dose], dose * 3.0 * told / np.linalg.norm(told), atol=1e-6)
        np.testing.assert_allclose(put[PURGED, dose] + put[SHARED, dose], put[TOLD, dose], atol=1e-6)
        assert abs(put[PURGED, dose] @ shared.direction) < 1e-6
    alone = _audit._arms(RunConfig(), TRIAL, _audit.Channel(), (0.2,))
    assert [arm for arm, _, _ in alone] == [STEERED], "nobody asks for the value"


def test_what_instructions_share_is_that_of_the_others_and_being_asked_is_for_the_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("power+1", "power+2", "power-1", "tradition+1", "tradition-1", "tradition+2")
    asks = [Ask(name, name[:-2], int(f"{name[-2]}1"), name) for name in names] + [Ask("plain", "", 0, "plain")]
    seen = {ask.id: np.eye(D)[n] + 0.1 for n, ask in enumerate(asks)}
    monkeypatch.setattr(_audit, "told_vector", lambda backend, few, ask, *_: seen[ask.id])
    monkeypatch.setattr(_audit, "read_at", lambda *_: np.zeros((1, D)))
    few = Asked(tuple(prompts.render(benchmarks.load("everyday", limit=1), template="v1"))[:1], (), ())
    backend: Any = Toy()
    found = _audit._channel(backend, few, TRIAL, RunConfig(), asks)
    assert found.told is not None and found.shared is not None
    np.testing.assert_allclose(found.told, (seen["power+1"] + seen["power+2"]) / 2)
    rest = (seen["tradition+1"] + seen["tradition-1"] + seen["plain"]) / 3
    np.testing.assert_allclose(found.shared.direction, rest / np.linalg.norm(rest))
    assert found.shared.n == 3
    few_asks = [ask for ask in asks if ask.value != ""]
    assert _audit._channel(backend, few, TRIAL, RunConfig(), few_asks).told is None, "two others share too little"
