"""The notebook API does what the command line does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import vprobe
from vprobe import api, benchmarks, directions, pipeline, store
from vprobe.config import RunConfig
from vprobe.errors import InputError, StoreError
from vprobe.types import Agreement

from tests import tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = [f"{item.text} {item.response}" for item in benchmarks.load("everyday").items]
    return tiny.untrained(tmp_path_factory.mktemp("api") / "model", words)


@pytest.fixture(scope="module")
def run(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("api") / "run"
    config = RunConfig(
        model=str(model), benchmark=("everyday",), limit=10, out=str(out), draws=5, method=("covariance",)
    )
    config = config.changed({"method": ["covariance"]})
    pipeline.extract(config)
    pipeline.probe(out, config)
    return out


def test_a_model_steers_only_inside_the_block_even_after_an_exception(model: Path, run: Path) -> None:
    talker = vprobe.load_model(model)
    direction = vprobe.open_run(run).direction("benevolence", method="covariance")
    base = talker.read(["hello there"], direction.site)
    with talker.steered(direction, strength=2.0):
        moved = talker.read(["hello there"], direction.site)
    coefficient = 2.0 * direction.unit
    np.testing.assert_allclose(moved - base, [coefficient * direction.vector], atol=1e-5)
    with pytest.raises(ZeroDivisionError), talker.steered(direction, coefficient=5.0):
        _ = 1 / 0
    assert np.array_equal(talker.read(["hello there"], direction.site), base)
    assert np.array_equal(talker.read(["hello there"], str(direction.site)), base)


def test_steering_nests_and_needs_exactly_one_size(model: Path, run: Path) -> None:
    talker = vprobe.load_model(model)
    direction = vprobe.open_run(run).direction("power", "resid_post.1", method="covariance")
    base = talker.read(["hello"], direction.site)
    with talker.steered(direction, coefficient=1.0), talker.steered(direction, coefficient=2.0):
        twice = talker.read(["hello"], direction.site)
    np.testing.assert_allclose(twice - base, [3.0 * direction.vector], atol=1e-5)
    for sizes in ({}, {"strength": 1.0, "coefficient": 1.0}):
        with pytest.raises(InputError, match="exactly one"), talker.steered(direction, **sizes):
            pass


def test_generation_is_a_string_and_repeats(model: Path) -> None:
    talker = vprobe.load_model(model)
    said = [talker.generate("hello", max_new_tokens=5, temperature=1.0, seed=3) for _ in range(2)]
    assert said[0] == said[1] and isinstance(said[0], str)


def test_what_neurons_write_is_named_after_what_two_directions_share(model: Path, run: Path) -> None:
    w_out = vprobe.load_model(model).neuron_weights(1)
    power, security = (vprobe.open_run(run).direction(v, "resid_post.1", method="covariance").vector
                       for v in ("power", "security"))  # fmt: skip
    told = power + 0.5 * security
    found = directions.value_neurons(w_out, power, told)
    assert w_out.shape == (len(found.strength), tiny.D_MODEL) and (found.strength > 0).all()
    shared = directions.divide(power, told).shared
    assert (w_out[found.kind == "shared"] @ shared > 0).all() and (found.kind == "").any()


def test_a_run_gives_tables_activations_and_directions(run: Path) -> None:
    opened = vprobe.open_run(run)
    assert opened.activations().x.shape[0] == len(opened.table("items")) == 50
    assert opened.info.model is not None and opened.info.model.n_layers == tiny.LAYERS
    frame = api.frame(store.load_rows(run, "agreement", Agreement))
    assert {"estimate", "low", "high", "null_high", "ceiling", "n_scored"} <= set(frame.columns)
    with pytest.raises(InputError, match="benevolence"):
        opened.direction("benevolance")
    with pytest.raises(InputError, match=r"resid_post\.1"):
        opened.direction("power", "resid_post.9", method="covariance")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        vprobe.open_run(tmp_path)


def test_an_unknown_attribute_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        _ = vprobe.load_modle
