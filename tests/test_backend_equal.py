"""Every engine reads, scores, steers and writes what the reference engine does, in every family and on real models."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from vprobe import activations, backends, prompts
from vprobe.backends import Backend, _libraries
from vprobe.errors import InputError, ModelError
from vprobe.types import Direction, ModelInfo, Operation, Site, Steering

from tests import tiny
from tests.test_backend_hf import ADD, LABELS, REAL, prompt

torch.set_num_threads(1)
ENGINES = ("nnsight", "transformer-lens")
FAMILIES = ("llama", "qwen2", "qwen3", "gpt2", "gpt_neox", "gemma2")
PLACES = (
    ("embed.0", "all"),
    ("resid_pre.1", "response"),
    ("attn_out.1", "all"),
    ("mlp_out.0", "after_prompt"),
    ("resid_post.1", "response"),
)
LIMIT = 1e-4
QUERIES = ("hi", "my friend is angry, what now?", "should i go?")
REPLIES = ("say sorry and be kind", "no", "go on then my friend")


class Pair:
    """The reference and another engine on the same weights, and what both are asked."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.reference: Any = backends.load(str(folder), device="cpu")
        self.other: Any = backends.load(str(folder), backend=engine, device="cpu")
        words = self.reference.tokenizer
        both = list(zip(QUERIES, REPLIES, strict=True))
        self.said = [prompts.encode(words, prompt(query, reply)) for query, reply in both]
        self.asked = [prompts.encode(words, prompt(query)) for query in QUERIES]
        self.answers = [prompts.encode_answers(words, prompt(query, options=LABELS)) for query in QUERIES]

    def steering(self, place: str, positions: str = "all", coefficient: float = 3.0) -> list[Steering]:
        vector = np.random.default_rng(4).standard_normal(self.reference.info.d_model)
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        fitted = Direction(
            unit, Site.parse(place), "benevolence", "test", "write", model=self.reference.info.fingerprint
        )
        return [Steering(ADD, fitted, coefficient, positions)]

    def sites(self) -> list[Site]:
        layers = range(self.reference.info.n_layers)
        return [Site(0, "embed"), *(Site(i, p) for p in self.reference.points if p != "embed" for i in layers)]


@pytest.fixture(scope="module", params=[(engine, family) for engine in ENGINES for family in (*FAMILIES, *REAL)])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    engine, family = request.param
    if family in REAL:
        folder = request.getfixturevalue("shared") / "models" / family
    else:
        folder = tiny.build(family, tmp_path_factory.mktemp(family))
    yield Pair(folder, engine)
    gc.collect()


def same(x: np.ndarray, y: np.ndarray) -> None:
    """Rows differ by no more than rounding."""
    assert (np.linalg.norm(x - y, axis=-1) <= LIMIT * np.linalg.norm(y, axis=-1)).all()


def test_the_model_is_the_same_model(pair: Pair) -> None:
    assert isinstance(pair.other, Backend)
    assert pair.other.info == pair.reference.info
    assert pair.other.points == pair.reference.points
    assert pair.other.tokenizer.get_vocab() == pair.reference.tokenizer.get_vocab()
    assert pair.other.tokenizer.special_tokens_map == pair.reference.tokenizer.special_tokens_map


def test_activations_are_the_same_at_every_site(pair: Pair) -> None:
    asked = (pair.said, pair.sites(), ["response_mean", "last_prompt"])
    same(pair.other.read(*asked), pair.reference.read(*asked))
    sites = [Site(0), Site(1)]
    for point, _ in pair.reference._inner:
        read = [one.read(pair.said, [Site(1, point)], ["last_prompt"]) for one in (pair.other, pair.reference)]
        same(*read)
    norms = [one.residual_norms(pair.said, sites) for one in (pair.other, pair.reference)]
    np.testing.assert_allclose(norms[0], norms[1], rtol=LIMIT)


def test_what_neurons_write_is_the_same(pair: Pair) -> None:
    last = pair.reference.info.n_layers - 1
    np.testing.assert_allclose(pair.other.neuron_weights(last), pair.reference.neuron_weights(last), atol=1e-6)


def test_steered_activations_scores_and_texts_are_the_same(pair: Pair) -> None:
    plain = pair.reference.choose(pair.answers)
    np.testing.assert_allclose(pair.other.choose(pair.answers), plain, rtol=LIMIT, atol=LIMIT)
    for place, positions in PLACES:
        steering = pair.steering(place, positions)
        texts = [one.generate(pair.asked, max_new_tokens=4, steering=steering) for one in (pair.other, pair.reference)]
        assert texts[0] == texts[1]
        scores = [one.choose(pair.answers, steering=steering) for one in (pair.other, pair.reference)]
        np.testing.assert_allclose(scores[0], scores[1], rtol=LIMIT, atol=LIMIT)
        assert np.abs(np.subtract(scores[1], plain)).max() > 1e-3
        read = [
            one.read(pair.said, [Site(1)], ["response_mean"], steering=steering) for one in (pair.other, pair.reference)
        ]
        same(*read)


def test_greedy_and_sampled_texts_are_the_same(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    for one in (pair.other, pair.reference):
        monkeypatch.setattr(one, "_stops", ())
    for heat in (0.0, 0.7):
        texts = [one.generate(pair.asked, max_new_tokens=10, temperature=heat) for one in (pair.other, pair.reference)]
        assert texts[0] == texts[1] and all(len(one.ids) == 10 for one in texts[0])
    ends = [one.text[len(one.text) // 2 :][:2] for one in texts[0]]
    texts = [
        one.generate(pair.asked, max_new_tokens=10, temperature=0.7, stop=ends) for one in (pair.other, pair.reference)
    ]
    assert texts[0] == texts[1] and all(one.stopped for one in texts[0])


def test_a_sweep_over_doses_is_the_same(pair: Pair) -> None:
    arms = [(), *(pair.steering("resid_post.1", "response", dose) for dose in (-2.0, 2.0))]
    scores = [one.choose_arms(pair.answers, arms) for one in (pair.other, pair.reference)]
    np.testing.assert_allclose(scores[0], scores[1], rtol=LIMIT, atol=LIMIT)


def test_a_failed_change_leaves_nothing_behind(pair: Pair) -> None:
    def boom(x: Any, vector: Any, coefficient: Any) -> Any:
        raise RuntimeError("boom")

    before = pair.other.read(pair.said, [Site(1)], ["last_prompt"])
    steering = pair.steering("resid_post.0")[0]
    broken = Steering(Operation("boom", boom), steering.direction, 1.0)
    with pytest.raises(RuntimeError, match="boom"):
        pair.other.read(pair.said, [Site(1)], ["last_prompt"], steering=[broken])
    np.testing.assert_array_equal(before, pair.other.read(pair.said, [Site(1)], ["last_prompt"]))


# --- names and libraries --------------------------------------------------------------------------------------------


def test_hook_names_of_transformer_lens_are_understood() -> None:
    assert Site.parse("blocks.3.hook_resid_post") == Site(3) == Site.parse("blocks.3.hook_out")
    assert Site.parse("blocks.0.hook_attn_out") == Site(0, "attn_out")
    info = ModelInfo("m", "", "a" * 64, "llama", 4, 8, 64, "float32", False)
    got = activations.expand_sites(["blocks.*.hook_resid_pre", "blocks.1-2.hook_mlp_out"], "", info)
    assert set(got) == {*(Site(i, "resid_pre") for i in range(4)), Site(1, "mlp_out"), Site(2, "mlp_out")}
    for wrong in ("blocks.1.hook_nothing", "blocks.1", "blocks.x.hook_out"):
        with pytest.raises(InputError):
            Site.parse(wrong)


def test_engines_are_listed_and_an_unknown_one_is_refused_with_the_nearest() -> None:
    assert set(backends.names()) == {"hf", *ENGINES}
    with pytest.raises(InputError, match=r"unknown backend 'nnsigt'[\s\S]*did you mean 'nnsight'"):
        backends.load("anything", backend="nnsigt")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_library_that_is_not_there_is_one_readable_error(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    with monkeypatch.context() as patch:
        patch.setattr(_libraries.metadata, "version", gone)
        with pytest.raises(ModelError, match=rf"{engine} is not installed[\s\S]*pip install 'vprobe\[backends\]'"):
            backends.load("no-such-folder", backend=engine)
    old = {"nnsight": "0.7.2", "transformer-lens": "3.5.0"}[engine]
    monkeypatch.setattr(_libraries.metadata, "version", lambda name: old)
    with pytest.raises(ModelError, match=rf"{engine} {old}[\s\S]*expected"):
        backends.load("no-such-folder", backend=engine)


def test_the_engines_files_import_nothing_heavy_of_their_own() -> None:
    for name in ("nnsight", "transformer_lens"):
        text = Path(str(importlib.import_module(f"vprobe.backends.{name}").__file__)).read_text(encoding="utf-8")
        assert f"import {name}" not in text and f"from {name}" not in text
