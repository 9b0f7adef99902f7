"""Operations, gates and policies from the command line do what the records do, and say what they lack."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from vprobe import directions, exports, pipeline, splits, steering, store
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.pipeline._manner import manner
from vprobe.types import Direction, DoseRow, SaidRow

SITE = "resid_post.1"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A run of the model with planted values, in which every value can be decoded."""
    made = RunConfig(model="organism", out=str(tmp_path_factory.mktemp("manner") / "run")).changed(
        {"benchmark": "planted", "limit": 16, "draws": 5, "method": "covariance", "steer_method": "covariance",
         "steer_site": SITE, "sites": "resid_post:1", "map": False}
    )  # fmt: skip
    pipeline.extract(made)
    pipeline.probe(Path(made.out), made)
    return made


def direction(config: RunConfig, value: str = "power") -> Direction:
    return pipeline.direction(Path(config.out), value, site=SITE, method="covariance")


def made(config: RunConfig, operation: str, *options: str, gate: str = "none"):
    changed = config.changed({"steer_operation": operation, "steer_options": list(options), "steer_gate": gate})
    return manner(Path(config.out), changed, direction(config))


@pytest.mark.parametrize(
    ("operation", "options"),
    [
        ("add", ()),
        ("norm_preserving_add", ()),
        ("rotate", ()),
        ("angular", ("second=benevolence", "angle=40")),
        ("project-out", ()),
        ("clamp", ("target=1.5",)),
        ("cap", ("low=-1", "high=1")),
        ("leace", ()),
        ("minimal-dose", ("probability=0.9", "each=prompt")),
        ("relu-dose", ()),
    ],
)
def test_every_operation_on_the_residual_stream_can_be_asked_for(config, operation: str, options) -> None:
    how = made(config, operation, *options)
    change = how.change(direction(config), 1.0)
    assert change.operation.name == operation.replace("_", "-")
    adds = how.operation.measure == "activation"
    assert math.isclose(change.coefficient, direction(config).unit if adds else 1.0)
    assert change.each == ("prompt" if "each=prompt" in options else "token")


def test_targets_count_standard_deviations_of_the_fitted_scores(config: RunConfig) -> None:
    way = direction(config)
    one = made(config, "clamp", "target=1.5").operation
    x = np.random.default_rng(0).standard_normal((1, 4, len(way.vector))).astype(np.float32)
    np.testing.assert_allclose(way.score(one.apply(x, way.vector[None], 1.0, *one.arrays)[0]), 1.5, atol=1e-4)


def test_a_dose_and_a_gate_rest_on_a_probe_calibrated_on_held_out_scores(config: RunConfig) -> None:
    way, acts = direction(config), store.load_activations(Path(config.out), "response_mean")
    x = acts.at(way.site)[None].astype(np.float64)
    one = made(config, "minimal-dose", "probability=0.99").operation
    gate = made(config, "add", "gate-above=0.5", "gate_each=prompt", gate="probability").gate
    assert gate is not None and gate.each == "prompt"
    items = store.load_items(Path(config.out))
    ids = tuple(name.partition("/")[0] for name in acts.sample_ids)
    y, groups = items.loadings(ids, ("power",))[:, 0], items.groups(ids)
    folds = splits.by_group(groups, k=5, seed=0)
    scores = directions.held_out(x[0], y[:, None], groups, folds, method="covariance", seed=0)[:, 0]
    wanted = steering.calibrate(way, scores, y > 0)
    assert wanted.slope > 0.5
    unseen = x + 1e-3  # the direction refuses the samples it was fitted on
    np.testing.assert_array_equal(gate.opens(unseen, *gate.arrays)[0, :, 0], wanted.probability(unseen[0]) > 0.5)
    moved = one.apply(unseen, way.vector[None].astype(np.float64), 1.0, *one.arrays)[0]
    assert np.all(wanted.probability(moved) > 0.99 - 1e-6) and np.any(wanted.probability(unseen[0]) < 0.99)


@pytest.mark.parametrize(
    ("operation", "options", "gate", "message"),
    [
        ("ad", (), "none", "did you mean 'add'"),
        ("clamp", (), "none", "no target"),
        ("minimal-dose", (), "none", "no probability"),
        ("angular", ("angle=3",), "none", "no second direction"),
        ("add", ("strenght=3",), "none", "unknown option 'strenght'"),
        ("add", ("angle",), "none", "NAME=VALUE"),
        ("clamp", ("target=high",), "none", "a number"),
        ("add", ("each=word",), "none", "scope"),
        ("add", (), "probabilty", "did you mean 'probability'"),
        ("add", (), "cosine", "one bound"),
        ("add", ("target=2",), "none", "target with operation add"),
        ("clamp", ("target=2", "high=1"), "none", "high with operation clamp"),
        ("add", ("gate_above=0.5",), "none", "gate_above with operation add and gate none"),
        ("clamp", ("target=2", "target=1"), "none", "target twice"),
        ("minimal-dose", ("probability=0.1", "below=true"), "none", "'true'"),
        ("angular", ("second=power", "angle=40"), "none", "steered itself"),
    ],
)
def test_what_is_missing_or_misspelt_is_said(config, operation: str, options, gate: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        made(config, operation, *options, gate=gate)


def test_the_second_axis_of_a_plane_has_not_seen_the_queries_it_is_tried_on(config: RunConfig) -> None:
    asked = config.changed({"steer_operation": "angular", "steer_options": ["second=benevolence", "angle=40"]})
    acts, items = store.load_activations(Path(config.out), "response_mean"), store.load_items(Path(config.out))
    ids = tuple(name.partition("/")[0] for name in acts.sample_ids)
    some = np.flatnonzero(np.arange(len(ids)) % 10 < 5)
    y, groups = items.loadings(ids, items.values), items.groups(ids)
    wanted = directions.fit(acts.at(direction(config).site)[some].astype(np.float64), y[some],
                            tuple(groups[i] for i in some), method="covariance", seed=0)  # fmt: skip
    second = manner(Path(config.out), asked, direction(config), samples=some).operation.arrays[0][0]
    np.testing.assert_allclose(second, wanted[items.values.index("benevolence")], atol=1e-5)
    assert np.abs(second - direction(config, "benevolence").vector).max() > 1e-3, "which is fitted on all of them"


def test_two_axes_that_are_one_make_no_plane_to_turn_in(config: RunConfig) -> None:
    way, x = direction(config), np.random.default_rng(1).standard_normal((1, 3, len(direction(config).vector)))
    near = way.vector + 1e-7 * np.random.default_rng(2).standard_normal(len(way.vector)).astype(np.float32)
    for axis in (way.vector, -way.vector, near):
        one = steering.load("angular", steering.Given(second=dataclasses.replace(way, vector=axis), angle=40.0))
        np.testing.assert_array_equal(one.apply(x, way.vector[None], 1.0, *one.arrays), x)


def test_heads_and_neurons_need_directions_of_their_own(config: RunConfig) -> None:
    with pytest.raises(InputError, match=r"mlp_neurons"):
        made(config, "neuron-scale").change(direction(config), 1.0)


def test_several_values_steer_together_from_the_command_line(config: RunConfig, vprobe) -> None:
    asked = ("steer", "--model", config.model, "--run", config.out, "--method", "covariance", "--site", SITE,
             "--prompt", "hello there", "--max-new-tokens", 4, "--json")  # fmt: skip
    code, out, _ = vprobe(*asked, "--value", "benevolence=3,power=-2", "--conflict", "sum")
    row = json.loads(out)[0]
    assert code == 0 and row["value"] == "benevolence 3, power -2" and row["strength"] is None
    code, out, _ = vprobe(*asked, "--value", "power", "--operation", "rotate", "--strength", 30, "--gate", "cosine",
                          "--option", "gate_below=0.9")  # fmt: skip
    assert code == 0 and json.loads(out)[0]["coefficient"] == 30.0
    code, _, err = vprobe(*asked, "--value", "benevolence=3,power=-2", "--conflict", "refuse")
    assert code == 1 and "2 changes" in err
    code, _, err = vprobe(*asked, "--value", "power,power")
    assert code == 1 and "stands twice" in err
    code, _, err = vprobe(*asked, "--value", "power", "--operation", "turn")
    assert code == 1 and "norm-preserving-add" in err


def test_a_sweep_says_which_operation_and_counts_in_its_measure(config: RunConfig) -> None:
    how = config.changed(
        {"steer_value": "power", "steer_operation": "rotate", "strengths": [20.0], "steer_limit": 2, "null_draws": 1,
         "steer_versions": "v1", "claim_draws": 10}
    )  # fmt: skip
    pipeline.steer_sweep(Path(config.out), how)
    rows = [row for row in store.load_rows(Path(config.out), "steering", DoseRow) if row.arm != "prompted"]
    assert {row.operation for row in rows} == {"rotate"}
    assert {row.coefficient for row in rows} == {0.0, 20.0}
    leace = dataclasses.replace(how, steer_operation="leace")
    for run, more in ((pipeline.steer_sweep, {}), (pipeline.steer_transfer, {"instruments": ("portraits",)}),
                      (pipeline.steer_said, {})):  # fmt: skip
        with pytest.raises(InputError, match="no null vectors"):
            run(Path(config.out), leace, **more)
    with pytest.raises(InputError, match="no dose beside 0"):
        pipeline.steer_sweep(Path(config.out), dataclasses.replace(how, strengths=(0.0,)))
    (base,) = (row for row in rows if row.arm == "baseline")
    assert math.isnan(base.anti), "without a dose there is no way to go against"


def test_a_sweep_that_changes_nothing_says_so(config: RunConfig) -> None:
    how = config.changed({"steer_value": "power", "strengths": [-0.05, 0.05], "steer_limit": 2, "null_draws": 1,
                          "steer_versions": "v1", "claim_draws": 10})  # fmt: skip
    shut = how.changed({"steer_gate": "cosine", "steer_options": ["gate_above=0.99"]})
    told = {gate: dict(pipeline.steer_sweep(Path(config.out), one).facts) for gate, one in (("", how), ("shut", shut))}
    assert "CHANGES NOTHING" not in told[""] and "vector of power" in str(told["shut"]["CHANGES NOTHING"])
    rows = [row for row in store.load_rows(Path(config.out), "steering", DoseRow) if row.arm == "steered"]
    assert {row.anti for row in rows} == {0.0}, "nor does any item go against its label"
    pipeline.steer_said(Path(config.out), shut)
    said = [row for row in store.load_rows(Path(config.out), "said", SaidRow) if row.arm == "steered"]
    assert {row.anti for row in said} == {0.0}


@pytest.mark.parametrize("suffix", ["gguf", "safetensors"])
def test_a_direction_is_exported_shown_and_steers_as_before(config, vprobe, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"power.{suffix}"
    code, out, _ = vprobe("vectors", "export", "--run", config.out, "--value", "power", "--site", SITE, "--method",
                          "covariance", "--strength", 0.3, "--out", path)  # fmt: skip
    assert code == 0 and SITE in out
    code, out, _ = vprobe("vectors", "show", path, "--json")
    row = json.loads(out)[0]
    assert code == 0 and (row["site"], row["value"], row["model"]) == (SITE, "power", direction(config).model)
    (back,) = exports.read(path, model=store.load_info(Path(config.out)).model)
    np.testing.assert_allclose(back.vector, direction(config).vector, atol=1e-6)
    code, _, err = vprobe("vectors", "show", tmp_path / "none.gguf")
    assert code == 1 and "no such file" in err
