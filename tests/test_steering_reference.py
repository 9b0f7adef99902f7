"""Every operation, position, gate and policy against an account written here: one bare forward, edited by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM
from vprobe import prompts, steering
from vprobe.backends import hf
from vprobe.errors import InputError, ModelError
from vprobe.steering import Given
from vprobe.types import (
    CONFLICTS,
    Answers,
    Direction,
    Gate,
    Mark,
    Message,
    Option,
    Probe,
    Prompt,
    Site,
    Span,
    Steering,
    Tokens,
)

from tests import tiny

torch.set_num_threads(1)
FAMILIES = ("llama", "gpt2", "gpt_neox", "gemma")
BLOCKS = {"llama": "model.layers", "gemma": "model.layers", "gpt2": "transformer.h", "gpt_neox": "gpt_neox.layers"}
INSIDE = {
    "head_out": {"llama": "self_attn.o_proj", "gemma": "self_attn.o_proj", "gpt2": "attn.c_proj",
                 "gpt_neox": "attention.dense"},
    "mlp_neurons": {"llama": "mlp.down_proj", "gemma": "mlp.down_proj", "gpt2": "mlp.c_proj",
                    "gpt_neox": "mlp.dense_4h_to_h"},
}  # fmt: skip
LABELS = ("not like me at all", "like me", "very much like me")
HEADS = 4
Edit = Callable[[np.ndarray, int], np.ndarray]
"""Takes what flows through a place of one unpadded text (token, width) and the index of its first answer token."""


@dataclass
class Case:
    family: str
    engine: Any
    bare: Any
    said: list[Tokens]
    asked: list[Tokens]
    answers: list[Answers]

    def width(self, site: Site) -> int:
        return dict(self.engine._inner).get(site.point, self.engine.info.d_model)

    def direction(self, seed: int, site: str = "resid_post.1") -> Direction:
        place = Site.parse(site)
        vector = np.random.default_rng(seed).standard_normal(self.width(place))
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        return Direction(unit, place, "power", "test", "write", midpoint=0.2, spread=1.5, unit=4.0)


def _prompt(query: str, response: str = "", options: tuple[str, ...] = ()) -> Prompt:
    turns = (Message("user", query), *([Message("assistant", response)] if response else []))
    marks = [Mark("content", 0, 0, len(query)), Mark("options", 0, 1, len(query) - 1)]
    marks += [Mark("response", 1, 0, len(response))] if response else []
    shown = tuple(Option(label, float(i)) for i, label in enumerate(options))
    return Prompt(f"{query}/{response}", "i", "g", "s", "t", turns, tuple(marks), shown)


@pytest.fixture(scope="module", params=FAMILIES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder: Path = tiny.build(request.param, tmp_path_factory.mktemp(request.param))
    engine = hf.load(str(folder), device="cpu")
    engine._stops = ()
    bare = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    queries = ("say hi", "my friend is angry, what should i do now?", "should i go?")
    replies = ("say sorry and be kind", "no", "go on then my friend")
    words = engine.tokenizer
    return Case(
        request.param, engine, bare,
        [prompts.encode(words, _prompt(q, r)) for q, r in zip(queries, replies, strict=True)],
        [prompts.encode(words, _prompt(q)) for q in queries],
        [prompts.encode_answers(words, _prompt(q, options=LABELS)) for q in queries],
    )  # fmt: skip


# --- the account: no cache, no batch, no padding, one text at a time ------------------------------------------------


@contextmanager
def edited(case: Case, edits: Sequence[tuple[Site, Edit]], border: int) -> Iterator[None]:
    handles = []

    def new(edit: Edit, x: torch.Tensor) -> torch.Tensor:
        return torch.tensor(edit(x[0].double().numpy(), border), dtype=torch.float32)[None]

    for site, edit in edits:
        block = case.bare.get_submodule(f"{BLOCKS[case.family]}.{site.layer}")
        if site.point in INSIDE:
            part = block.get_submodule(INSIDE[site.point][case.family])
            handles.append(part.register_forward_pre_hook(lambda m, a, e=edit: (new(e, a[0]), *a[1:])))
        else:
            handles.append(
                block.register_forward_hook(
                    lambda m, a, o, e=edit: (new(e, o[0]), *o[1:]) if isinstance(o, tuple) else new(e, o)
                )
            )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.inference_mode()
def forward(case: Case, ids: Sequence[int], edits: Sequence[tuple[Site, Edit]], border: int) -> Any:
    with edited(case, edits, border):
        return case.bare(torch.tensor([list(ids)]), use_cache=False)


def reads(case: Case, row: Tokens, edits: Sequence[tuple[Site, Edit]]) -> np.ndarray:
    """What enters block 2, averaged over the response."""
    seen: list[np.ndarray] = []
    block = case.bare.get_submodule(f"{BLOCKS[case.family]}.2")
    handle = block.register_forward_pre_hook(
        lambda m, a, k: seen.append((a[0] if a else k["hidden_states"])[0].double().numpy()), with_kwargs=True
    )
    forward(case, row.ids, edits, row.prompt_length)
    handle.remove()
    start, end = row.interval("response_mean")
    return seen[0][start:end].mean(axis=0)


def chosen(case: Case, row: Answers, edits: Sequence[tuple[Site, Edit]]) -> list[float]:
    out, n = [], len(row.prompt.ids)
    for option in row.options:
        logs = (
            forward(case, row.prompt.ids + option, edits, row.prompt.prompt_length).logits[0].double().log_softmax(-1)
        )
        out.append(sum(float(logs[n - 1 + j, token]) for j, token in enumerate(option)))
    return out


def written(case: Case, row: Tokens, edits: Sequence[tuple[Site, Edit]], count: int = 5) -> tuple[int, ...]:
    ids = list(row.ids)
    for _ in range(count):
        ids.append(int(forward(case, ids, edits, row.prompt_length).logits[0, -1].argmax()))
    return tuple(ids[len(row.ids) :])


def check(case: Case, changes: list[Steering], edits: Sequence[tuple[Site, Edit]]) -> None:
    """The engine's batch, padded right when reading and left when choosing and writing, is the account row by row."""
    read = case.engine.read(case.said, [Site(2, "resid_pre")], ["response_mean"], steering=changes)[0, :, 0]
    np.testing.assert_allclose(read, [reads(case, row, edits) for row in case.said], atol=2e-4, rtol=2e-4)
    asked = case.engine.choose(case.answers, steering=changes)
    np.testing.assert_allclose(asked, [chosen(case, row, edits) for row in case.answers], atol=5e-4, rtol=0)
    texts = case.engine.generate(case.asked, max_new_tokens=5, steering=changes)
    assert [text.ids for text in texts] == [written(case, row, edits) for row in case.asked]
    plain = case.engine.choose(case.answers)
    assert np.abs(np.subtract(asked, plain)).max() > 1e-3, "the change must act"


def whole(rule: Callable[[np.ndarray], np.ndarray]) -> Edit:
    """Change every token by a rule for one activation."""
    return lambda x, border: np.array([rule(token) for token in x])


# --- operations -----------------------------------------------------------------------------------------------------


class Eraser:
    def __init__(self, width: int) -> None:
        rng = np.random.default_rng(9)
        self.written, self.read = rng.standard_normal((2, 2, width)) * 0.4
        self.midpoint = rng.standard_normal(width)


def operations(case: Case) -> dict[str, tuple[Steering, Callable[[np.ndarray], np.ndarray]]]:
    """Per operation a change, and what it does to one activation, written out by hand."""
    way, site = case.direction(1), "resid_post.1"
    v, second = way.vector.astype(np.float64), case.direction(2)
    probe, eraser = Probe(case.direction(3), 1.5, 0.4), Eraser(case.engine.info.d_model)
    w = probe.direction.vector.astype(np.float64) * 1.5 / 1.5
    b = 0.4 - 1.5 * 0.2 / 1.5
    s = second.vector - (second.vector @ v) * v
    s = s / np.linalg.norm(s)
    given = Given(
        probe=probe, eraser=eraser, second=second, probability=0.95, target=2.0, low=-0.5, high=0.5, angle=40.0,
        heads=(0, 2), head_count=HEADS, width=case.width(Site(1, "head_out")), source=np.roll(4.0 * second.vector, 1),
    )  # fmt: skip

    there = np.roll(4.0 * second.vector.astype(np.float64), 1)

    def norm(x):
        return np.sqrt((x**2).sum())

    def kept(x):
        y = x + 3.0 * v
        return y * norm(x) / norm(y)

    def turned(x):
        unit, side = x / norm(x), x - (x @ v) * v
        angle = math.acos(unit @ v) - math.radians(35)
        return norm(x) * (math.cos(max(angle, 0)) * v + math.sin(max(angle, 0)) * side / norm(side))

    def angled(x):
        r = math.hypot(x @ v, x @ s)
        rest = x - (x @ v) * v - (x @ s) * s
        return rest + r * (math.cos(math.radians(40)) * v + math.sin(math.radians(40)) * s)

    def erased(x):
        out = x.copy()
        for k in range(2):
            out -= float(eraser.read[k] @ (x - eraser.midpoint)) * eraser.written[k]
        return out

    def dosed(x):
        short = math.log(0.95 / 0.05) - (x @ w + b)
        return x + max(short, 0.0) / norm(w) * (w / norm(w))

    rules = {
        "add": (way, 3.0, lambda x: x + 3.0 * v),
        "norm-preserving-add": (way, 3.0, kept),
        "rotate": (way, 35.0, turned),
        "angular": (way, 1.0, angled),
        "project-out": (way, 1.0, lambda x: x - (x @ v - 2.0) * v),
        "clamp": (way, 1.0, lambda x: x - (x @ v) * v + 2.0 * v),
        "cap": (way, 1.0, lambda x: x + (min(max(x @ v, -0.5), 0.5) - x @ v) * v),
        "leace": (way, 1.0, erased),
        "interchange": (way, 1.0, lambda x: x - (x @ v) * v + (there @ v) * v),
        "patch": (way, 0.5, lambda x: (x + there) / 2),
        "minimal-dose": (probe.direction, 1.0, dosed),
        "relu-dose": (way, 1.5, lambda x: x + 1.5 * max(x @ w + b, 0.0) * v),
    }
    found = {
        name: (Steering(steering.load(name, given), direction, size, site=Site.parse(site)), rule)
        for name, (direction, size, rule) in rules.items()
    }
    return found | inner(case, given)


def inner(case: Case, given: Given) -> dict[str, tuple[Steering, Callable[[np.ndarray], np.ndarray]]]:
    """The operations on neurons and heads."""
    width, rng = case.width(Site(1, "mlp_neurons")), np.random.default_rng(4)
    some = rng.random(width) < 0.3
    shifts = np.where(some, rng.standard_normal(width), 0.0)
    way = steering.neurons(shifts, some, layer=1, value="power")
    each = case.width(Site(1, "head_out")) // HEADS
    own = rng.standard_normal((2, each))
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    heads = steering.heads(own, [0, 2], [1.5, 0.5], head_count=HEADS, layer=1, value="power")

    def headed(x):
        out = x.copy()
        out[0:each] += 4.0 * 1.5 * own[0]
        out[2 * each : 3 * each] += 4.0 * 0.5 * own[1]
        return out

    scaled = Steering(steering.load("neuron-scale"), way, 1.5)
    shifted = Steering(steering.load("neuron-shift"), way, 3.0 * way.unit)
    clamped = Steering(steering.load("neuron-clamp", given), way, 1.0)
    return {
        "neuron-scale": (scaled, lambda x: np.where(some, x * 2.5, x)),
        "neuron-shift": (shifted, lambda x: x + 3.0 * shifts),
        "neuron-clamp": (clamped, lambda x: np.where(some, 2.0, x)),
        "per-head": (Steering(steering.load("per-head", given), heads, 4.0 * heads.unit), headed),
    }


@pytest.mark.parametrize("name", steering.names())
def test_an_operation_is_its_formula_at_every_token(case: Case, name: str) -> None:
    change, rule = operations(case)[name]
    check(case, [change], [(change.at, whole(rule))])


def test_there_is_an_account_of_every_operation(case: Case) -> None:
    assert set(operations(case)) == set(steering.names())


# --- positions, gates and scopes ------------------------------------------------------------------------------------


def tokens(rule: str, n: int, border: int, span: tuple[int, int]) -> np.ndarray:
    at = np.arange(n)
    if rule.startswith("from:"):
        k = int(rule[5:])
        return at >= (k if k >= 0 else border + k)
    return {
        "all": at >= 0, "prompt": at < border, "response": at >= border - 1, "after_prompt": at >= border,
        "last_prompt": at == border - 1, "option_span": (at >= span[0]) & (at < span[1]),
    }[rule]  # fmt: skip


POSITIONS = (
    "all", "prompt", "response", "after_prompt", "last_prompt", "option_span", "from:3", "from:0", "from:-2", "from:99",
)  # fmt: skip


@pytest.mark.parametrize("rule", POSITIONS)
def test_a_position_rule_names_its_tokens_in_every_row(case: Case, rule: str) -> None:
    change = Steering(steering.load("add"), case.direction(1), 4.0, rule)
    v = change.direction.vector.astype(np.float64)
    rows = list(zip(case.said, case.answers, case.asked, strict=True))

    def edits(row: Tokens) -> list[tuple[Site, Edit]]:
        span = row.interval("option_span")
        return [(change.at, lambda x, b: x + 4.0 * tokens(rule, len(x), b, span)[:, None] * v)]

    read = case.engine.read(case.said, [Site(2, "resid_pre")], ["response_mean"], steering=[change])[0, :, 0]
    np.testing.assert_allclose(read, [reads(case, r, edits(r)) for r, _, _ in rows], atol=2e-4, rtol=2e-4)
    asked = case.engine.choose(case.answers, steering=[change])
    np.testing.assert_allclose(asked, [chosen(case, a, edits(a.prompt)) for _, a, _ in rows], atol=5e-4, rtol=0)
    texts = case.engine.generate(case.asked, max_new_tokens=5, steering=[change])
    assert [t.ids for t in texts] == [written(case, row, edits(row)) for _, _, row in rows]


def test_the_option_span_must_be_there(case: Case) -> None:
    change = Steering(steering.load("add"), case.direction(1), 4.0, "option_span")
    bare = replace(case.asked[1], spans=(Span("content", 0, 2),))
    with pytest.raises(InputError, match="no options"):
        case.engine.generate([case.asked[0], bare], max_new_tokens=1, steering=[change])


def own_gate(x: Any) -> Any:
    return x[..., :1] > 0


GATES = ("probability", "cosine", "own")


@pytest.mark.parametrize("each", ["token", "prompt"])
@pytest.mark.parametrize("name", GATES)
def test_a_gate_lets_a_change_act_where_it_is_open(case: Case, name: str, each: str) -> None:
    way, probe = case.direction(1), Probe(case.direction(3), 1.2, 0.1)
    v, u = way.vector.astype(np.float64), probe.direction.vector.astype(np.float64)
    gate = {
        "probability": steering.gate("probability", probe=probe, above=0.5, each=each),
        "cosine": steering.gate("cosine", direction=way, below=0.05, each=each),
        "own": Gate("own", own_gate, each=each),
    }[name]

    def is_open(x: np.ndarray) -> bool:
        if name == "probability":
            return 1 / (1 + math.exp(-(1.2 * ((x @ u - 0.2) / 1.5) + 0.1))) > 0.5
        return bool(x @ v / np.linalg.norm(x) <= 0.05) if name == "cosine" else bool(x[0] > 0)

    def edit(x: np.ndarray, border: int) -> np.ndarray:
        asked = x if each == "token" else np.broadcast_to(x[border - 1], x.shape)
        return np.array([t + 5.0 * v if is_open(a) else t for t, a in zip(x, asked, strict=True)])

    change = Steering(steering.load("add"), way, 5.0, gate=gate)
    read = case.engine.read(case.said, [Site(2, "resid_pre")], ["response_mean"], steering=[change])[0, :, 0]
    place = [(change.at, edit)]
    np.testing.assert_allclose(read, [reads(case, r, place) for r in case.said], atol=2e-4, rtol=2e-4)
    asked = case.engine.choose(case.answers, steering=[change])
    np.testing.assert_allclose(asked, [chosen(case, a, place) for a in case.answers], atol=5e-4, rtol=0)
    texts = case.engine.generate(case.asked, max_new_tokens=5, steering=[change])
    assert [t.ids for t in texts] == [written(case, r, place) for r in case.asked]


def test_minimal_doses_worked_out_at_the_prompts_end_follow_one_another_layer_by_layer(case: Case) -> None:
    """The published procedure: one run per layer with the doses of the layers before it, then one with them all."""
    probes = [Probe(case.direction(20 + k, f"resid_post.{k}"), 1.0, -0.3) for k in range(3)]
    changes = [
        Steering(steering.load("minimal-dose", Given(probe=p, probability=0.97)), p.direction, 1.0, each="prompt")
        for p in probes
    ]

    def doses(row: Tokens) -> list[tuple[Site, Edit]]:
        found: list[tuple[Site, Edit]] = []
        for k, p in enumerate(probes):
            seen: list[np.ndarray] = []
            watch = [(Site(k), lambda x, b, s=seen: (s.append(x[-1].copy()), x)[1])]
            forward(case, row.ids[: row.prompt_length], found + watch, row.prompt_length)
            w = p.direction.vector.astype(np.float64) / 1.5
            b = -0.3 - 0.2 / 1.5
            size = max(0.0, (math.log(0.97 / 0.03) - w @ seen[0] - b) / np.linalg.norm(w))
            shift = size * w / np.linalg.norm(w)
            found.append((Site(k), lambda x, b, d=shift: x + d))
        return found

    read = case.engine.read(case.said, [Site(2, "resid_pre")], ["response_mean"], steering=changes)[0, :, 0]
    np.testing.assert_allclose(read, [reads(case, r, doses(r)) for r in case.said], atol=3e-4, rtol=3e-4)
    asked = case.engine.choose(case.answers, steering=changes)
    np.testing.assert_allclose(asked, [chosen(case, a, doses(a.prompt)) for a in case.answers], atol=5e-4, rtol=0)
    texts = case.engine.generate(case.asked, max_new_tokens=5, steering=changes)
    assert [t.ids for t in texts] == [written(case, r, doses(r)) for r in case.asked]


# --- several changes at one site ------------------------------------------------------------------------------------


def settled(policy: str, x: np.ndarray, acts: np.ndarray, rules: Sequence[Callable[[np.ndarray], np.ndarray]]) -> Any:
    """One token under a conflict policy, spelled out."""
    acting = [rule for rule, on in zip(rules, acts, strict=True) if on]
    if not acting:
        return x
    if policy == "sequence":
        for rule in acting:
            x = rule(x)
        return x
    shifts = [rule(x) - x for rule in acting]
    if policy == "first":
        return x + shifts[0]
    if policy == "strongest":
        return x + max(shifts, key=np.linalg.norm)
    total = np.sum(shifts, axis=0)
    return x + (total / len(acting) if policy == "mean" else total)


@pytest.mark.parametrize("policy", [p for p in CONFLICTS if p != "refuse"])
def test_several_changes_at_one_site_are_settled_by_the_policy(case: Case, policy: str) -> None:
    ways = [case.direction(seed) for seed in (1, 2, 3)]
    v = [way.vector.astype(np.float64) for way in ways]
    where = ("all", "response", "prompt")
    ops = (steering.load("add"), steering.load("project-out"), steering.load("add"))
    changes = [
        Steering(op, way, size, at, conflict=policy)
        for op, way, size, at in zip(ops, ways, (3.0, 1.0, -4.0), where, strict=True)
    ]
    rules = (lambda x: x + 3.0 * v[0], lambda x: x - (x @ v[1]) * v[1], lambda x: x - 4.0 * v[2])

    def edit(x: np.ndarray, border: int) -> np.ndarray:
        acts = np.stack([tokens(rule, len(x), border, (0, 0)) for rule in where], axis=1)
        return np.array([settled(policy, t, on, rules) for t, on in zip(x, acts, strict=True)])

    check(case, changes, [(Site(1), edit)])


def test_a_conflict_may_be_refused_and_policies_may_not_be_mixed(case: Case) -> None:
    one, two = (Steering(steering.load("add"), case.direction(s), 1.0, conflict="refuse") for s in (1, 2))
    assert case.engine.choose(case.answers, steering=[one])
    with pytest.raises(InputError, match=r"2 changes at resid_post\.1"):
        case.engine.choose(case.answers, steering=[one, two])
    with pytest.raises(InputError, match="first, sum side by side"):
        case.engine.choose(case.answers, steering=[replace(one, conflict="sum"), replace(two, conflict="first")])
    apart = [replace(one, conflict="sum"), replace(two, site=Site(0), conflict="first")]
    assert case.engine.choose(case.answers, steering=apart)


# --- changes that differ from row to row ----------------------------------------------------------------------------


def arms(case: Case) -> list[list[Steering]]:
    """Baseline, and changes of many kinds: other vectors, sizes, operations, sites, positions, gates, scopes."""
    known = operations(case)
    add = steering.load("add")
    probe = Probe(case.direction(3), 1.2, 0.1)
    dose = steering.load("minimal-dose", Given(probe=probe, probability=0.9))
    other = steering.load("minimal-dose", Given(probe=Probe(case.direction(5), 0.7), probability=0.8))
    gated = steering.gate("probability", probe=probe, above=0.5, each="prompt")
    return [
        [],
        *([Steering(add, case.direction(seed), size)] for seed in (1, 2) for size in (-3.0, 0.0, 3.0)),
        [Steering(add, case.direction(1), 2.0, "response"), Steering(add, case.direction(2), -2.0, site=Site(0))],
        [Steering(dose, probe.direction, 1.0, each="prompt")],
        [Steering(dose, probe.direction, 1.0, each="token")],
        [Steering(other, case.direction(5), 1.0, each="prompt")],
        [Steering(add, case.direction(2), 3.0, gate=gated)],
        [known["per-head"][0], known["neuron-scale"][0]],
        [Steering(add, case.direction(s), 2.0, conflict="sum") for s in (1, 2)],
        [Steering(add, case.direction(1), 3.0, "option_span")],
        [Steering(add, case.direction(1), 3.0, "after_prompt")],
    ]


def test_rows_of_one_batch_may_each_have_their_own_changes(case: Case) -> None:
    many = arms(case)
    lists = [arm for arm in many for _ in case.answers]
    together = case.engine.choose(case.answers * len(many), steering=lists)
    apart = [row for arm in many for row in case.engine.choose(case.answers, steering=arm)]
    np.testing.assert_allclose(together, apart, atol=1e-4, rtol=0)
    read = case.engine.read(case.said * len(many), [Site(2)], ["response_mean"], steering=lists)
    alone = [case.engine.read(case.said, [Site(2)], ["response_mean"], steering=arm) for arm in many]
    np.testing.assert_allclose(read, np.concatenate(alone, axis=1), atol=1e-4, rtol=1e-5)
    texts = case.engine.generate(case.asked * len(many), max_new_tokens=5, steering=lists)
    each = [text for arm in many for text in case.engine.generate(case.asked, max_new_tokens=5, steering=arm)]
    assert texts == tuple(each)
    assert len({text.ids for text in texts}) > len(case.asked)


def test_baseline_rows_in_a_steered_batch_are_what_they_are_alone(case: Case) -> None:
    strong = [Steering(steering.load("add"), case.direction(1), 50.0)]
    mixed = case.engine.choose(case.answers, steering=[strong, [], strong])
    np.testing.assert_allclose(mixed[1], case.engine.choose(case.answers)[1], atol=1e-5, rtol=0)
    x = case.engine.read(case.said, [Site(1)], ["last_prompt"], steering=[strong, [], []])[0, :, 0]
    plain = case.engine.read(case.said, [Site(1)], ["last_prompt"])[0, :, 0]
    np.testing.assert_array_equal(x[1:], plain[1:])
    np.testing.assert_allclose(x[0] - plain[0], 50 * strong[0].direction.vector, atol=1e-4)


def test_lists_per_row_survive_small_steps_and_rows_that_end_early(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    from vprobe.backends import _choose

    many = arms(case)[:6]
    lists = [many[i % len(many)] for i in range(9)]
    rows = (case.answers * 3)[:9]
    at_once = case.engine.choose(rows, steering=lists)
    monkeypatch.setattr(_choose, "_LARGEST", 1)
    np.testing.assert_allclose(case.engine.choose(rows, steering=lists), at_once, atol=1e-4, rtol=0)
    free = case.engine.generate(case.asked * 3, max_new_tokens=6, steering=lists)
    monkeypatch.setattr(case.engine, "_stops", (free[0].ids[2], free[4].ids[1]))
    some = case.engine.generate(case.asked * 3, max_new_tokens=6, steering=lists)
    for i, text in enumerate(some):
        alone = case.engine.generate([case.asked[i % 3]], max_new_tokens=6, steering=lists[i])
        assert text.ids == alone[0].ids and text.stopped == alone[0].stopped


def test_arms_give_what_rows_with_their_own_changes_give(case: Case) -> None:
    many = arms(case)
    found = case.engine.choose_arms(case.answers, many)
    for arm, got in zip(many, found, strict=True):
        np.testing.assert_allclose(got, case.engine.choose(case.answers, steering=arm), atol=1e-4, rtol=1e-4)


def test_wrong_widths_lists_and_answers_of_gates_are_refused(case: Case) -> None:
    one = Steering(steering.load("add"), case.direction(1), 1.0)
    with pytest.raises(InputError, match="3 lists"):
        case.engine.choose(case.answers, steering=[[one], []])
    wide = steering.load("leace", Given(eraser=Eraser(7)))
    with pytest.raises(ModelError, match=r"array of shape \(2, 7\)"):
        case.engine.choose(case.answers, steering=[Steering(wide, case.direction(1), 1.0)])
    flat = Gate("flat", lambda x: x.sum() > 0)
    with pytest.raises(ModelError, match="gate flat does not answer"):
        case.engine.choose(case.answers, steering=[replace(one, gate=flat)])
    heads = case.direction(1, "head_out.1")
    with pytest.raises(ModelError, match="no layer 8"):
        case.engine.choose(case.answers, steering=[replace(one, direction=replace(heads, site=Site(8, "head_out")))])
