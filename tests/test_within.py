"""Neurons and heads from the command line: the changes that are asked for, found on a run, or refused in words."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from vprobe import __main__ as front
from vprobe import directions, organism, pipeline, steering, store
from vprobe.backends import hf
from vprobe.config import RunConfig
from vprobe.errors import InputError, RefusedError
from vprobe.pipeline._spoken import changes_of
from vprobe.pipeline._within import _read, within
from vprobe.types import Site

torch.set_num_threads(1)
BLOCK = 1


@pytest.fixture(scope="module")
def engine():
    return hf.load(str(organism.load()), device="cpu")


@pytest.fixture(scope="module")
def config(engine, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A run that recorded the residual stream only; it need not be probed."""
    made = RunConfig(model="organism", out=str(tmp_path_factory.mktemp("within") / "run")).changed(
        {"benchmark": "planted", "limit": 16, "sites": "resid_post:1", "untrained": False}
    )
    pipeline.extract(made, backend=engine)
    return made


def asked(config: RunConfig, operation: str, **more: object) -> RunConfig:
    point = "head_out" if operation == "per-head" else "mlp_neurons"
    return config.changed({"steer_operation": operation, "steer_site": f"{point}.{BLOCK}", **more})


def test_listed_neurons_are_changed_and_no_others(config: RunConfig, engine) -> None:
    how = asked(config, "neuron-shift", steer_neurons="1, 5")
    _, (change,), wanted = changes_of(None, how, value="", strength=-2.0, backend=engine)
    assert change.at == Site(BLOCK, "mlp_neurons") and wanted == (("", -2.0),)
    moved = change.coefficient * change.direction.vector
    assert np.flatnonzero(moved).tolist() == [1, 5] and np.allclose(moved[[1, 5]], -2.0, atol=1e-6)
    row = pipeline.steer_text(None, how, value="power", strength=-2.0, prompts_of=["a friend asks for help ."],
                              max_new_tokens=3, backend=engine)[0]  # fmt: skip
    assert row.site == f"mlp_neurons.{BLOCK}" and row.value == "power" and row.base_pieces
    scaled = asked(config, "neuron-scale", steer_neurons="1,5")
    assert changes_of(None, scaled, value="", strength=-1.0, backend=engine)[1][0].coefficient == -1.0
    clamped = asked(config, "neuron-clamp", steer_neurons="3", steer_options=["target=0.5"])
    (change,) = changes_of(None, clamped, value="", strength=1.0, backend=engine)[1]
    x = np.zeros((1, 1, len(change.direction.vector)))
    out = change.operation.apply(x, change.direction.vector[None], 1.0, *change.operation.arrays)
    assert np.flatnonzero(out).tolist() == [3] and out[0, 0, 3] == 0.5


def test_neurons_are_found_as_the_finder_finds_them(config: RunConfig, engine, monkeypatch) -> None:
    x, items = _read(Path(config.out), engine, Site(BLOCK, "mlp_neurons"))
    labels = np.array([item.loading("power") for item in items])
    assert len(x) == len(store.load_samples(Path(config.out)))
    told = directions.contrast_neurons(x[labels > 0], x[labels < 0])
    how = asked(config, "neuron-shift", steer_neurons="found")
    assert told.chosen.any()
    one = within(Path(config.out), how, engine, "power").direction
    np.testing.assert_allclose(one.unit * one.vector, np.where(told.chosen, told.difference, 0), atol=1e-5)
    monkeypatch.setattr(directions, "contrast_neurons", partial(directions.contrast_neurons, least_d=99.0))
    with pytest.raises(RefusedError, match="tells items high in power"):
        within(Path(config.out), how, engine, "power")


def test_heads_get_directions_of_their_own_dosed_in_standard_deviations(config: RunConfig, engine) -> None:
    folder, count = Path(config.out), engine.size.heads
    x, items = _read(folder, engine, Site(BLOCK, "head_out"))
    how = asked(config, "per-head", steer_heads="0,1", steer_method="covariance")
    _, (change,), _ = changes_of(folder, how, value="power", strength=3.0, backend=engine)
    moved = (change.coefficient * change.direction.vector).reshape(count, -1)
    labels, groups = np.array([[item.loading("power")] for item in items]), tuple(item.group for item in items)
    parts = x.reshape(len(x), count, -1).astype(np.float64)
    for head in (0, 1):
        way = directions.fit(parts[:, head], labels, groups, method="covariance", seed=0)[0]
        np.testing.assert_allclose(moved[head], 3.0 * (parts[:, head] @ way).std() * way, rtol=1e-4, atol=1e-6)
    assert not moved[2:].any()
    (mask,) = change.operation.arrays
    assert mask.reshape(count, -1).sum(axis=1).astype(bool).tolist() == [head < 2 for head in range(count)]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"steer_neurons": "1,x"}, "numbers from 0"),
        ({"steer_neurons": "99999"}, "numbers from 0"),
        ({"steer_neurons": "1,1"}, "different numbers"),
        ({"steer_neurons": "found"}, "--run"),
        ({"steer_neurons": ""}, "--neurons"),
        ({"steer_neurons": "1", "steer_site": "resid_post.1"}, r"mlp_neurons\.N"),
        ({"steer_neurons": "1", "steer_heads": "0"}, "one of them"),
        ({"steer_neurons": "1", "dose": "kl=1.0"}, "dose of damage"),
        ({"steer_heads": "99", "steer_site": "head_out.1"}, "numbers from 0"),
        ({"steer_neurons": "1", "steer_operation": "per-head"}, "--heads"),
    ],
)
def test_what_cannot_be_done_is_said(config: RunConfig, engine, more: dict, said: str) -> None:
    operation = "per-head" if "steer_heads" in more and "steer_neurons" not in more else "neuron-scale"
    with pytest.raises(InputError, match=said):
        changes_of(None, asked(config, operation, **more), value="power", strength=1.0, backend=engine)


def test_the_command_line_takes_them(config: RunConfig, monkeypatch, capsys) -> None:
    words = ["vprobe", "steer", "--model", "organism", "--operation", "neuron-scale", "--site", "mlp_neurons.1",
             "--neurons", "1,5", "--strength", "-1", "--prompt", "what matters to you ?", "--max-new-tokens", "3",
             "--json"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as done:
        front.main()
    assert not done.value.code
    assert json.loads(capsys.readouterr().out)[0]["coefficient"] == -1.0
    assert steering.load("neuron-scale").points == ("mlp_neurons",)
