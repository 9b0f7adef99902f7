"""Options of many prompts are scored as one tree, exactly; what does not fit in memory is divided, and nothing lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from vprobe import batching, prompts, responses
from vprobe.backends import _arms, _branches, _choose, _engine, _memory, _together
from vprobe.backends._steer import Session, changes
from vprobe.errors import ModelError
from vprobe.types import Answers, Gate, Site, Tokens

from tests import tiny
from tests.test_arms import steered
from tests.test_backend_hf import Case, case, prompt
from tests.test_shared_prefixes import computed

torch.set_num_threads(1)
FAMILIES = ("llama", "qwen3", "gpt2", "gpt_neox", "phi", "gemma2", "gpt_neo")
RULES = ("all", "prompt", "response", "after_prompt", "last_prompt", "from:3", "from:-4")
TELL = "tell me how similar this is to what you think, my friend is angry with me and i do not know why."
LABELS = ("not like me at all", "not like me", "like me", "very much like me")
SAID = ("say sorry and be kind", "no", "go on then, my friend, and be honest to each other")


def asked(engine: Any) -> list[Answers]:
    """Two queries, three responses to each, both orders of the options."""
    made = [
        prompt(f"{query}\nresponse: {said}\nanswer one of: {', '.join(order)}", options=order)
        for query in (TELL, f"{TELL} what now?") for said in SAID for order in (LABELS, LABELS[::-1])
    ]  # fmt: skip
    return [prompts.encode_answers(engine.tokenizer, one) for one in made]


@torch.inference_mode()
def whole(bare: Any, rows: Sequence[Answers]) -> np.ndarray:
    """Score every option as a full row of the bare model."""
    out = []
    for row in rows:
        n = len(row.prompt.ids)
        for option in row.options:
            ids = torch.tensor([row.prompt.ids + option])
            logs = torch.log_softmax(bare(ids, use_cache=False).logits[0, n - 1 : -1].double(), dim=-1)
            out.append(float(logs.gather(1, torch.tensor(option)[:, None]).sum()))
    return np.array(out)


def numbers(found: Sequence[Sequence[float]]) -> np.ndarray:
    return np.array([one for row in found for one in row])


def gap(found: Sequence[Sequence[float]], wanted: Any) -> float:
    return float(np.abs(numbers(found) - np.asarray(wanted).ravel()).max())


@pytest.fixture(scope="module", params=[*FAMILIES, "tinytalk-3m"])
def one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    if request.param not in FAMILIES:
        return case(request.getfixturevalue("shared") / "models" / request.param)
    return case(tiny.build(request.param, tmp_path_factory.mktemp(request.param)))


@pytest.fixture
def llama(tmp_path: Path) -> Case:
    return case(tiny.build("llama", tmp_path))


def test_every_log_probability_is_that_of_a_whole_row(one: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, engine = asked(one.engine), one.engine
    wanted = whole(one.bare, rows)
    kind = engine._model.config.model_type
    assert bool(engine.unshared_options) == (kind in ("gemma2", "gpt_neo"))
    assert gap(engine.choose(rows), wanted) <= 1e-4
    monkeypatch.setattr(_engine, "_CPU_TREE_TOKENS", 64)
    found: list[Any] = []
    tokens = computed(engine, lambda: found.append(engine.choose(rows)))
    assert gap(found[0], wanted) <= 1e-4
    if not engine.unshared_options:
        texts = [row.prompt.ids for row in rows]
        least = batching.distinct(texts, [range(len(texts))]) + sum(
            len(_branches.branches(r.options).ids) for r in rows
        )
        assert tokens <= 1.25 * least and least < sum(map(len, texts))


def test_steered_options_get_what_each_prompt_gets_alone(one: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, engine = asked(one.engine), one.engine
    monkeypatch.setattr(_engine, "_CPU_TREE_TOKENS", 64)
    changes = [(steered(one, "resid_post.1", 2.0, rule, k),) for k, rule in enumerate(RULES)]
    mixed = [((), *changes, (*changes[0], *changes[2]))[r % 9] for r in range(len(rows))]
    plain = engine.choose(rows)
    for steering in (changes[0], changes[2], mixed):
        own = mixed if steering is mixed else [steering] * len(rows)
        alone = [engine.choose([row], steering=mine)[0] for row, mine in zip(rows, own, strict=True)]
        assert gap(engine.choose(rows, steering=steering), numbers(alone)) <= 1e-4
        assert gap(plain, numbers(alone)) > 1e-3, "steering changed nothing"


def test_arms_of_many_prompts_give_what_each_prompt_gets_alone(one: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, engine = asked(one.engine), one.engine
    monkeypatch.setattr(_engine, "_CPU_TREE_TOKENS", 96)
    for rule in ("all", "response", "from:-4", "from:3"):
        first = steered(one, "resid_post.1", 2.0, rule)
        arms = [(), (first,), (steered(one, "resid_post.0", -3.0, rule, 2), first), (replace(first, coefficient=0.0),)]
        found = engine.choose_arms(rows, arms)
        for arm, got in zip(arms, found, strict=True):
            alone = [engine.choose([row], steering=arm)[0] for row in rows[::4]]
            assert gap(got[::4], numbers(alone)) <= 1e-4, rule
        assert gap(found[1], numbers(found[0])) > 1e-3 and gap(found[3], numbers(found[0])) <= 1e-4


def test_tokens_before_the_steered_ones_and_blocks_below_run_once_for_all_arms(llama: Case) -> None:
    rows, engine = asked(llama.engine), llama.engine
    texts = [row.prompt.ids for row in rows]
    once = batching.distinct(texts, [range(len(texts))])
    below = sum(len(_branches.branches(row.options).ids) for row in rows)
    for rule, copied in (("response", len(rows) + below), ("all", once + below)):
        arms = [(steered(llama, "resid_post.0", float(c), rule),) for c in range(1, 6)]
        engine.choose_arms(rows, arms)  # the place is tried once
        seen: dict[int, int] = {}

        def note(module: Any, args: Any, kwargs: Any, seen: dict[int, int] = seen) -> None:
            x = args[0] if args else kwargs["hidden_states"]
            seen[id(module)] = seen.get(id(module), 0) + x.shape[0] * x.shape[1]

        blocks = engine._anatomy.blocks
        handles = [block.register_forward_pre_hook(note, with_kwargs=True) for block in blocks]
        engine.choose_arms(rows, arms)
        for handle in handles:
            handle.remove()
        ran = [seen[id(block)] for block in blocks]
        assert once + below <= ran[0] <= 1.3 * (once + below)
        assert ran[1] - ran[0] <= 1.3 * 4 * copied and ran[1] == ran[2] >= ran[0] + 4 * copied


def test_tokens_are_shared_only_where_the_same_is_done_to_them(llama: Case) -> None:
    rows = asked(llama.engine)[:2]
    rows = [rows[0], replace(rows[0], prompt=replace(rows[0].prompt, prompt_id="again"))]
    n = len(rows[0].prompt.ids)
    late, all_, other = (
        steered(llama, "resid_post.1", c, rule) for c, rule in ((1.0, "response"), (1.0, "all"), (2.0, "all"))
    )
    shared = {
        "none": ((), n - 1), "one list": ([all_], n - 1), "end only": ([[late], []], n - 1),
        "two sizes": ([[all_], [other]], 0), "one steered": ([[all_], []], 0),
        "a change of nothing": ([[replace(all_, coefficient=0.0)], []], n - 1),
    }  # fmt: skip
    for name, (steering, count) in shared.items():
        with Session(llama.engine._anatomy, steering, texts=[row.prompt for row in rows]) as session:
            a, b = _together.keys(rows, changes(session.steering, session.texts))
        same = next((i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y), n)
        assert same == count, name


@pytest.mark.parametrize("size", [2.0, -2.0])
def test_a_token_steered_either_way_is_not_the_token_as_it_came(llama: Case, size: float) -> None:
    row, change = asked(llama.engine)[0], steered(llama, "resid_post.1", size, "all")
    one, other, same = _together.keys([row, row, row], [[change], [], [change]])
    assert one[:-1] == same[:-1] and not set(one) & set(other)


def test_a_change_that_depends_on_the_end_of_a_prompt_shares_nothing(llama: Case) -> None:
    rows = asked(llama.engine)
    gate = Gate("up", lambda x, w: x @ w.swapaxes(-1, -2) > 0, (np.ones((1, 32), np.float32),), each="prompt")
    each = replace(steered(llama, "resid_post.1", 2.0, "all"), each="prompt")
    for change in (each, replace(steered(llama, "resid_post.1", 2.0, "all"), gate=gate)):
        alone = [llama.engine.choose([row], steering=(change,))[0] for row in rows]
        assert _together.apart((change,)) and not _together.apart((steered(llama, "resid_post.1", 2.0, "all"),))
        assert gap(llama.engine.choose(rows, steering=(change,)), numbers(alone)) <= 1e-4


def test_equal_prompts_and_prompts_that_go_on_from_others_keep_their_own_options(llama: Case) -> None:
    row = asked(llama.engine)[0]
    ids = row.prompt.ids
    cut = Tokens("cut", ids[:-30], len(ids) - 30)
    short = replace(row, options=row.options[:1], labels=("a",), ratings=(0.0,))
    odd = replace(row, options=tuple((o[0],) for o in row.options))
    rows = [row, short, replace(row, prompt=cut), odd, row]
    for least in (1, 64):
        with torch.inference_mode(), Session(llama.engine._anatomy, (), texts=[r.prompt for r in rows]) as session:
            found = _together.choose(
                llama.engine._model,
                llama.engine._anatomy,
                session,
                rows,
                60,
                400,
                _memory.Memory(),
                room=192,
                least=least,
            )
        assert gap(found, whole(llama.bare, rows)) <= 1e-4


def test_a_model_that_reads_packed_options_otherwise_is_found_out(llama: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = llama.engine
    assert _choose.unshared(engine._model, engine._anatomy, engine._vocab) == ""
    everything = property(lambda self: np.tri(len(self.ids), dtype=bool))  # options see the options before them
    monkeypatch.setattr(_branches.Branches, "sees", everything)
    assert _choose.unshared(engine._model, engine._anatomy, engine._vocab) == _choose.PACKED


def test_answers_are_the_same_in_every_batch_and_in_the_order_of_prompts(llama: Case) -> None:
    made = [prompt(f"{TELL}{query} {said}", options=LABELS) for said in SAID for query in (" hi", " should i go?", "")]
    whole_job = responses.collect(llama.engine, made)
    parts = responses.collect(llama.engine, made, batch_tokens=80, greedy=True)
    assert [r.prompt_id for r in parts] == [p.id for p in made] == [r.prompt_id for r in whole_job]
    assert gap([r.logprobs or () for r in parts], [r.logprobs for r in whole_job]) <= 1e-4
    alone = [responses.collect(llama.engine, [p], greedy=True)[0].text for p in made]
    assert [r.text for r in parts] == alone


# --- memory ----------------------------------------------------------------------------------------------------------


def scarce(engine: Any, most: int, error: Callable[[], BaseException]) -> list[int]:
    """Let memory run out in the second block of every forward of more than some number of tokens; note the sizes."""
    seen: list[int] = []

    def fail(_: Any, args: Any, kwargs: Any) -> None:
        x = args[0] if args else kwargs["hidden_states"]
        seen.append(x.shape[0] * x.shape[1])
        if seen[-1] > most and x.shape[0] > 1:
            raise error()

    engine._anatomy.blocks[1].register_forward_pre_hook(fail, with_kwargs=True)
    return seen


ERRORS = (
    lambda: torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError,
    lambda: RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes"),
)


@pytest.mark.parametrize("error", ERRORS)
def test_what_does_not_fit_is_halved_and_nothing_is_lost(llama: Case, error: Callable[[], BaseException]) -> None:
    engine, rows = llama.engine, asked(llama.engine)
    texts = [row.prompt for row in rows]
    sites = [Site(0), Site(2)]
    change = (replace(steered(llama, "resid_post.1", 2.0, "all"), each="prompt"),)
    late = (steered(llama, "resid_post.0", 2.0, "response"),)
    runs: list[Callable[[], Any]] = [
        lambda: engine.read(texts, sites, ["last_prompt"]),
        lambda: engine.read(texts, sites, ["last_prompt"], steering=[(), *[change] * (len(texts) - 1)]),
        lambda: engine.residual_norms(texts, sites),
        lambda: numbers(engine.choose(rows)),
        lambda: numbers(engine.choose(rows, steering=change)),
        lambda: [one.ids for one in engine.generate(texts, max_new_tokens=3, temperature=1.0, seed=4)],
        lambda: numbers([row for arm in engine.choose_arms(rows, [(), late, late]) for row in arm]),
        lambda: numbers([row for arm in engine.choose_arms(rows, [(), change, change]) for row in arm]),
        lambda: engine.drift(texts, steering=late),
        lambda: engine.drift(texts, steering=[(), *[late] * (len(texts) - 1)]),
    ]
    wanted = [run() for run in runs]
    assert engine.halved == 0
    seen = scarce(engine, 200, error)
    for run, want in zip(runs, wanted, strict=True):
        engine._memory = _memory.Memory()
        got = run()
        assert got == want if isinstance(want, list) else np.allclose(got, want, rtol=1e-4, atol=1e-4)
        assert engine.halved > 0 and engine._memory.most is not None
    before = engine.halved
    seen.clear()
    runs[-1]()
    assert engine.halved == before and max(seen) <= 200, "what has been learned is kept"


def test_what_fits_is_divided_no_further_and_runs_in_order() -> None:
    memory, done = _memory.Memory(), []

    def run(group: list[int]) -> None:
        if len(group) > 4:
            raise MemoryError
        done.append(group)

    memory.all([[*range(8)], [*range(8, 16)], [16]], len, run)
    assert done == [[*range(n, n + 4)] for n in (0, 4, 8, 12)] + [[16]]
    assert (memory.halved, memory.most) == (1, 4)


def test_other_errors_and_a_single_row_too_large_come_out(llama: Case) -> None:
    memory, ran = _memory.Memory(), []

    def run(group: Sequence[int]) -> None:
        if 3 in group:
            raise MemoryError
        ran.extend(group)

    with pytest.raises(ModelError, match="a single text, 1 tokens"):
        memory.all([range(6)], len, run)
    assert ran == [0, 1, 2] and memory.halved == 2
    scarce(llama.engine, 0, lambda: RuntimeError("sizes do not match"))
    with pytest.raises(RuntimeError, match="sizes"):
        llama.engine.choose(asked(llama.engine))


def test_sums_are_not_added_twice_when_memory_runs_out_between_two_sites(llama: Case, monkeypatch: Any) -> None:
    stems = [tuple(range(first, 110)) for first in (40, 41)]
    texts = [Tokens(f"{stem[0]} {i}", stem + (30,) * i, len(stem) + i) for stem in stems for i in range(3)]
    sites = [Site(0), Site(1), Site(2)]
    wanted, made, zeros = llama.engine.read(texts, sites, ["last_prompt"]), [], torch.zeros

    def scant(*shape: Any, **given: Any) -> torch.Tensor:
        made.extend([shape] if shape == (len(texts), llama.engine.info.d_model) else [])
        if len(made) == 2:
            made.append(shape)
            raise torch.OutOfMemoryError
        return zeros(*shape, **given)

    monkeypatch.setattr(torch, "zeros", scant)
    off = llama.engine.read(texts, sites, ["last_prompt"]) - wanted
    assert (np.linalg.norm(off, axis=-1) <= 1e-5 * np.linalg.norm(wanted, axis=-1)).all()
    assert llama.engine.halved == 1


def test_memory_that_runs_out_in_a_trial_says_nothing_about_the_model(llama: Case, monkeypatch: Any) -> None:
    engine, rows = llama.engine, asked(llama.engine)
    arms = [(), (steered(llama, "resid_post.0", 2.0, "response"),), (steered(llama, "resid_post.1", 2.0, "all"),)]
    wanted, known = numbers([row for arm in engine.choose_arms(rows, arms) for row in arm]), dict(engine._forks)
    assert set(known.values()) == {True} and _choose._HOLDS[engine._model]
    engine._forks.clear()
    del _choose._HOLDS[engine._model]

    def scant(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError

    with monkeypatch.context() as patch:
        patch.setattr(_choose, "_branched", scant)
        patch.setattr(_arms, "_forked", scant)
        assert gap(engine.choose_arms(rows, arms)[1], engine.choose(rows, steering=arms[1])) <= 1e-4
        assert not engine._forks and engine._model not in _choose._HOLDS
        patch.setattr(_together, "choose", scant)
        with pytest.raises(torch.OutOfMemoryError):
            _choose.unshared(engine._model, engine._anatomy, engine._vocab)
    assert gap([row for arm in engine.choose_arms(rows, arms) for row in arm], wanted) <= 1e-4
    assert engine._forks == known
