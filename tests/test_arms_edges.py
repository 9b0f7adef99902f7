"""Arms at the edges: answers begun in the prompt, arms that act on different tokens, full contexts, nothing left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from vprobe import batching
from vprobe.backends import _branches, _choose, _layout, _memory
from vprobe.backends._fork import fork_of
from vprobe.types import Answers, Direction, Operation, Site, Span, Steering, Tokens

from tests import tiny
from tests.test_arms import gap, steered
from tests.test_backend_hf import Case, case, hook_count

torch.set_num_threads(1)
CONTEXT = tiny.CONTEXT


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return case(tiny.build("llama", tmp_path_factory.mktemp("llama")))


@pytest.fixture(params=["one tree", "apart"])
def one(request: pytest.FixtureRequest, llama: Case, monkeypatch: pytest.MonkeyPatch) -> Case:
    if request.param == "apart":
        monkeypatch.setattr(llama.engine, "unshared_options", "for the test")
    return llama


def alone(one: Case, rows: Sequence[Answers], arms: Sequence[Sequence[Steering]]) -> list[Any]:
    """Ask every prompt by itself under every arm."""
    return [[one.engine.choose([row], steering=arm)[0] for row in rows] for arm in arms]


def begun(row: Answers, count: int) -> Answers:
    """Let the last tokens of a prompt be the beginning of the answer."""
    return replace(row, prompt=replace(row.prompt, prompt_length=len(row.prompt.ids) - count))


def test_answers_begun_in_the_prompt_are_steered_from_where_they_begin(one: Case) -> None:
    rows = [begun(row, k) for k, row in zip((3, 0, 5), one.answers, strict=True)]
    for rule in ("response", "after_prompt", "last_prompt"):
        arms = [(steered(one, "resid_post.0", c, rule),) for c in (3.0, -3.0)]
        wanted = alone(one, rows, arms)
        assert gap(one.engine.choose_arms(rows, arms), wanted) < 1e-4, rule
        assert gap(wanted[:1], wanted[1:]) > 1e-3, "nothing was steered"


def test_arms_that_act_on_different_tokens_are_forked_before_the_first_of_them(
    one: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one.engine, "_forks", {})
    rows = [
        replace(row, prompt=replace(row.prompt, spans=(*row.prompt.spans, Span("options", 2 + k, 5 + k))))
        for k, row in enumerate(one.answers)
    ]
    rules = ("after_prompt", "from:4", "option_span", "response", "prompt", "all", "last_prompt", "from:-3")
    sites = ("resid_post.1", "attn_out.1", "resid_post.0", "embed.0")
    changes = [steered(one, sites[k % 4], 2.0 + k, rule, k) for k, rule in enumerate(rules)]
    for some in (changes[:2], changes[2:4], changes[4:6], changes[6:], changes):
        arms = [(change,) for change in some]
        assert gap(one.engine.choose_arms(rows, arms), alone(one, rows, arms)) < 1e-4, some
    assert set(one.engine._forks.values()) == {True}, "nothing was asked arm by arm"


def test_arms_worked_out_at_the_end_of_a_prompt_are_forked_too_and_rows_keep_their_own(
    one: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one.engine, "_forks", {})
    twice = Operation("twice", lambda x, v, c: x * (1 + c))
    arms = [(replace(steered(one, "resid_post.0", c, "all"), operation=twice, each="prompt"),) for c in (1.0, -0.5)]
    assert gap(one.engine.choose_arms(one.answers, arms), alone(one, one.answers, arms)) < 1e-4
    assert one.engine._forks == {Site(0): True}
    mixed = [list(arms[0]), [], [steered(one, "resid_post.1", 4.0, "all", 2)]]
    own = [one.engine.choose([row], steering=mine)[0] for row, mine in zip(one.answers, mixed, strict=True)]
    assert gap([one.engine.choose(one.answers, steering=mixed)], [own]) < 1e-4


@pytest.mark.parametrize("rule", ["all", "prompt", "response", "after_prompt", "last_prompt", "from:4"])
def test_no_rule_is_asked_arm_by_arm_where_the_model_can_be_forked(
    one: Case, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one.engine, "_forks", {})
    arms = [(steered(one, "resid_post.0", c, rule),) for c in (3.0, -3.0)]
    assert gap(one.engine.choose_arms(one.answers, arms), alone(one, one.answers, arms)) < 1e-4
    assert one.engine._forks == {Site(0): True}


def test_a_batch_forks_at_the_first_place_any_arm_steers() -> None:
    def arm(*sites: str) -> list[Steering]:
        add, unit = Operation("add", lambda x, v, c: x + c * v), np.eye(4, dtype=np.float32)[0]
        return [Steering(add, Direction(unit, Site.parse(at), "power", "test", "write"), 1.0) for at in sites]

    for arms, place in (
        ([arm("resid_post.2"), arm("resid_post.1")], Site(1)),
        ([arm("resid_post.1"), arm("mlp_out.1")], Site(1, "resid_pre")),
        ([arm("resid_post.1", "attn_out.2"), []], Site(1)),
        ([arm("mlp_out.2"), arm("head_out.2")], Site(2, "resid_pre")),
        ([arm("resid_post.0"), arm("embed.0")], Site(0, "resid_pre")),
    ):
        assert fork_of(arms) == place


def test_prompts_with_other_options_each_keep_their_own(one: Case) -> None:
    rows = [
        replace(row, options=row.options[:n], labels=row.labels[:n], ratings=row.ratings[:n])
        for n, row in zip((2, 4, 1), one.answers, strict=True)
    ]
    rows[2] = replace(rows[2], options=((7, 9, 11),))
    arms = [(steered(one, "resid_post.1", c, "all"),) for c in (2.0, -2.0, 5.0)]
    wanted = alone(one, rows, arms)
    assert [[len(row) for row in arm] for arm in one.engine.choose_arms(rows, arms)] == [[2, 4, 1]] * 3
    assert gap(one.engine.choose_arms(rows, arms), wanted) < 1e-4
    _choose._HOLDS[one.engine._model] = False  # options as rows of their own
    try:
        assert gap(one.engine.choose_arms(rows, arms), wanted) < 1e-4
    finally:
        _choose._HOLDS[one.engine._model] = True


def test_no_forward_of_arms_attends_to_more_columns_than_the_context(one: Case) -> None:
    ids = tuple(int(i) for i in np.random.default_rng(0).integers(20, 300, CONTEXT))
    options = tuple((20 + k, 60 + k, 90 + k, 120 + k, 150 + k) for k in range(8))
    rows = [
        Answers(Tokens(str(n), ids[:n], n), options, tuple(map(str, range(8))), tuple(map(float, range(8))))
        for n in (CONTEXT - 10, 40)
    ]
    arms = [(steered(one, "resid_post.1", c, "all"),) for c in (2.0, -2.0)]
    widths: list[int] = []

    def note(_: Any, args: Any, kwargs: Any) -> None:
        mask = kwargs["attention_mask"]
        widths.append(len(kwargs["position_ids"][0]) if mask is None else mask.shape[-1])  # None: one text, no cache

    handles = [block.register_forward_pre_hook(note, with_kwargs=True) for block in one.engine._anatomy.blocks[:1]]
    try:
        found = one.engine.choose_arms(rows, arms)
    finally:
        for handle in handles:
            handle.remove()
    assert widths and max(widths) <= CONTEXT
    assert gap(found, alone(one, rows, arms)) < 1e-4


def test_arms_leave_no_hook_behind_though_they_fail(one: Case) -> None:
    def boom(*_: Any) -> Any:
        raise RuntimeError("boom")

    arms = [(steered(one, "resid_post.0", c, "all"),) for c in (2.0, -2.0)]
    count = hook_count(one.engine._model)
    one.engine.choose_arms(one.answers, arms)
    assert hook_count(one.engine._model) == count
    failing = [*arms, (replace(arms[0][0], operation=Operation("boom", boom)),)]
    with pytest.raises(RuntimeError, match="boom"):
        one.engine.choose_arms(one.answers, failing)
    assert hook_count(one.engine._model) == count


def test_beginnings_wider_than_what_follows_fit_the_pool(one: Case) -> None:
    stems = [tuple(range(20 + 40 * k, 60 + 40 * k)) for k in range(4)]
    rows = [
        Answers(Tokens(f"{k} {i}", (*stem, 300 + i), 41), ((7,), (9,)), ("a", "b"), (0.0, 1.0))
        for k, stem in enumerate(stems) for i in range(2)
    ]  # fmt: skip
    arms = [(steered(one, "resid_post.1", c, "response"),) for c in (2.0, -2.0)]
    assert gap(one.engine.choose_arms(rows, arms), alone(one, rows, arms)) < 1e-4


# --- how segments become forwards ------------------------------------------------------------------------------------


def texts(seed: int) -> list[tuple[int, ...]]:
    """Texts of few tokens, so that many begin alike."""
    rng = np.random.default_rng(seed)
    stems = [tuple(map(int, rng.integers(0, 3, int(rng.integers(1, 30))))) for _ in range(6)]
    return [
        stems[int(rng.integers(6))] + tuple(map(int, rng.integers(0, 3, int(rng.integers(1, 40))))) for _ in range(60)
    ]


@pytest.mark.parametrize("seed", range(8))
def test_forwards_keep_to_tokens_rows_and_columns_and_run_parents_first(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "MAX_ROWS", 9)
    segments = batching.tree(texts(seed), least=4)
    extra = [int(k) for k in np.random.default_rng(seed + 50).integers(0, 6, len(segments))]
    budget, room = 60 + 20 * seed, 44 + seed
    groups = _layout.forwards(segments, range(len(segments)), budget, room=room, extra=extra)
    assert sorted(i for group in groups for i in group) == list(range(len(segments)))
    done: set[int] = {-1}
    for group in groups:
        assert {segments[i].parent for i in group} <= done
        done |= set(group)
        new = max(segments[i].end - segments[i].start + extra[i] for i in group)
        before = max(segments[i].start for i in group)
        if len(group) > 1:
            assert len(group) * new <= budget and before + new <= room and len(group) <= 9
            assert len(group) * max(segments[i].end + extra[i] for i in group) <= _layout._WIDE * budget


def test_few_columns_are_gathered_for_one_forward() -> None:
    stem = tuple(range(400))
    segments = batching.tree([(*stem, 1000 + k) for k in range(40)], least=4)
    ends = [i for i, segment in enumerate(segments) if segment.start == 400]
    groups = _layout.forwards(segments, ends, 100, room=1000)
    assert max(map(len, groups)) * 401 <= _layout._WIDE * 100 and sum(map(len, groups)) == 40


def test_places_in_the_pool_stand_side_by_side_and_nothing_else_is_in_the_rest() -> None:
    segments = batching.tree(texts(3), least=4)
    places, size = _layout.inner(segments), _layout.pooled(segments)
    taken = [places[i] + k for i in places for k in range(segments[i].end - segments[i].start)]
    assert sorted(taken) == list(range(size)) and set(places) == {s.parent for s in segments} - {-1}


# --- memory ----------------------------------------------------------------------------------------------------------


def test_what_a_forward_may_hold_is_learned_once_and_kept() -> None:
    memory, ran = _memory.Memory(most=3), []
    memory.all([range(7), range(7, 10)], len, ran.append)
    assert ran == [[0, 1], [2, 3], [4, 5, 6], [7, 8, 9]] and memory.halved == 0
    for words, short in (
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED", True), ("XPU out of memory", True),
        ("DefaultCPUAllocator: not enough memory", True), ("sizes do not match", False),
    ):  # fmt: skip
        assert _memory.short(RuntimeError(words)) is short and not _memory.short(ValueError(words))
    assert _memory.short(_memory.TooLarge("one text"))


def test_a_text_that_an_inner_run_found_too_large_is_told_once() -> None:
    def run(group: Sequence[int]) -> None:
        raise _memory.TooLarge("text seven does not fit")

    with pytest.raises(_memory.TooLarge, match=r"^text seven does not fit") as caught:
        _memory.Memory().all([[7]], len, run)
    assert caught.value.__cause__ is None


def test_trees_of_options_are_counted_by_the_largest() -> None:
    made = [replace_options(o) for o in (((1, 2, 3), (4, 5, 6)), ((1,),), ((1, 2),))]
    assert _branches.sizes(made) == 4


def replace_options(options: tuple[tuple[int, ...], ...]) -> Answers:
    return Answers(Tokens("a", (1, 2), 2), options, ("",) * len(options), (0.0,) * len(options))
