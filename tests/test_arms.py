"""Many steerings of one batch give what each gives alone: every family, wherever and on whichever tokens they act."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from vprobe import batching, prompts, responses
from vprobe.backends import _arms, _branches, _choose
from vprobe.errors import InputError
from vprobe.types import Operation, Site, Steering

from tests import tiny
from tests.fake_backend import FakeBackend
from tests.test_backend_hf import Case, case, prompt
from tests.test_shared_prefixes import computed

torch.set_num_threads(1)
ADD = Operation("add", lambda x, v, c: x + c * v)
POINTS = ("embed.0", "resid_pre.1", "attn_out.1", "mlp_out.1", "resid_post.1", "resid_post.2")
RULES = ("all", "prompt", "response", "after_prompt")


@pytest.fixture(scope="module", params=tuple(tiny.FAMILIES))
def one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return case(tiny.build(request.param, tmp_path_factory.mktemp(request.param)))


def steered(one: Case, at: str, coefficient: float, rule: str, seed: int = 1) -> Steering:
    return replace(one.steering(at, coefficient, rule, ADD), direction=one.direction(Site.parse(at), seed))


def gap(found: Sequence[Any], wanted: Sequence[Any]) -> float:
    x, y = (np.array([v for arm in side for row in arm for v in row]) for side in (found, wanted))
    return float(np.abs(x - y).max())


def test_arms_give_what_each_gives_alone(one: Case) -> None:
    for at in POINTS:
        if Site.parse(at).point not in one.engine.points:
            continue
        for rule in RULES:
            arms = [
                (),
                (steered(one, at, 2.0, rule),),
                (steered(one, at, -3.0, rule, 2), steered(one, "resid_post.2", 1.0, rule, 3)),
                (steered(one, at, 5.0, rule, 4),),
            ]
            together = one.engine.choose_arms(one.answers, arms)
            apart = [one.engine.choose(one.answers, steering=arm) for arm in arms]
            assert gap(together, apart) < 1e-4, (at, rule)
            assert gap(apart[:1], apart[1:2]) > 1e-3, f"steering at {at} changed nothing"
    plain = one.engine._anatomy.forkable
    assert one.engine._forks == (dict.fromkeys(one.engine._forks, True) if plain else {})


def counted(engine: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Note the shape of what enters every block."""
    seen: list[tuple[int, ...]] = []
    for block in engine._anatomy.blocks:
        block.register_forward_pre_hook(
            lambda _, args, kwargs: seen.append(tuple((args[0] if args else kwargs["hidden_states"]).shape[:2])),
            with_kwargs=True,
        )
    return seen


def test_blocks_before_the_fork_and_tokens_before_the_steered_ones_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = case(tiny.build("llama", tmp_path))
    one.engine.unshared_options = "for the test"
    arms = [(steered(one, "resid_post.0", float(c), "response"),) for c in range(1, 6)]
    one.engine.choose_arms(one.answers, arms)  # the place is tried once
    seen = counted(one.engine, monkeypatch)
    one.engine.choose_arms(one.answers, arms)
    rows = len(one.answers)
    width = max(len(answer.prompt.ids) for answer in one.answers)
    assert seen[: tiny.LAYERS] == [(rows, width - 1)] * tiny.LAYERS
    assert seen[tiny.LAYERS : 2 * tiny.LAYERS] == [(rows, 1)] + [(rows * 5, 1)] * (tiny.LAYERS - 1)


def test_a_model_that_cannot_be_forked_is_asked_arm_by_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = case(tiny.build("llama", tmp_path))
    arms = [(steered(one, "resid_post.0", c, "all"),) for c in (1.0, -1.0)]
    wanted = [one.engine.choose(one.answers, steering=arm) for arm in arms]
    real = _arms._forked
    monkeypatch.setattr(_arms, "_forked", lambda *a: [tuple(tuple(v + 1 for v in r) for r in arm) for arm in real(*a)])
    assert gap(one.engine.choose_arms(one.answers, arms), wanted) == 0.0
    assert list(one.engine._forks.values()) == [False]


def test_many_arms_go_through_in_parts(tmp_path: Path) -> None:
    one = case(tiny.build("llama", tmp_path))
    arms = [(steered(one, "resid_post.0", float(c), "all"),) for c in range(7)]
    whole = one.engine.choose_arms(one.answers, arms)
    one.engine.default_batch_tokens = 1
    assert gap(one.engine.choose_arms(one.answers, arms), whole) < 1e-4


def test_collect_arms_is_collect_arm_by_arm(tmp_path: Path) -> None:
    one = case(tiny.build("llama", tmp_path))
    asked = [prompt(q, options=("no", "yes indeed")) for q in ("hi", "should i go?", "my friend is angry")]
    arms: list[Sequence[Steering]] = [(), (steered(one, "resid_post.1", 2.0, "response"),)]
    told: list[tuple[int, int]] = []
    together = responses.collect_arms(one.engine, asked, arms, progress=lambda *x: told.append(x), batch_tokens=40)
    for arm, found in zip(arms, together, strict=True):
        alone = responses.collect(one.engine, asked, steering=arm)
        assert [r.prompt_id for r in found] == [r.prompt_id for r in alone]
        assert gap([[r.logprobs for r in found]], [[r.logprobs for r in alone]]) < 1e-4
    assert told[-1] == (6, 6)
    with pytest.raises(InputError, match="no options"):
        responses.collect_arms(FakeBackend(), [prompt("hi")], [()])


def test_prompts_of_one_query_stay_together_under_all_arms_and_what_they_share_runs_once(tmp_path: Path) -> None:
    one = case(tiny.build("llama", tmp_path))
    said = ("no", "say sorry and be kind to your friend", "go on", "i think you should help them and be honest")
    asked = [
        prompt(f"{query} my friend is angry and i do not know why.\n{(text + ' ') * (1 + k % 3)}", "", ("no", "yes"))
        for k, text in enumerate(said) for query in ("what now?", "should i go or stay?", "who are you to me?")
    ]  # fmt: skip
    answers = [prompts.encode_answers(one.engine.tokenizer, each) for each in asked]
    ids = [each.prompt.ids for each in answers]
    arms = [(steered(one, "resid_post.1", c, "all"),) for c in (2.0, -2.0, 1.0)]
    found: list[Any] = []

    def run() -> None:
        found.append(responses.collect_arms(one.engine, asked, arms, answers=answers, batch_tokens=200))

    run()  # trials are made once
    tokens = computed(one.engine, run)
    least = batching.distinct(ids, [range(len(ids))]) + sum(len(_branches.branches(a.options).ids) for a in answers)
    assert tokens <= 1.3 * least < 0.85 * sum(map(len, ids))
    for arm, rows in zip(arms, found[0], strict=True):
        alone = responses.collect(one.engine, asked, steering=arm)
        assert gap([[r.logprobs for r in rows]], [[r.logprobs for r in alone]]) < 1e-4
    late = (replace(arms[0][0], each="prompt"),)
    wanted = responses.collect(one.engine, asked, steering=late)
    rows = responses.collect_arms(one.engine, asked, [late, *arms[1:]], answers=answers, batch_tokens=200)[0]
    assert gap([[r.logprobs for r in rows]], [[r.logprobs for r in wanted]]) < 1e-4


def test_options_are_laid_out_as_one_tree() -> None:
    tree = _branches.branches([(5, 6, 9), (5, 6, 7, 9), (8, 9), (5,)])
    assert tree.ids == (5, 6, 7, 8)
    assert tree.parent == (-1, 0, 1, -1) and tree.depth == (0, 1, 2, 0)
    assert tree.reads[1] == ((-1, 5), (0, 6), (1, 7), (2, 9)) and tree.reads[3] == ((-1, 5),)


def test_branches_give_what_rows_of_their_own_give(one: Case) -> None:
    change = (steered(one, "resid_post.1", 2.0, "response"),)
    kept, one.engine.unshared_options = one.engine.unshared_options, "for the test"
    found = one.engine.choose(one.answers, steering=change)
    holds = _choose._HOLDS.get(one.engine._model, False)
    assert holds == (one.engine._anatomy.forkable and one.engine._model.config.model_type not in ("gpt_neo",))
    _choose._HOLDS[one.engine._model] = False
    assert gap([found], [one.engine.choose(one.answers, steering=change)]) < 1e-4
    _choose._HOLDS[one.engine._model] = holds
    one.engine.unshared_options = kept
