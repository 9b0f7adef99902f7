"""The Hugging Face engine reads, asks and steers exactly, in every family; references here use the bare model."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BertConfig, BertForMaskedLM, T5Config, T5ForConditionalGeneration
from vprobe import backends, prompts
from vprobe.backends import _families, hf
from vprobe.backends._engine import Engine
from vprobe.errors import InputError, ModelError
from vprobe.types import Answers, Direction, Mark, Message, Operation, Option, Prompt, Site, Steering, Tokens

from tests import tiny

torch.set_num_threads(1)
REAL = ("tinytalk-3m", "craftgpt-5m", "stories260K")
ADD = Operation("add", lambda x, v, c: x + c * v)
TWICE = Operation("twice", lambda x, v, c: x * 2)
LABELS = ("not like me at all", "not like me", "like me", "very much like me")
POINTS = ("embed", "resid_pre", "resid_post", "attn_out", "mlp_out")


@dataclass
class Case:
    """A model behind the engine, the same weights as a bare model, and prompts of different lengths."""

    engine: Engine
    bare: Any
    said: list[Tokens] = field(default_factory=list)
    asked: list[Tokens] = field(default_factory=list)
    answers: list[Answers] = field(default_factory=list)

    def direction(self, site: Site, seed: int = 1) -> Direction:
        vector = np.random.default_rng(seed).standard_normal(self.engine.info.d_model)
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        return Direction(unit, site, "benevolence", "test", "write", model=self.engine.info.fingerprint)

    def steering(self, site: str, coefficient: float = 3.0, positions: str = "all", op: Operation = ADD) -> Steering:
        return Steering(op, self.direction(Site.parse(site)), coefficient, positions)


def prompt(query: str, response: str = "", options: tuple[str, ...] = ()) -> Prompt:
    turns = (Message("user", query), *([Message("assistant", response)] if response else []))
    marks = (Mark("content", 0, 0, len(query)), *([Mark("response", 1, 0, len(response))] if response else []))
    shown = tuple(Option(label, float(i)) for i, label in enumerate(options))
    return Prompt(f"{query}/{response}", "i", "g", "s", "t", turns, marks, shown)


def case(folder: Path) -> Case:
    engine = hf.load(str(folder), device="cpu")
    bare = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    words = engine.tokenizer
    queries = ("hi", "my friend is angry, what now?", "should i go?")
    replies = ("say sorry and be kind", "no", "go on then my friend")
    out = Case(engine, bare)
    out.said = [prompts.encode(words, prompt(q, r)) for q, r in zip(queries, replies, strict=True)]
    out.asked = [prompts.encode(words, prompt(q)) for q in queries]
    out.answers = [prompts.encode_answers(words, prompt(q, options=LABELS)) for q in queries]
    return out


@pytest.fixture(scope="session", params=[*tiny.FAMILIES, *REAL])
def any_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    if request.param in REAL:
        return case(request.getfixturevalue("shared") / "models" / request.param)
    return case(tiny.build(request.param, tmp_path_factory.mktemp(request.param)))


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture
def one(llama: Path) -> Case:
    """A model of its own for tests that break it."""
    return case(llama)


def all_sites(engine: Engine) -> list[Site]:
    layers = range(engine.info.n_layers)
    return [Site(0, "embed"), *(Site(i, p) for p in engine.points if p != "embed" for i in layers)]


def hook_count(model: Any) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


@torch.inference_mode()
def hidden(bare: Any, ids: tuple[int, ...], copies: int = 1) -> list[torch.Tensor]:
    return list(bare(torch.tensor([ids] * copies), output_hidden_states=True, use_cache=False).hidden_states)


# --- reading --------------------------------------------------------------------------------------------------------


def test_resid_post_is_the_next_hidden_state_exactly_at_every_token(any_model: Case) -> None:
    tokens = any_model.said[1]
    rows = [replace(tokens, prompt_length=n + 1) for n in range(len(tokens.ids))]
    want = hidden(any_model.bare, tokens.ids, len(rows))
    layers = any_model.engine.info.n_layers
    sites = [Site(0, "embed"), *(Site(i, p) for p in ("resid_pre", "resid_post") for i in range(layers))]
    got = any_model.engine.read(rows, sites, ["last_prompt"])[0]
    for site, x in zip(sites, got.swapaxes(0, 1), strict=True):
        k = site.layer + (site.point == "resid_post")
        expected = want[k].diagonal(dim1=0, dim2=1).T.numpy()
        if k < layers:
            np.testing.assert_array_equal(x, expected, err_msg=str(site))
        else:
            assert np.abs(x - expected).max() > 1e-3, "the last hidden state is after the final norm"


def test_attention_and_mlp_outputs_add_up_to_the_block(any_model: Case) -> None:
    engine, tokens = any_model.engine, any_model.asked[1]
    assert {"attn_out", "mlp_out"} <= set(engine.points)
    for layer in range(engine.info.n_layers):
        names = [p for p in ("resid_pre", "attn_out", "mlp_out", "resid_post", "resid_mid") if p in engine.points]
        x = dict(zip(names, engine.read([tokens], [Site(layer, p) for p in names], ["last_prompt"])[0, 0], strict=True))
        total = x["resid_pre"] + x["attn_out"] + x["mlp_out"]
        assert np.linalg.norm(total - x["resid_post"]) <= 1e-5 * np.linalg.norm(x["resid_post"])
        if "resid_mid" in x:
            np.testing.assert_array_equal(x["resid_mid"], x["resid_pre"] + x["attn_out"])


def test_what_neurons_write_adds_up_to_the_mlps_output_before_its_norm(any_model: Case) -> None:
    engine, tokens, at = any_model.engine, any_model.said[1:2], ["last_prompt", "response_mean"]
    normed = engine.info.family.startswith(("gemma2", "gemma3", "olmo2"))
    for layer in range(engine.info.n_layers):
        w_out = engine.neuron_weights(layer)
        acts, out = (engine.read(tokens, [Site(layer, point)], at)[:, 0, 0] for point in ("mlp_neurons", "mlp_out"))
        assert w_out.shape == (acts.shape[1], engine.info.d_model) and w_out.dtype == np.float32
        wrote, real = (acts[0] - acts[1]) @ w_out, out[0] - out[1]  # what all inputs share, such as a bias, cancels
        away = np.linalg.norm(wrote - real) / np.linalg.norm(real)
        assert away > 0.01 if normed else away < 1e-4
    with pytest.raises(ModelError, match="no layer 99"):
        engine.neuron_weights(99)


def test_parallel_blocks_offer_no_middle(any_model: Case) -> None:
    parallel = any_model.engine.info.family in ("phi", "gpt_neox")
    assert ("resid_mid" in any_model.engine.points) is not parallel


def test_response_mean_is_the_plain_mean_of_the_response_tokens(any_model: Case) -> None:
    tokens = any_model.said[0]
    start, end = tokens.interval("response_mean")
    got = any_model.engine.read([tokens], [Site(0), Site(1)], ["response_mean", "last_content", "last_prompt"])
    states = hidden(any_model.bare, tokens.ids)
    for layer in (0, 1):
        x = states[layer + 1][0].numpy()
        np.testing.assert_allclose(got[0, 0, layer], x[start:end].mean(axis=0), rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(got[1, 0, layer], x[tokens.interval("last_content")[0]])
        np.testing.assert_array_equal(got[2, 0, layer], x[start - 1])


def test_a_padded_batch_reads_what_single_rows_read(any_model: Case) -> None:
    engine, sites = any_model.engine, all_sites(any_model.engine)
    together = engine.read(any_model.said, sites, ["response_mean", "last_prompt"])
    apart = np.concatenate(
        [engine.read([row], sites, ["response_mean", "last_prompt"]) for row in any_model.said], axis=1
    )
    error = np.linalg.norm(together - apart, axis=-1) / np.linalg.norm(apart, axis=-1)
    assert error.max() <= 1e-5


def test_residual_norms_leave_the_first_token_out(any_model: Case) -> None:
    got = any_model.engine.residual_norms(any_model.said, [Site(0), Site(1)])
    for layer in (0, 1):
        norms = [hidden(any_model.bare, r.ids)[layer + 1][0, 1:].norm(dim=-1).numpy() for r in any_model.said]
        np.testing.assert_allclose(got[layer], np.median(np.concatenate(norms)), rtol=1e-5)


# --- steering: an account of its own, kept by hooks around the engine's ---------------------------------------------


@dataclass
class Account:
    """What flowed through a place before and after the engine's hook, once per forward."""

    before: list[torch.Tensor] = field(default_factory=list)
    after: list[torch.Tensor] = field(default_factory=list)


def head(x: Any) -> torch.Tensor:
    return (x[0] if isinstance(x, tuple) else x).clone()


@contextmanager
def account(engine: Engine, site: Site) -> Iterator[Account]:
    """Record a place with hooks that run first and last."""
    out, parts = Account(), engine._anatomy
    block = parts.blocks[site.layer]
    handles: list[Any] = []
    if site.point in ("embed", "resid_pre"):
        plain = block.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            out.after.append(head(args[0] if args else kwargs["hidden_states"]))
            return plain(*args, **kwargs)

        handles.append(
            block.register_forward_pre_hook(
                lambda m, a, k: out.before.append(head(a[0] if a else k["hidden_states"])), with_kwargs=True
            )
        )
        block.forward = forward
    else:
        module = block
        if site.point != "resid_post":
            module = (parts.attention if site.point == "attn_out" else parts.mlp)[site.layer]
        handles.append(module.register_forward_hook(lambda m, a, o: out.before.append(head(o))))

        def late(m: Any, a: Any) -> None:
            if len(handles) == 2:  # registered while running: after every hook there is
                handles.append(m.register_forward_hook(lambda m, a, o: out.after.append(head(o))))

        handles.append(module.register_forward_pre_hook(late))
    try:
        yield out
    finally:
        for handle in handles:
            handle.remove()
        block.__dict__.pop("forward", None)


def wanted(rule: str, positions: np.ndarray, border: np.ndarray) -> np.ndarray:
    edge = border[:, None]
    return {
        "all": positions >= 0,
        "prompt": (positions >= 0) & (positions < edge),
        "response": positions >= edge - 1,
        "after_prompt": (positions >= edge),
    }[rule]


def check_account(seen: Account, steering: Steering, positions: list[np.ndarray], border: np.ndarray) -> None:
    """Every chosen token is x + c * v to the bit; every other token, padding too, is untouched to the bit."""
    vector = torch.tensor(np.array(steering.direction.vector))
    assert len(seen.before) == len(seen.after) == len(positions)
    for x, y, at in zip(seen.before, seen.after, positions, strict=True):
        moved = (x.float() + steering.coefficient * vector).to(x.dtype)
        chosen = torch.tensor(wanted(steering.positions, at, border) & (at >= 0))
        assert chosen.shape == x.shape[:2]
        assert torch.equal(y[chosen], moved[chosen])
        assert torch.equal(y[~chosen], x[~chosen])


def left(rows: list[Tokens]) -> np.ndarray:
    width = max(len(r.ids) for r in rows)
    return np.array([[*[-1] * (width - len(r.ids)), *range(len(r.ids))] for r in rows])


@pytest.mark.parametrize("positions", ["all", "prompt", "response", "after_prompt"])
def test_steering_is_x_plus_c_v_to_the_bit_in_every_row_and_generated_position(
    any_model: Case, positions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, rows = any_model.engine, any_model.asked
    monkeypatch.setattr(engine, "_stops", ())
    border = np.array([r.prompt_length for r in rows])
    places = POINTS if positions == "all" else ("resid_post",)
    for point in places:
        site = Site(0 if point == "embed" else 1, point)
        steering = any_model.steering(str(site), 2.5, positions)
        with account(engine, site) as seen:
            written = engine.generate(rows, max_new_tokens=4, steering=[steering])
        assert all(len(g.ids) == 4 for g in written)
        steps = [border[:, None] + i for i in range(3)]
        check_account(seen, steering, [left(rows), *steps], border)


@pytest.mark.parametrize("positions", ["all", "prompt", "response", "after_prompt"])
def test_steering_while_reading_counts_from_the_answer(any_model: Case, positions: str) -> None:
    engine, rows = any_model.engine, any_model.said
    site, border = Site(1, "resid_post"), np.array([r.prompt_length for r in rows])
    steering = any_model.steering(str(site), -1.5, positions)
    width = max(len(r.ids) for r in rows)
    at = np.array([[*range(len(r.ids)), *[-1] * (width - len(r.ids))] for r in rows])
    with account(engine, site) as seen:
        read = engine.read(rows, [site], ["last_prompt"], steering=[steering])
    check_account(seen, steering, [at], border)
    mine = np.stack([seen.after[0][i, n - 1].numpy() for i, n in enumerate(border)])
    np.testing.assert_array_equal(read[0, :, 0], mine, err_msg="a reading at a steered site sees the steered value")


def test_coefficient_zero_changes_no_bit(any_model: Case) -> None:
    engine = any_model.engine
    nothing = [any_model.steering(f"{p}.{0 if p == 'embed' else 1}", 0.0) for p in POINTS]
    sites = all_sites(engine)
    plain, steered = (engine.read(any_model.said, sites, ["response_mean"], steering=s) for s in ((), nothing))
    assert plain.tobytes() == steered.tobytes()
    assert engine.choose(any_model.answers) == engine.choose(any_model.answers, steering=nothing)
    for heat in (0.0, 1.0):
        a, b = (engine.generate(any_model.asked, max_new_tokens=5, temperature=heat, steering=s) for s in ((), nothing))
        assert a == b


@pytest.mark.parametrize(("coefficient", "positions"), [(0.0, "all"), (2.0, "after_prompt")])
def test_negative_zero_stays_where_nothing_is_added(one: Case, coefficient: float, positions: str) -> None:
    with torch.no_grad():
        one.engine._model.get_input_embeddings().weight.fill_(-0.0)
    steering = one.steering("embed.0", coefficient, positions)
    x = one.engine.read(one.asked, [Site(0, "embed")], ["last_prompt"], steering=[steering])
    with account(one.engine, Site(0, "embed")) as seen:
        one.engine.read(one.asked, [Site(0, "embed")], ["last_prompt"], steering=[steering])
    assert (x == 0).all() and torch.signbit(seen.after[0]).all()


def test_several_steerings_apply_in_their_order(one: Case) -> None:
    site = Site(1, "resid_post")
    add, twice = one.steering("resid_post.1", 2.0), one.steering("resid_post.1", 1.0, op=TWICE)
    base = one.engine.read(one.asked, [site], ["last_prompt"])
    v = add.direction.vector
    first = one.engine.read(one.asked, [site], ["last_prompt"], steering=[add, twice])
    np.testing.assert_array_equal(first, (base + np.float32(2) * v) * 2)
    second = one.engine.read(one.asked, [site], ["last_prompt"], steering=[twice, add])
    np.testing.assert_array_equal(second, base * 2 + np.float32(2) * v)


# --- choosing and generating against loops that use no cache, no batch and no padding -------------------------------


@contextmanager
def reference_hook(bare: Any, steering: Steering | None, border: int) -> Iterator[None]:
    """Add c * v at the chosen positions of one unpadded row of the bare model, which always runs the whole text."""
    if steering is None:
        yield
        return
    name = next(n for n in ("model.layers", "transformer.h", "gpt_neox.layers") if _has(bare, n))
    block = bare.get_submodule(f"{name}.{steering.at.layer}")
    vector = torch.tensor(np.array(steering.direction.vector))

    def change(module: Any, args: Any, out: Any) -> Any:
        x = out[0] if isinstance(out, tuple) else out
        chosen = wanted(steering.positions, np.arange(x.shape[1])[None], np.array([border]))
        new = torch.where(torch.tensor(chosen)[..., None], x + steering.coefficient * vector, x)
        return (new, *out[1:]) if isinstance(out, tuple) else new

    handle = block.register_forward_hook(change)
    try:
        yield
    finally:
        handle.remove()


def _has(model: Any, path: str) -> bool:
    return path in {name for name, _ in model.named_modules()}


@torch.inference_mode()
def naive_greedy(bare: Any, row: Tokens, count: int, steering: Steering | None = None) -> tuple[int, ...]:
    ids = list(row.ids)
    with reference_hook(bare, steering, row.prompt_length):
        for _ in range(count):
            ids.append(int(bare(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return tuple(ids[len(row.ids) :])


@torch.inference_mode()
def naive_choice(bare: Any, row: Answers, steering: Steering | None = None) -> list[float]:
    out, n = [], len(row.prompt.ids)
    with reference_hook(bare, steering, n):
        for option in row.options:
            logits = bare(torch.tensor([row.prompt.ids + option]), use_cache=False).logits[0].double()
            logs = torch.log_softmax(logits, dim=-1)
            out.append(sum(float(logs[n - 1 + j, token]) for j, token in enumerate(option)))
    return out


def test_choose_is_one_full_forward_per_option(any_model: Case) -> None:
    assert len({len(o) for row in any_model.answers for o in row.options}) > 1
    assert len({len(row.prompt.ids) for row in any_model.answers}) > 1
    for positions in ("", "all", "prompt", "response", "after_prompt"):
        steering = any_model.steering("resid_post.0", 2.0, positions) if positions else None
        got = any_model.engine.choose(any_model.answers, steering=[steering] if steering else ())
        want = [naive_choice(any_model.bare, row, steering) for row in any_model.answers]
        np.testing.assert_allclose(got, want, atol=1e-4, rtol=0)
        if steering:
            assert np.abs(np.subtract(got, any_model.engine.choose(any_model.answers))).max() > 1e-3


def test_choose_takes_rows_with_different_numbers_of_options(any_model: Case) -> None:
    a, b, c = any_model.answers
    few = replace(b, options=b.options[:2], labels=b.labels[:2], ratings=b.ratings[:2])
    short = replace(c, options=(c.options[0][:1], c.options[1]), labels=("x", "y"), ratings=(0.0, 1.0))
    for row, got in zip([a, few, short], any_model.engine.choose([a, few, short]), strict=True):
        np.testing.assert_allclose(got, naive_choice(any_model.bare, row), atol=1e-4, rtol=0)
    only = replace(c, options=(c.options[0][:1], c.options[-1][-1:]), labels=("x", "y"), ratings=(0.0, 1.0))
    np.testing.assert_allclose(
        any_model.engine.choose([only])[0], naive_choice(any_model.bare, only), atol=1e-4, rtol=0
    )


def test_greedy_generation_is_the_naive_loop_without_cache(any_model: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(any_model.engine, "_stops", ())
    written = any_model.engine.generate(any_model.asked, max_new_tokens=12)
    for row, got in zip(any_model.asked, written, strict=True):
        assert got.ids == naive_greedy(any_model.bare, row, 12)
        assert got.prompt_id == row.prompt_id and not got.stopped


@pytest.mark.parametrize("positions", ["all", "prompt", "response", "after_prompt"])
def test_steered_generation_is_the_uncached_reference(
    any_model: Case, positions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = any_model.engine
    monkeypatch.setattr(engine, "_stops", ())
    norm = float(engine.residual_norms(any_model.asked, [Site(1)])[0])
    steering = any_model.steering("resid_post.1", 2 * norm, positions)
    written = engine.generate(any_model.asked, max_new_tokens=10, steering=[steering])
    assert [g.ids for g in written] == [naive_greedy(any_model.bare, r, 10, steering) for r in any_model.asked]
    plain = engine.generate(any_model.asked, max_new_tokens=10)
    assert any(a.ids != b.ids for a, b in zip(written, plain, strict=True)), "steering must act"
    if positions == "after_prompt":
        assert [g.ids[0] for g in written] == [g.ids[0] for g in plain], "the first answer token comes before it"


def test_generation_without_a_usable_cache_gives_the_same(one: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    steering = [one.steering("resid_post.1", 9.0, "after_prompt")]
    cached = one.engine.generate(one.asked, max_new_tokens=8, steering=steering)
    monkeypatch.setattr(one.engine, "_anatomy", replace(one.engine._anatomy, cached=False, forkable=False))
    assert one.engine.generate(one.asked, max_new_tokens=8, steering=steering) == cached


def test_generation_stops_at_the_end_of_turn_and_rows_end_apart(
    any_model: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = any_model.engine
    monkeypatch.setattr(engine, "_stops", ())
    free = engine.generate(any_model.asked, max_new_tokens=8)
    stop = free[0].ids[3]
    monkeypatch.setattr(engine, "_stops", (stop,))
    for before, got in zip(free, engine.generate(any_model.asked, max_new_tokens=8), strict=True):
        cut = before.ids.index(stop) if stop in before.ids else 8
        assert got.ids == before.ids[:cut] and got.stopped is (cut < 8)


def test_sampling_is_seeded_and_does_not_depend_on_the_batch(any_model: Case) -> None:
    engine, rows = any_model.engine, any_model.asked
    a = engine.generate(rows, max_new_tokens=6, temperature=1.0, seed=5)
    assert a == engine.generate(rows, max_new_tokens=6, temperature=1.0, seed=5)
    assert a[1] == engine.generate([rows[1]], max_new_tokens=6, temperature=1.0, seed=5)[0]
    others = [engine.generate(rows, max_new_tokens=6, temperature=1.0, seed=s) for s in range(3)]
    assert any(o != a for o in others)
    twins = engine.generate([rows[1]] * 4, max_new_tokens=8, temperature=1.5, seed=0)
    assert len({t.ids for t in twins}) > 1


def test_sampling_leaves_the_global_random_state_alone(one: Case) -> None:
    torch.manual_seed(3)
    want = torch.rand(2)
    torch.manual_seed(3)
    one.engine.generate(one.asked, max_new_tokens=4, temperature=1.0, seed=1)
    assert torch.equal(torch.rand(2), want)


def test_generation_never_goes_beyond_the_context(any_model: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, context = any_model.engine, any_model.engine.info.context
    monkeypatch.setattr(engine, "_stops", ())
    ids = any_model.asked[1].ids
    long = replace(any_model.asked[1], ids=(ids * context)[: context - 3], prompt_length=context - 3)
    written = engine.generate([long, any_model.asked[0]], max_new_tokens=7)
    assert [len(g.ids) for g in written] == [3, 7] and not written[0].stopped
    assert written[0].ids == naive_greedy(any_model.bare, long, 3)
    with pytest.raises(ModelError, match="context"):
        engine.generate([replace(long, ids=(ids * context)[:context])], max_new_tokens=1)


# --- what is refused, and what is cleaned up ------------------------------------------------------------------------


def boom(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("boom")


def test_hooks_are_gone_after_every_call_and_after_an_exception(
    any_model: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = any_model.engine
    steering = [any_model.steering(f"{p}.{0 if p == 'embed' else 1}") for p in POINTS]
    calls: list[Callable[[list[Steering]], Any]] = [
        lambda s: engine.read(any_model.said, all_sites(engine), ["response_mean"], steering=s),
        lambda s: engine.choose(any_model.answers, steering=s),
        lambda s: engine.generate(any_model.asked, max_new_tokens=3, steering=s),
    ]
    count = hook_count(engine._model)
    for call in calls:
        call(steering)
        assert hook_count(engine._model) == count
        with pytest.raises(RuntimeError, match="boom"):
            call([any_model.steering("resid_post.1", op=Operation("boom", boom))])
        assert hook_count(engine._model) == count
        with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="boom"):
            patch.setattr(engine._anatomy.blocks[-1], "forward", boom)
            call(steering)
        assert hook_count(engine._model) == count
        call([])


def test_a_steered_site_that_is_passed_by_is_an_error(one: Case) -> None:
    layers = one.engine._model.model.layers
    layers[1], kept = layers[0], layers[1]
    for site in ("resid_post.1", "resid_post.0"):
        with pytest.raises(ModelError, match=r"(0|2) times"):
            one.engine.read(one.asked, [Site(2)], ["last_prompt"], steering=[one.steering(site)])
    layers[1] = kept
    one.engine.read(one.asked, [Site(2)], ["last_prompt"], steering=[one.steering("resid_post.1")])


def test_wrong_sites_and_directions_are_refused(one: Case) -> None:
    engine, rows = one.engine, one.asked
    with pytest.raises(ModelError, match=r"no layer 9[\s\S]*0 to 2"):
        engine.read(rows, [Site(9)], ["last_prompt"])
    with pytest.raises(ModelError, match=r"mlp_neurons[\s\S]*resid_post"):
        engine.read(rows, [Site(0, "mlp_neurons"), Site(0)], ["last_prompt"])
    with pytest.raises(ModelError, match=r"attn_out\.1"):
        engine.choose(one.answers, steering=[one.steering("resid_mid.1")])
    with pytest.raises(ModelError, match="no layer 7"):
        engine.generate(rows, max_new_tokens=1, steering=[one.steering("resid_post.7")])
    good = one.direction(Site(1))
    with pytest.raises(ModelError, match="another model"):
        engine.choose(one.answers, steering=[Steering(ADD, replace(good, model="f" * 64), 1.0)])
    narrow = np.zeros(7, dtype=np.float32)
    narrow[0] = 1
    with pytest.raises(ModelError, match="width 7"):
        engine.choose(one.answers, steering=[Steering(ADD, replace(good, vector=narrow), 1.0)])
    assert engine.choose(one.answers, steering=[Steering(ADD, replace(good, model=""), 1.0)])
    with pytest.raises(ModelError, match="changed the shape"):
        bad = Operation("flat", lambda x, v, c: x[..., 0])
        engine.choose(one.answers, steering=[Steering(bad, good, 1.0)])


def test_texts_beyond_the_context_are_refused_and_never_cut(one: Case) -> None:
    row = one.asked[0]
    long = replace(row, ids=row.ids[:1] * (tiny.CONTEXT + 1), prompt_length=tiny.CONTEXT + 1)
    with pytest.raises(ModelError, match=f"{tiny.CONTEXT + 1} tokens[\\s\\S]*{tiny.CONTEXT}"):
        one.engine.read([row, long], [Site(0)], ["last_prompt"])
    with pytest.raises(ModelError, match="context"):
        one.engine.choose([replace(one.answers[0], prompt=replace(long, ids=long.ids[: tiny.CONTEXT - 1]))])
    with pytest.raises(ModelError, match="1 to"):
        one.engine.read([replace(row, ids=(), prompt_length=1)], [Site(0)], ["last_prompt"])
    with pytest.raises(InputError, match="no response"):
        one.engine.read([row], [Site(0)], ["response_mean"])


def test_points_that_do_not_add_up_are_not_offered(llama: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(llama).eval()
    for layer in model.model.layers:
        layer.self_attn.register_forward_hook(lambda m, a, out: (out[0] * 1, *out[1:]))
        layer.register_forward_hook(lambda m, a, out: out * 1.5)
    assert _families.examine(model, "scaled").points == ("embed", "resid_pre", "resid_post")


def test_a_model_whose_parts_are_not_what_they_seem_is_refused(llama: Path) -> None:
    def fresh() -> Any:
        return AutoModelForCausalLM.from_pretrained(llama).eval()

    twice = fresh()
    twice.model.layers[1] = twice.model.layers[0]
    with pytest.raises(ModelError, match="ran 2 times"):
        _families.examine(twice, "m")
    nameless = fresh()
    nameless.model.stack = nameless.model.layers
    del nameless.model.layers
    with pytest.raises(ModelError, match="no list of 3 blocks"):
        _families.examine(nameless, "m")
    broken = fresh()
    with torch.no_grad():
        broken.model.layers[1].mlp.down_proj.weight[0] = math.nan
    with pytest.raises(ModelError, match="NaN"):
        _families.examine(broken, "m")
    normed = fresh()
    normed.model.norm.register_forward_hook(lambda m, a, out: out + 1)
    plain = normed.model.forward
    normed.model.forward = lambda *a, **k: _shifted(plain(*a, **k))
    with pytest.raises(ModelError, match="final norm"):
        _families.examine(normed, "m")
    sees_all = fresh()
    for layer in sees_all.model.layers:
        layer.self_attn.register_forward_hook(lambda m, a, out: (out[0] + out[0].mean(dim=1, keepdim=True), *out[1:]))
    with pytest.raises(ModelError, match="later words"):
        _families.examine(sees_all, "m")


def _shifted(out: Any) -> Any:
    out.hidden_states = (*out.hidden_states[:-1], out.hidden_states[-1] + 1) if out.hidden_states else None
    return out


# --- loading --------------------------------------------------------------------------------------------------------


def copy_of(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


def test_the_protocol_is_met_and_the_card_is_right(llama: Path) -> None:
    backend = backends.load(str(llama))
    assert isinstance(backend, backends.Backend) and backend.device == "cpu" and backend.default_batch_tokens > 0
    info = backend.info
    assert (info.family, info.n_layers, info.d_model, info.context) == ("llama", 3, 32, 192)
    assert (info.dtype, info.chat, info.revision, info.name) == ("float32", True, "", llama.name)
    assert backends.load(str(llama)).info == info


def test_the_fingerprint_changes_with_one_weight_and_not_with_the_folder(llama: Path, tmp_path: Path) -> None:
    moved = copy_of(llama, tmp_path / "b")
    before = hf.load(str(llama)).info.fingerprint
    assert hf.load(str(moved)).info.fingerprint == before
    weights = load_file(moved / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][0, 0] += 1
    save_file(weights, moved / "model.safetensors", metadata={"format": "pt"})
    assert hf.load(str(moved)).info.fingerprint != before


def test_bfloat16_is_pooled_in_float32_and_steered_to_the_bit(llama: Path) -> None:
    engine = hf.load(str(llama), dtype="bfloat16")
    assert set(POINTS) <= set(engine.points)
    made = Case(engine, None)
    words = engine.tokenizer
    rows = [prompts.encode(words, prompt(q, r)) for q, r in (("hi", "yes do it now"), ("what now?", "no"))]
    site = Site(1)
    steering = made.steering("resid_post.1", 0.7, "response")
    with account(engine, site) as seen:
        got = engine.read(rows, [site], ["response_mean"], steering=[steering])
    width = max(len(r.ids) for r in rows)
    at = np.array([[*range(len(r.ids)), *[-1] * (width - len(r.ids))] for r in rows])
    assert seen.before[0].dtype == torch.bfloat16 and got.dtype == np.float32
    check_account(seen, steering, [at], np.array([r.prompt_length for r in rows]))
    for i, row in enumerate(rows):
        a, b = row.interval("response_mean")
        np.testing.assert_allclose(
            got[0, i, 0], seen.after[0][i, a:b].float().mean(dim=0).numpy(), rtol=1e-6, atol=1e-6
        )
    zero = [made.steering("resid_post.1", 0.0)]
    plain = engine.read(rows, [site], ["response_mean"])
    assert plain.tobytes() == engine.read(rows, [site], ["response_mean"], steering=zero).tobytes()


def test_an_end_of_turn_only_the_template_knows_stops_generation(tmp_path: Path) -> None:
    folder = tiny.build("llama", tmp_path / "m")
    words = tiny.tokenizer("chatml")
    words.eos_token = "<|endoftext|>"
    words.save_pretrained(folder)
    (folder / "generation_config.json").write_text('{"eos_token_id": 2}')
    assert words.convert_tokens_to_ids("<|im_end|>") in hf.load(str(folder))._stops


@pytest.mark.parametrize(
    ("breaking", "message"),
    [
        (lambda f: shutil.rmtree(f), "no model folder"),
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "config.json"),
        (lambda f: (f / "model.safetensors").unlink(), "weights"),
        (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:5000]), "weights"),
        (lambda f: (f / "model.safetensors").write_bytes(b"not weights at all"), "weights"),
        (lambda f: [(f / n).unlink() for n in ("tokenizer.json", "tokenizer_config.json")], "tokenizer"),
        (lambda f: (f / "tokenizer.json").write_text('{"model": 3}'), "tokenizer"),
    ],
)
def test_a_damaged_folder_is_one_readable_error(
    llama: Path, tmp_path: Path, breaking: Callable[[Path], Any], message: str
) -> None:
    folder = copy_of(llama, tmp_path / "m")
    breaking(folder)
    with pytest.raises(ModelError, match=message):
        hf.load(str(folder))


def test_missing_weights_are_not_filled_with_random_numbers(llama: Path, tmp_path: Path) -> None:
    folder = copy_of(llama, tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="weights are missing"):
        hf.load(str(folder))


def test_models_that_are_not_decoder_only_are_refused(tmp_path: Path) -> None:
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertForMaskedLM(BertConfig(vocab_size=50, **small)).save_pretrained(tmp_path / "bert")
    T5ForConditionalGeneration(
        T5Config(vocab_size=50, d_model=16, d_ff=16, d_kv=8, num_layers=1, num_heads=2)
    ).save_pretrained(tmp_path / "t5")
    for name in ("bert", "t5"):
        tiny.tokenizer().save_pretrained(tmp_path / name)
        with pytest.raises(ModelError, match="decoder-only"):
            hf.load(str(tmp_path / name))


def test_an_unknown_hub_id_is_a_readable_error() -> None:
    for name in ("nobody-at-all/no-such-model-here", "no-such-model-here"):
        with pytest.raises(ModelError, match="check the name"):
            hf.load(name)


def test_wrong_dtype_and_device_are_refused(llama: Path) -> None:
    with pytest.raises(ModelError, match=r"float31[\s\S]*did you mean 'float32'"):
        hf.load(str(llama), dtype="float31")
    for name in ("cuda:99", "gpu"):
        with pytest.raises(ModelError, match=r"^--device: no device[\s\S]*to do: name one of these"):
            hf.load(str(llama), device=name)
