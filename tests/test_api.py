"""The notebook API does what the command line does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import vprobe
from vprobe import api, benchmarks, directions, pipeline, store
from vprobe.config import RunConfig
from vprobe.errors import InputError, ModelError, StoreError, unknown
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


def test_help_and_tab_completion_name_the_notebook_api() -> None:
    assert {"load_model", "open_run"} <= set(dir(vprobe))


def test_a_notebook_may_load_fewer_bits_and_says_which_words_there_are(model: Path) -> None:
    with pytest.raises(InputError, match="one of int8, nf4, llm-int8"):
        vprobe.load_model(model, quantize="int7")
    with pytest.raises(InputError, match="one of local, ndif"):
        vprobe.load_model(model, remote="there")


def test_models_and_runs_say_what_they_are(model: Path, run: Path) -> None:
    opened, talker = vprobe.open_run(run), vprobe.load_model(model)
    assert "directions" in opened.tables() and "directions" in repr(opened)
    assert "float32" in repr(talker) and "active" not in repr(talker)
    with talker.steered(opened.direction("power", method="covariance"), strength=1.0):
        assert "1 changes active" in repr(talker)


def test_a_table_that_no_command_makes_is_answered_with_those_there_are(run: Path) -> None:
    with pytest.raises(StoreError, match=r"one of .*directions"):
        vprobe.open_run(run).table("nope")


def test_a_file_in_the_place_of_a_run_is_called_a_file(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("")
    with pytest.raises(StoreError, match="a file, not a folder"):
        vprobe.open_run(tmp_path / "x.csv")


def test_the_nearest_name_is_spelled_as_it_is_accepted() -> None:
    with pytest.raises(InputError, match="did you mean 'W2'"):
        raise unknown("world", "W12", ("W1x", "W2"))


def test_a_direction_of_the_model_in_another_format_is_refused_with_what_to_do(model: Path, run: Path) -> None:
    direction = vprobe.open_run(run).direction("power", method="covariance")
    talker = vprobe.load_model(model, dtype="bfloat16")
    with pytest.raises(ModelError, match="as it was recorded"), talker.steered(direction, strength=1.0):
        talker.generate("hello", max_new_tokens=2)


def test_a_count_below_zero_is_told_what_counts_are() -> None:
    with pytest.raises(InputError, match="a whole number from 0"):
        RunConfig().changed({"limit": -3})


def test_ratings_of_a_model_that_ignores_the_options_are_said_to_say_little(model: Path, tmp_path: Path) -> None:
    config = RunConfig(model=str(model), benchmark=("everyday",), limit=1, out=str(tmp_path / "r"), greedy=False)
    facts = dict(pipeline.rate(config).facts)
    assert facts["mean option mass"] < 0.01 and "vprobe steer said" in facts["ratings say little"]
