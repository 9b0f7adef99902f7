"""Claims about models over several devices, several ranks, or in fewer bits: what is read and steered stays right."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from vprobe import backends, organism
from vprobe.backends import _families, _loading, _placed
from vprobe.backends._engine import Engine
from vprobe.errors import InputError, ModelError
from vprobe.types import Placement, Site

from tests import led, tiny

torch.set_num_threads(1)
ROOT = Path(__file__).resolve().parent.parent
PARTS = ("model.embed_tokens", "model.rotary_emb", "model.layers.0", "model.layers.2", "model.norm", "lm_head")


def has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build("llama", tmp_path_factory.mktemp("m"), context=1024)


@pytest.fixture(scope="module")
def plain(folder: Path) -> Any:
    return backends.load(str(folder))


def agrees(one: dict[str, np.ndarray], other: dict[str, np.ndarray], *, limit: float) -> None:
    """All verbs, steered and not, give the same to a relative limit, and the same tokens."""
    for name, wanted in other.items():
        if "written" in name:
            assert one[name].tolist() == wanted.tolist(), name
        else:
            assert np.abs(one[name] - wanted).max() <= limit * np.abs(wanted).max(), name
    moved = np.abs(other["steered read"] - other["plain read"]).max(axis=(0, 1, 3))
    assert [moved[i] > 0 for i in range(len(led.SITES))] == [s.layer > 1 or s == Site(1) for s in led.SITES]


# Several devices.


@pytest.mark.skipif(not has("accelerate"), reason="accelerate is not installed")
def test_a_model_with_a_block_on_the_disk_does_all_it_does_in_memory(folder: Path, plain: Any) -> None:
    parts = json.dumps(dict.fromkeys(PARTS, "cpu") | {"model.layers.1": "disk"})
    spread = backends.load(str(folder), placement=Placement(device_map=parts))
    weights = dict(spread._model.named_parameters())  # type: ignore[attr-defined]
    assert (
        weights["model.layers.1.mlp.up_proj.weight"].is_meta
        and not weights["model.layers.0.mlp.up_proj.weight"].is_meta
    )
    assert spread.info == plain.info, "the fingerprint too: directions of one are directions of the other"
    agrees(led.found(spread), led.found(plain), limit=1e-6)
    np.testing.assert_array_equal(spread.neuron_weights(1), plain.neuron_weights(1))


@pytest.mark.skipif(not has("accelerate"), reason="accelerate is not installed")
def test_auto_takes_the_devices_there_are(folder: Path, plain: Any) -> None:
    spread = backends.load(str(folder), device="cpu", placement=Placement(device_map="auto"))
    assert spread.info.fingerprint == plain.info.fingerprint
    if not torch.cuda.is_available():
        agrees(led.found(spread), led.found(plain), limit=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs two kinds of device")
def test_blocks_on_two_devices_are_read_and_steered_where_they_are(folder: Path, plain: Any) -> None:
    place = torch.device("cpu")
    loaded = _loading.load(str(folder), revision="", dtype="float32", device=place, trust_remote_code=False)
    away = loaded.model.model.layers[1:]
    for block in away:
        block.to("cuda")
    carry(loaded.model, loaded.model.model.layers[1], "cuda")
    carry(loaded.model, loaded.model.model.norm, "cpu")
    spread = Engine(loaded, _families.examine(loaded.model, "m"), name=str(folder))
    assert spread.info == plain.info
    agrees(led.found(spread), led.found(plain), limit=1e-4)


def carry(model: nn.Module, start: nn.Module, device: str) -> None:
    """From a module on, move what is handed over to a device, as a dispatched model does."""

    def move(_: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        def to(one: Any) -> Any:
            if isinstance(one, torch.Tensor):
                return one.to(device)
            return tuple(map(to, one)) if isinstance(one, tuple) else one

        return tuple(map(to, args)), {key: to(one) for key, one in kwargs.items()}

    blocks = list(model.model.layers)  # type: ignore[union-attr]
    for module in blocks[blocks.index(start) :] if start in blocks else [start]:
        forward = module.forward

        def moved(*args: Any, forward: Any = forward, **kwargs: Any) -> Any:
            args, kwargs = move(None, args, kwargs)
            return forward(*args, **kwargs)

        module.forward = moved  # type: ignore[method-assign]


# Several ranks.


def test_a_model_spread_over_two_ranks_does_all_it_does_in_one_process(
    folder: Path, plain: Any, tmp_path: Path
) -> None:
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "tests.led"]
    done = subprocess.run([*words, str(folder), str(tmp_path / "x.npz")], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    spread = dict(np.load(tmp_path / "x.npz"))
    assert str(spread.pop("model")) == plain.info.fingerprint
    assert set(spread.pop("points")) == set(plain.points)
    agrees(spread, led.found(plain), limit=1e-4)


# Fewer bits.


class Eighths(nn.Module):
    """A linear map whose weights are kept in 8 bits, one scale per output, and multiplied out when it runs."""

    def __init__(self, given: nn.Linear) -> None:
        super().__init__()
        scale = given.weight.abs().amax(dim=1, keepdim=True) / 127
        self.register_buffer("scale", scale)
        self.weight = nn.Parameter((given.weight / scale).round().to(torch.int8), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.weight.to(x.dtype) * self.scale.to(x.dtype))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_hooks_read_and_steer_quantised_blocks_as_blocks_of_the_same_numbers(folder: Path, dtype: str) -> None:
    made = []
    for packed in (True, False):
        place = torch.device("cpu")
        loaded = _loading.load(str(folder), revision="", dtype=dtype, device=place, trust_remote_code=False)
        for name, module in list(loaded.model.model.named_modules()):
            if isinstance(module, nn.Linear):
                small = Eighths(module)
                if packed:
                    loaded.model.model.set_submodule(name, small)
                else:
                    module.weight.copy_(small.weight.to(module.weight.dtype) * small.scale.to(module.weight.dtype))
        loaded = replace(loaded, fingerprint=_loading.fingerprint(loaded.model, loaded.tokenizer))
        made.append(Engine(loaded, _families.examine(loaded.model, "m"), name=str(folder)))
    assert made[0].info.fingerprint != made[1].info.fingerprint and made[0].points == made[1].points
    one, other = (led.found(engine) for engine in made)
    assert one["plain read"].dtype == np.float32
    agrees(one, other, limit=1e-6)
    np.testing.assert_array_equal(made[0].neuron_weights(1), made[1].neuron_weights(1))


@pytest.mark.skipif(not has("torchao"), reason="torchao is not installed")
def test_eight_bits_of_torchao_read_as_the_numbers_they_stand_for(folder: Path, plain: Any) -> None:
    small = backends.load(str(folder), placement=Placement(quantize="int8"))
    reference = backends.load(str(folder))
    kept, own = (dict(one._model.named_parameters()) for one in (small, reference))  # type: ignore[attr-defined]
    changed = [name for name, weight in kept.items() if type(weight.data) is not torch.Tensor]
    assert len(changed) >= 21
    for name in changed:
        own[name].copy_(kept[name].dequantize())
    assert small.info.fingerprint != plain.info.fingerprint
    agrees(led.found(small), led.found(reference), limit=1e-4)


def test_a_model_that_was_to_be_smaller_and_is_not_is_refused(folder: Path) -> None:
    model = _loading.load(
        str(folder), revision="", dtype="float32", device=torch.device("cpu"), trust_remote_code=False
    ).model
    _placed.check_fewer(model, Placement(), "m")
    with pytest.raises(ModelError, match="--quantize int8 left every weight as it was"):
        _placed.check_fewer(model, Placement(quantize="int8"), "m")
    model.model.layers[1].mlp.up_proj = Eighths(model.model.layers[1].mlp.up_proj)
    _placed.check_fewer(model, Placement(quantize="int8"), "m")


@pytest.mark.skipif(not has("torchao"), reason="torchao is not installed")
def test_torchao_knows_no_layer_of_gpt_2_and_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="left every weight as it was"):
        backends.load(str(tiny.build("gpt2", tmp_path)), placement=Placement(quantize="int8"))


@pytest.mark.skipif(not has("bitsandbytes"), reason="bitsandbytes is not installed")
def test_four_bits_of_bitsandbytes_are_read_near_the_whole_model() -> None:
    small, whole = (backends.load(str(organism.load()), placement=Placement(quantize=name)) for name in ("nf4", ""))
    rows, sites = led.ROWS, [Site(layer) for layer in range(4)]
    one, other = (engine.read(rows, sites, ("last_prompt",)) for engine in (small, whole))
    away = np.linalg.norm(one - other, axis=-1) / np.linalg.norm(other, axis=-1)
    assert 1e-3 < np.median(away) < 0.5 and small.info.fingerprint != whole.info.fingerprint
    steered = small.read(rows, sites, ("last_prompt",), steering=led.change(small.info.d_model))
    np.testing.assert_allclose(steered[..., 1, :] - one[..., 1, :], added(small.info.d_model), atol=1e-4)


def added(width: int) -> np.ndarray:
    (one,) = led.change(width)
    return np.broadcast_to(one.coefficient * one.direction.vector, (1, len(led.ROWS), width))


# What is refused.


@pytest.mark.parametrize("package", ["torchao", "bitsandbytes", "accelerate"])
def test_a_missing_library_is_named_with_what_to_install(folder: Path, package: str, monkeypatch) -> None:
    def version(name: str) -> str:
        if name == package:
            raise metadata.PackageNotFoundError(name)
        return "999" if name in ("torchao", "bitsandbytes") else "1.1.0"

    monkeypatch.setattr(metadata, "version", version)
    asked = {"torchao": Placement(quantize="int8"), "bitsandbytes": Placement(quantize="nf4")}
    with pytest.raises(ModelError, match=f"{package} is not installed") as told:
        backends.load(str(folder), placement=asked.get(package, Placement(device_map="auto")))
    assert "vprobe[large]" in str(told.value)


def test_words_that_mean_nothing_or_exclude_each_other_are_refused(folder: Path, monkeypatch) -> None:
    with pytest.raises(InputError, match="did you mean 'nf4'"):
        Placement(quantize="nf8")
    with pytest.raises(InputError, match="--tp-plan together with --quantize"):
        Placement(tp_plan="auto", quantize="int8")
    with pytest.raises(InputError, match="is no JSON"):
        backends.load(str(folder), placement=Placement(device_map="{model: 0}"))
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(ModelError, match="one process cannot divide every block"):
        backends.load(str(folder), placement=Placement(tp_plan="auto"))
    with pytest.raises(ModelError, match="--remote with another engine"):
        backends.load(str(folder), placement=Placement(remote="local"))
