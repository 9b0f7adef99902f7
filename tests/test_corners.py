"""Corners of the engine: sweeps where heads and neurons speak, batches that nothing changes, several threads."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from vprobe import steering
from vprobe.backends import _choose
from vprobe.errors import InputError
from vprobe.steering import Given
from vprobe.types import Operation, Site, Steering

from tests import tiny
from tests.test_backend_hf import Case, case

torch.set_num_threads(1)
ADD = Operation("add", lambda x, v, c: x + c * v)


def gap(found: Sequence[Any], wanted: Sequence[Any]) -> float:
    x, y = (np.array([v for arm in side for row in arm for v in row]) for side in (found, wanted))
    return float(np.abs(x - y).max())


def inside(one: Case) -> dict[str, Steering]:
    """One change where neurons speak, and one where heads do."""
    rng, inner = np.random.default_rng(4), dict(one.engine._inner)
    some = rng.random(inner["mlp_neurons"]) < 0.5
    neurons = steering.neurons(np.where(some, rng.standard_normal(len(some)), 0.0), some, layer=1, value="power")
    own = rng.standard_normal((2, inner["head_out"] // 4))
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    heads = steering.heads(own, [0, 2], [1.5, 0.5], head_count=4, layer=1, value="power")
    given = Given(target=2.0, heads=(0, 2), head_count=4, width=inner["head_out"])
    return {
        "neuron-scale": Steering(steering.load("neuron-scale"), neurons, 1.5),
        "neuron-shift": Steering(steering.load("neuron-shift"), neurons, 3.0 * neurons.unit, "response"),
        "neuron-clamp": Steering(steering.load("neuron-clamp", given), neurons, 1.0),
        "per-head": Steering(steering.load("per-head", given), heads, 4.0 * heads.unit),
    }


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral"])
def test_doses_on_heads_and_neurons_give_what_each_gives_alone(family: str, tmp_path: Path) -> None:
    one = case(tiny.build(family, tmp_path))
    for name, change in inside(one).items():
        arms = [(), *((replace(change, coefficient=change.coefficient * dose),) for dose in (0.5, 1.0))]
        apart = [one.engine.choose(one.answers, steering=arm) for arm in arms]
        assert gap(one.engine.choose_arms(one.answers, arms), apart) < 1e-4, name
        assert gap(apart[:1], apart[2:]) > 1e-3, f"{name} changed nothing"


@pytest.mark.parametrize("conflict", ["sequence", "sum"])
def test_rows_that_run_apart_may_have_no_change_among_them(conflict: str, tmp_path: Path) -> None:
    one = case(tiny.build("llama", tmp_path))
    open_ = steering.gate("cosine", direction=one.direction(Site(1), 2), above=-1.0, each="prompt")
    change = Steering(ADD, one.direction(Site(1)), 3.0, each="prompt", gate=open_, conflict=conflict)
    shared = Steering(ADD, one.direction(Site(1), 3), 1.0, conflict=conflict)
    lists = [[shared, change], *([shared] for _ in one.answers[1:])]
    alone = [one.engine.choose([row], steering=mine)[0] for row, mine in zip(one.answers, lists, strict=True)]
    wrote = [
        one.engine.generate([row], max_new_tokens=4, steering=s)[0] for row, s in zip(one.asked, lists, strict=True)
    ]
    one.engine._memory.most = max(len(row.prompt.ids) for row in one.answers)  # one row at a time
    assert gap([one.engine.choose(one.answers, steering=lists)], [alone]) < 1e-4
    assert list(one.engine.generate(one.asked, max_new_tokens=4, steering=lists)) == wrote


@pytest.mark.parametrize("family", ["gemma2", "gpt_neo", "llama"])
def test_options_of_one_prompt_that_do_not_fit_side_by_side_are_asked_apart(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = case(tiny.build(family, tmp_path))
    one.engine.unshared_options = "for the test"
    wanted = one.engine.choose(one.answers)
    real, shapes = one.engine._model.forward, []

    @functools.wraps(real)
    def narrow(*given: Any, **named: Any) -> Any:
        shapes.append(tuple(named["input_ids"].shape))
        if shapes[-1][0] > 1 or len(named["attention_mask"].shape) == 4:  # neither rows nor branches side by side
            raise MemoryError
        return real(*given, **named)

    monkeypatch.setattr(one.engine._model, "forward", narrow)
    monkeypatch.setattr(_choose, "_HOLDS", {one.engine._model: family == "llama"})
    assert gap([one.engine.choose(one.answers)], [wanted]) < 1e-4
    assert one.engine.halved > 0 and max(rows for rows, _ in shapes) > 1


def test_a_model_steered_in_one_thread_is_read_as_it_is_in_another(tmp_path: Path) -> None:
    one = case(tiny.build("llama", tmp_path))
    arms = [[], *([Steering(ADD, one.direction(Site(0)), size, "response")] for size in (6.0, -6.0))]
    wanted = [one.engine.read(one.said, [Site(2)], ["last_prompt"], steering=arm) for arm in arms]
    scores = [one.engine.choose(one.answers, steering=arm) for arm in arms]
    one.engine.choose_arms(one.answers, arms)
    for block in one.engine._anatomy.blocks:
        block.register_forward_hook(lambda *_: time.sleep(0.001))  # let the other thread run in between

    def work(k: int) -> float:
        gaps = []
        for _ in range(6):
            x = one.engine.read(one.said, [Site(2)], ["last_prompt"], steering=arms[k])
            gaps.append(float(np.abs(x - wanted[k]).max()))
            found = [one.engine.choose(one.answers, steering=arms[k]), *one.engine.choose_arms(one.answers, arms)]
            gaps.append(gap(found, [scores[k], *scores]))
        return max(gaps)

    with ThreadPoolExecutor(3) as pool:
        assert max(pool.map(work, range(3))) < 1e-4


def test_arms_that_cannot_be_put_in_place_leave_no_hooks(tmp_path: Path) -> None:
    one = case(tiny.build("llama", tmp_path))
    own = Steering(ADD, one.direction(Site(1)), 1.0)
    other = replace(own, conflict="sum")
    modules = list(one.engine._model.modules())
    before = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules]
    with pytest.raises(InputError, match="side by side"):
        one.engine.choose_arms(one.answers, [[own], [other, own], [own]])
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules] == before
