"""Vectors of other tools are read for the layer they act at, and nothing in their files is run."""

from __future__ import annotations

import math
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from vprobe import exports, steering
from vprobe.backends import hf
from vprobe.errors import InputError, ModelError
from vprobe.types import Site, Steering, Tokens

from tests import tiny

torch.set_num_threads(1)
WIDTH = tiny.D_MODEL


def vectors(n: int) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(3).standard_normal((n, WIDTH)), dtype=torch.float32)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The class of the steering-vectors package, written from its documented fields."""

    @dataclass
    class SteeringVector:
        layer_activations: dict
        layer_type: str = "decoder_block"

    name = "steering_vectors.steering_vector"
    SteeringVector.__module__, SteeringVector.__qualname__ = name, "SteeringVector"
    module = ModuleType(name)
    module.SteeringVector = SteeringVector
    monkeypatch.setitem(sys.modules, "steering_vectors", ModuleType("steering_vectors"))
    monkeypatch.setitem(sys.modules, name, module)
    return module


# --- layers ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory):
    return hf.load(str(tiny.build("llama", tmp_path_factory.mktemp("llama"))), device="cpu")


@torch.inference_mode()
def test_a_vector_is_read_for_the_layer_its_tool_adds_it_to(model, package, tmp_path: Path) -> None:
    """hidden_states[k] is the output of block k - 1: the account is one bare forward of transformers.

    The tools' own rules: persona_vectors stacks a difference per entry of hidden_states; repeng, steering-vectors, CAA
    and llama.cpp number blocks from 0 and add to their output.
    """
    row, layer = Tokens("p", (5, 9, 11, 40), 4), 1
    states = model._model(torch.tensor([row.ids]), output_hidden_states=True).hidden_states
    change = vectors(1)[0]
    torch.save(torch.stack([change if k == layer + 1 else change * 0 + 0.1 for k in range(4)]), tmp_path / "p.pt")
    torch.save(package.SteeringVector({layer: change}), tmp_path / "s.pt")
    torch.save(change, tmp_path / f"vec_layer_{layer}_m.pt")
    _repeng(tmp_path / "r.gguf", {layer: change.numpy()})
    for name in ("p.pt", "s.pt", f"vec_layer_{layer}_m.pt", "r.gguf"):
        (one,) = exports.read(tmp_path / name, model=model.info, site=Site(layer))
        change_it = Steering(steering.load("add"), one, one.unit)
        moved = model.read([row], [one.site], ["last_prompt"], steering=[change_it])[0, 0, 0]
        np.testing.assert_allclose(moved, (states[layer + 1][0, -1] + change).numpy(), atol=1e-4)
    found = exports.read(tmp_path / "p.pt", model=model.info)
    assert [one.site for one in found] == [Site(0), Site(1)], "row 0 is no block, the last lies behind the final norm"


def _repeng(path: Path, vectors_of: dict[int, np.ndarray]) -> None:
    """A control vector with the fields that repeng writes, by the gguf package itself."""
    gguf = pytest.importorskip("gguf")
    out = gguf.GGUFWriter(str(path), "controlvector")
    out.add_string("controlvector.model_hint", "llama")
    out.add_uint32("controlvector.layer_count", len(vectors_of))
    for layer, vector in vectors_of.items():
        out.add_tensor(f"direction.{layer}", vector)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def test_a_stack_for_another_depth_is_refused(model, tmp_path: Path) -> None:
    for rows in (tiny.LAYERS, tiny.LAYERS + 2):
        torch.save(vectors(rows), tmp_path / "p.pt")
        with pytest.raises(InputError, match=f"{rows} rows[\\s\\S]*4, for 3 blocks"):
            exports.read(tmp_path / "p.pt", model=model.info)
    torch.save(torch.zeros(4, WIDTH), tmp_path / "p.pt")
    with pytest.raises(InputError, match="no vector"):
        exports.read(tmp_path / "p.pt")


def test_width_and_layer_must_be_the_models(model, package, tmp_path: Path) -> None:
    for layers, said in (({1: torch.ones(WIDTH + 1)}, "width 33"), ({3: torch.ones(WIDTH)}, "layers below 3")):
        torch.save(package.SteeringVector(layers), tmp_path / "s.pt")
        with pytest.raises(ModelError, match=said):
            exports.read(tmp_path / "s.pt", model=model.info)
    torch.save(package.SteeringVector({-1: torch.ones(WIDTH)}), tmp_path / "s.pt")
    with pytest.raises(InputError, match="counted from 0"):
        exports.read(tmp_path / "s.pt")
    torch.save(package.SteeringVector({1: torch.ones(WIDTH)}, "input_layernorm"), tmp_path / "s.pt")
    with pytest.raises(InputError, match="input_layernorm"):
        exports.read(tmp_path / "s.pt")


def test_kinds_of_layers_are_points_and_a_plain_dict_is_read_too(package, tmp_path: Path) -> None:
    for kind, point in (("decoder_block", "resid_post"), ("self_attn", "attn_out"), ("mlp", "mlp_out")):
        for made in (
            package.SteeringVector({2: torch.ones(WIDTH, dtype=torch.bfloat16)}, kind),
            {"layer_activations": {2: torch.ones(1, 1, WIDTH)}, "layer_type": kind},
        ):
            torch.save(made, tmp_path / "s.pt")
            (one,) = exports.read(tmp_path / "s.pt")
            assert (one.site, one.method, one.model, one.value) == (Site(2, point), "imported", "", "")
            assert math.isclose(one.unit, math.sqrt(WIDTH), rel_tol=1e-6)


def test_a_vector_whose_file_does_not_say_where_it_acts_needs_a_site(tmp_path: Path) -> None:
    torch.save(vectors(1)[0], tmp_path / "v.pt")
    with pytest.raises(InputError, match="--site"):
        exports.read(tmp_path / "v.pt")
    assert exports.read(tmp_path / "v.pt", site=Site(2, "mlp_out"))[0].site == Site(2, "mlp_out")
    torch.save(vectors(1)[0], tmp_path / "vec_layer_1_m.pt")
    assert exports.read(tmp_path / "vec_layer_1_m.pt")[0].site == Site(1)
    asked = exports.read(tmp_path / "vec_layer_1_m.pt", site=Site(2))
    assert asked[0].site == Site(2), "what the user says counts before a name"
    exports.write(tmp_path / "vec_layer_0_m.pt", asked, form="caa", allow_pickle=True)
    assert exports.read(tmp_path / "vec_layer_0_m.pt")[0].site == Site(2), "and what the file says before that"


# --- pickles --------------------------------------------------------------------------------------------------------


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("went-off"),)


def test_nothing_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"layer_activations": {1: torch.ones(4)}, "x": Bomb()}, "a.pt")
    Path("b.pt").write_bytes(pickle.dumps(Bomb()))
    Path("c.pt").write_bytes(b"nothing")
    torch.save({"a": 1}, "d.pt")
    torch.save({"layer_activations": {1: "text"}}, "e.pt")
    for name in "abcde":
        with pytest.raises(InputError, match=r"tensors|vectors"):
            exports.read(Path(f"{name}.pt"))
    assert not Path("went-off").exists()


def test_the_package_reads_what_is_written_for_it(package, tmp_path: Path) -> None:
    """Its own class comes back, with its own fields, from a plain load; ours is found by the same name without it."""
    one = exports.read(_caa(tmp_path))[0]
    path = exports.write(tmp_path / "s.pt", [one], form="steering-vectors", strength=0.5, allow_pickle=True)
    found = torch.load(path, weights_only=False)
    assert type(found) is package.SteeringVector and found.layer_type == "decoder_block"
    torch.testing.assert_close(found.layer_activations[1], 0.5 * vectors(1)[0])
    path = exports.write(tmp_path / "p.pt", [one], form="persona-vectors", n_layers=3, allow_pickle=True)
    rows = torch.load(path, weights_only=True)
    torch.testing.assert_close(rows[2], vectors(1)[0])
    assert rows.shape == (4, WIDTH) and not rows[[0, 1, 3]].any()
    with pytest.raises(InputError, match="behind the final norm"):
        exports.write(tmp_path / "p.pt", [one], form="persona-vectors", n_layers=2, allow_pickle=True)


def _caa(folder: Path) -> Path:
    path = folder / "vec_layer_1_m.pt"
    torch.save(vectors(1)[0], path)
    return path
