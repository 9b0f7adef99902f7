"""A vector of another tool goes through the same tests as a fitted one, and what is not known of it is said."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from vprobe import exports, pipeline, store
from vprobe.config import RunConfig
from vprobe.errors import InputError
from vprobe.types import DamageRow, DoseRow, Site, SiteNorm

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A run of the model with planted values."""
    made = RunConfig(model="organism", out=str(tmp_path_factory.mktemp("imports") / "run")).changed(
        {"benchmark": "planted", "limit": 16, "draws": 2, "untrained": False, "method": "covariance",
         "values": ["power", "security"], "steer_method": "covariance", "steer_site": "resid_post.1",
         "sites": "resid_post:1", "map": False, "steer_limit": 2, "null_draws": 1,
         "steer_versions": "v1", "claim_draws": 10, "strengths": [-0.1, 0.1], "damage_limit": 2}
    )  # fmt: skip
    pipeline.extract(made)
    pipeline.probe(Path(made.out), made)
    return made


@pytest.fixture(scope="module")
def foreign(run: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's own direction as another tool would keep it: a bare vector of some length, and a name."""
    one = pipeline.direction(Path(run.out), "power", site="resid_post.1", method="covariance")
    path = tmp_path_factory.mktemp("foreign") / "vec_layer_1_organism.pt"
    torch.save(torch.tensor(3.0 * one.vector), path)
    return path


def test_a_sweep_counts_this_models_norms_and_stays_apart_from_the_runs_own(run: RunConfig, foreign: Path) -> None:
    """Doses in the run's residual norms whatever the file's length, nulls beside it, and nothing a claim rests on."""
    folder = Path(run.out)
    stage = pipeline.steer_sweep(folder, run.changed({"steer_value": "power", "steer_vector": str(foreign)}))
    rows = store.load_rows(folder, "imported", DoseRow)
    assert not store.has(folder, "steering") and not store.has(folder, "nulls")
    assert {row.arm for row in rows} >= {"baseline", "steered", "shuffled", "random"}
    norm = next(row.norm for row in store.load_rows(folder, "norms", SiteNorm) if row.site == "resid_post.1")
    doses = {row.strength: row for row in rows if row.arm == "steered"}
    np.testing.assert_allclose([doses[s].coefficient for s in (-0.1, 0.1)], [-0.1 * norm, 0.1 * norm], rtol=1e-6)
    assert doses[-0.1].effect < 0 < doses[0.1].effect, "the direction is the run's own"
    told = dict(stage.facts)
    assert "vec_layer_1_organism.pt: power at resid_post.1, imported, 3 long" in told["vector"]
    assert told["not known of it"].startswith("its model, what it was fitted on")
    assert str(foreign.parent) not in json.dumps(store.load_info(folder, "imported").config)


def test_its_cost_is_measured_too(run: RunConfig, foreign: Path) -> None:
    folder = Path(run.out)
    pipeline.steer_damage(folder, run.changed({"steer_value": "power", "steer_vector": str(foreign)}))
    rows = store.load_rows(folder, "imported_damage", DamageRow)
    assert {row.method for row in rows} == {"imported"} and len(rows) == 2 and all(row.kl > 0 for row in rows)
    assert not store.has(folder, "damage")


def test_what_a_file_lacks_is_asked_for(run: RunConfig, foreign: Path, tmp_path: Path) -> None:
    folder = Path(run.out)
    for asked, said in (
        ({}, "does not say what its vector points to"),
        ({"steer_value": ["power", "security"]}, "one value"),
        ({"steer_value": "power", "steer_site": "resid_post.2"}, r"resid_post\.1"),
    ):
        with pytest.raises(InputError, match=said):
            pipeline.steer_sweep(folder, run.changed({"steer_vector": str(foreign), **asked}))
    other = tmp_path / "vec_layer_2_organism.pt"
    other.write_bytes(foreign.read_bytes())
    with pytest.raises(InputError, match=r"resid_post\.2 was not recorded[\s\S]*extract"):
        pipeline.steer_sweep(
            folder, run.changed({"steer_value": "power", "steer_site": "", "steer_vector": str(other)})
        )


def test_midpoint_and_spread_are_those_of_the_runs_activations(run: RunConfig, foreign: Path) -> None:
    """Operations that count standard deviations can be asked for, and probes are calibrated on the vector itself."""
    from vprobe.pipeline._import import of_run
    from vprobe.pipeline._manner import manner

    folder = Path(run.out)
    config = run.changed({"steer_vector": str(foreign), "steer_operation": "minimal-dose",
                          "steer_options": ["probability=0.9"]})  # fmt: skip
    acts = store.load_activations(folder, "response_mean")
    x = acts.at(Site(1))
    one = of_run(folder, config, acts, "power")
    scores = one.score(x)
    assert math.isclose(scores.mean(), 0, abs_tol=1e-5) and math.isclose(scores.std(), 1, rel_tol=1e-5)
    few = np.arange(0, len(x), 3)
    part, along = of_run(folder, config, acts, "power", rows=few), x[few].astype(np.float64) @ one.vector
    assert (part.midpoint, part.spread) == pytest.approx((along.mean(), along.std())) and part.midpoint != one.midpoint
    change = manner(folder, config, one).change(one, 1.0)
    weights = change.operation.arrays[0][0]
    np.testing.assert_allclose(weights / np.linalg.norm(weights), one.vector, atol=1e-6)


def test_the_command_line_converts_shows_and_steers(run: RunConfig, foreign: Path, tmp_path: Path, vprobe):
    path = tmp_path / "v.safetensors"
    code, _, _ = vprobe("vectors", "convert", foreign, "--out", path, "--value", "power", "--run", run.out)
    assert code == 0
    (one,) = exports.read(path)
    assert (one.value, one.method, one.site) == ("power", "imported", Site(1)) and math.isclose(
        one.unit, 3, rel_tol=1e-6
    )
    code, _, err = vprobe("vectors", "convert", path, "--out", tmp_path / "v.pt", "--to", "caa")
    assert code == 1 and "--allow-pickle" in err
    code, _, _ = vprobe("vectors", "convert", path, "--out", tmp_path / "v.pt", "--to", "caa", "--allow-pickle")
    assert code == 0 and exports.read(tmp_path / "v.pt")[0].value == "power"
    code, out, _ = vprobe("vectors", "show", tmp_path / "v.pt", "--run", run.out, "--json")
    assert code == 0 and json.loads(out)[0]["value"] == "power"
    code, _, err = vprobe("vectors", "convert", path, "--out", path, "--value", "security")
    assert code == 1 and "a direction of power" in err
