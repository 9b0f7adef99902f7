"""What `extract --plan` says is what a recording then runs and stores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM
from typer.testing import CliRunner
from vprobe import activations, backends
from vprobe.cli import app
from vprobe.types import Site, Tokens

from tests import fake_backend, tiny
from tests.test_shared_prefixes import POSITIONS, Case

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tiny.build("llama", tmp_path_factory.mktemp("m")))


@pytest.mark.parametrize("shared", [True, False])
def test_operations_and_bytes_are_those_of_the_recording(case: Case, tmp_path: Path, shared: bool) -> None:
    engine: Any = case.engine
    kept = engine.unshared
    sites = [site for site in case.sites if site.point == "resid_post" and site.layer < 2]
    try:
        engine.unshared = "for the test" if not shared else kept
        told = activations.foresee(engine, case.rows, sites, POSITIONS)
        with FlopCounterMode(display=False) as counted:
            activations.record(engine, case.asked, case.rows, sites=sites, positions=POSITIONS, folder=tmp_path)
    finally:
        engine.unshared = kept
    assert told.tokens == sum(len(row.ids) for row in case.rows)
    assert told.distinct == len({row.ids[:n] for row in case.rows for n in range(1, len(row.ids) + 1)})
    assert told.computed == (told.tokens if not shared else told.computed) and told.distinct <= told.computed
    assert (told.computed < 0.8 * told.tokens) is shared
    ran = counted.get_total_flops()  # with padding and pooling, without attention on a CPU
    assert 0.75 * told.flops <= ran <= 2 * told.flops
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors"))
    assert told.stored <= size <= told.stored + 1000 * len(sites) * len(POSITIONS)
    assert told.seconds > 0 and told.memory > sum(w.numel() * 4 for w in engine._model.parameters())


def test_nothing_is_read_when_no_trial_is_asked_for() -> None:
    engine = fake_backend.FakeBackend()
    rows = [fake_backend.encode(engine.tokenizer, prompt) for prompt in fake_backend.prompts()]
    told = activations.foresee(engine, rows, fake_backend.SITES, fake_backend.POSITIONS, trial=False)
    assert engine.calls == [] and told.seconds != told.seconds
    assert told.computed == told.tokens == sum(len(row.ids) for row in rows)


def test_the_command_says_it_all_and_makes_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["extract", "--plan", "--model", "organism", "--benchmark", "everyday", "--limit", "4", "--json"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["samples"] == 20 and told["shared beginnings"] == "computed once"
    assert told["distinct tokens"] <= told["tokens that run"] < told["tokens"]
    assert told["TFLOP, all readings"] > 0 and told["memory at the peak, GiB"] > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "more", [(), ("--no-untrained",), ("--no-untrained", "--sites", "embed", "--sites", "resid_post:1")]
)
def test_the_command_counts_all_that_an_extraction_stores(tmp_path: Path, more: tuple[str, ...]) -> None:
    asked = ["--model", "organism", "--benchmark", "everyday", "--limit", "2", "--json", *more]
    told = json.loads(CliRunner().invoke(app, ["extract", "--plan", *asked]).stdout)
    assert CliRunner().invoke(app, ["extract", "--out", str(tmp_path / "run"), *asked]).exit_code == 0
    files = list((tmp_path / "run").rglob("activations/**/*.safetensors"))
    stored = sum(np.prod(load_file(path)["x"].shape) * 4 for path in files)
    assert told["store, MiB, all readings"] * 2**20 == pytest.approx(stored)
    assert told["untrained model beside it"] == ("no" if more else "read too")
    assert (tmp_path / "run" / "baselines" / "untrained").exists() is not bool(more)


def test_of_several_ranks_one_tells_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(
        app, ["extract", "--plan", "--model", "organism", "--benchmark", "everyday", "--limit", "1"]
    )
    assert done.exit_code == 0 and done.output == ""


def test_models_that_share_nothing_say_why_in_the_plan(tmp_path: Path) -> None:
    folder = tiny.build("gemma2", tmp_path / "m", context=1024)
    asked = ["extract", "--plan", "--model", str(folder), "--benchmark", "everyday", "--limit", "1"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0 and "no: its cache does not keep every token" in done.output


def test_an_unknown_engine_is_refused_at_the_command_line() -> None:
    done = CliRunner().invoke(app, ["extract", "--plan", "--model", "organism", "--backend", "transformerlens"])
    assert done.exit_code != 0
    with pytest.raises(Exception, match="did you mean 'transformer-lens'"):
        backends.load("organism", backend="transformerlens")


def test_a_token_passes_through_the_experts_it_is_sent_to(tmp_path: Path) -> None:
    sizes = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
    words = tiny.tokenizer()
    config = AutoConfig.for_model("mixtral", vocab_size=len(words), num_key_value_heads=4, num_local_experts=8, **sizes)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    engine = backends.load(str(tmp_path), device="cpu")
    rows = [Tokens(str(i), tuple(range(5 + i, 45 + i)), 40) for i in range(4)]
    told = activations.foresee(engine, rows, [Site(1)], ["last_prompt"], trial=False)
    of_block = sum(weight.numel() for weight in engine._anatomy.blocks[0].parameters())
    expert = 3 * 64 * 256  # two of eight are used
    assert engine.size.block_parameters == of_block - 6 * expert
    assert told.flops == pytest.approx(2 * 160 * 2 * engine.size.block_parameters, rel=0.1)


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_memory_counts_a_long_text_whole_and_what_attention_makes_of_it(family: str, tmp_path: Path) -> None:
    n = 1500
    engine = backends.load(str(tiny.build(family, tmp_path, context=2048)), device="cpu")
    rows = [Tokens(str(i), (*range(5, 15), *(5 + (i * k) % 300 for k in range(n - 10))), n) for i in range(1, 4)]
    short, long = (
        activations.foresee(
            engine, [Tokens(r.prompt_id, r.ids[:k], k) for r in rows], [Site(2)], ["last_prompt"], trial=False
        )
        for k in (100, n)
    )
    tokens = n * 4 * (3 * 48 + 8 * tiny.D_MODEL)  # float32: inside the MLP, and copies of the stream
    pairs = n * n * 4 * (4 + 4) if engine._model.config._attn_implementation == "eager" else 0  # four heads
    assert long.memory - engine.size.weight_bytes >= tokens + pairs
    assert long.memory > 5 * short.memory
