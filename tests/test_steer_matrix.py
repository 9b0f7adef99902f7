"""`vprobe steer matrix` on the planted model: effects of ten values at once, their rows, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from vprobe import backends, exports, organism, pipeline, store
from vprobe.cli import effects as command
from vprobe.config import RunConfig
from vprobe.errors import VprobeError
from vprobe.types import EffectRow, ResponseRow, SpecificityRow
from vprobe.values import SCHWARTZ


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("matrix") / "run"
    config = RunConfig(
        model=str(organism.load()), benchmark=("planted",), out=str(folder), sites=("resid_post:1",), draws=19,
        method=("partial",), map=False, device="cpu", steer_method="partial", steer_versions=("v1",),
        steer_positions="response", strengths=(-0.03, 0.0, 0.03), steer_limit=8,
        steer_value=("power", "benevolence", "tradition"),
    )  # fmt: skip
    backend = backends.load(config.model, device="cpu")
    pipeline.extract(config, backend=backend)
    pipeline.probe(folder, config)
    pipeline.steer_matrix(folder, config, backend=backend)
    return folder


def test_each_value_moves_itself_most(run: Path) -> None:
    cells = store.load_rows(run, "effects", EffectRow)
    unique = {(r.target, r.measured): r.effect for r in cells if (r.method, r.kind) == ("partial", "unique")}
    assert len(cells) == 3 * 3 * 2 * 2 and len(unique) == 9
    for target in ("power", "benevolence", "tradition"):
        own = unique[target, target]
        assert own > 5
        assert all(abs(unique[target, other]) < own / 2 for _, other in unique if other != target)


def test_doses_keep_their_order_and_rows_say_what_was_done(run: Path) -> None:
    rows = store.load_rows(run, "dose_response", ResponseRow)
    assert {r.method for r in rows} == {"partial", "covariance"} and len(rows) == 6
    for row in rows:
        assert row.rho == pytest.approx(1.0) and row.slope > 0 and row.anti < 0.5
        assert (row.positions, row.site) == ("response", "resid_post.1") and row.unit > 0
        assert row.n_items + row.n_unscored == 40
    for method in ("partial", "covariance"):
        assert np.mean([row.anti for row in rows if row.method == method]) < 0.35
    specific = store.load_rows(run, "specificity", SpecificityRow)
    assert len(specific) == 12 and all(0 <= r.low <= r.high and r.others < r.own for r in specific)


def test_leaks_are_not_negative_and_missing_on_the_diagonal(run: Path) -> None:
    for row in store.load_rows(run, "effects", EffectRow):
        assert np.isnan(row.leak) == (row.target == row.measured)
        assert row.target == row.measured or row.leak >= 0


def test_the_tables_are_printed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command._responses(run)
    command._matrix(run)
    command._specificity(run)
    said = capsys.readouterr().out
    assert "Benevolence" in said and "items against" in said and "circle g" in said


def test_a_vector_from_a_file_takes_the_place_of_its_values_own(run: Path, tmp_path: Path) -> None:
    """Its row is what its direction does; the rows of the others are what they were, and the run's tables stay."""
    config = pipeline.as_steered(run).changed({"model": str(organism.load()), "device": "cpu"})
    card = organism.read_card(organism.load())
    backend = backends.load(config.model, device="cpu")
    made = replace(pipeline.direction(run, "power", method="partial"),
                   vector=card.u[SCHWARTZ.index("security")].astype(np.float32))  # fmt: skip
    file = exports.write(tmp_path / "v.safetensors", [made], strength=1.0)
    before = {name: store.table(run, name) for name in ("dose_response", "effects", "specificity")}
    own = {(r.target, r.measured): r.effect for r in store.load_rows(run, "effects", EffectRow)
           if (r.method, r.kind) == ("partial", "marginal")}  # fmt: skip
    stage = pipeline.steer_matrix(run, config.changed({"steer_vector": str(file)}), backend=backend)
    assert any(name == "vector" for name, _ in stage.facts)
    for name, table in before.items():
        assert table.equals(store.table(run, name)), "no claim and no card sees the vector of a file"
    cells = [r for r in store.load_rows(run, "imported_effects", EffectRow) if r.kind == "marginal"]
    assert {r.method for r in cells if r.target == "power"} == {"imported"}
    assert {r.method for r in cells if r.target != "power"} == {"partial"} and len(cells) == 9
    for r in cells:
        assert r.target == "power" or r.effect == pytest.approx(own[r.target, r.measured], rel=1e-4, abs=1e-4)
    swapped = next(r.effect for r in cells if (r.target, r.measured) == ("power", "power"))
    assert swapped < own["power", "power"] / 2, "it is the direction of another value"
    responses = store.load_rows(run, "imported_dose_response", ResponseRow)
    assert {(r.value, r.method) for r in responses} == {
        ("power", "imported"), ("benevolence", "partial"), ("tradition", "partial")}  # fmt: skip
    assert len(store.load_rows(run, "imported_specificity", SpecificityRow)) == 6


def test_a_file_of_no_value_or_of_another_is_refused(run: Path, tmp_path: Path) -> None:
    config = pipeline.as_steered(run).changed({"model": str(organism.load()), "device": "cpu"})
    found = pipeline.direction(run, "security", method="partial")
    other = exports.write(tmp_path / "security.safetensors", [found], strength=1.0)
    with pytest.raises(VprobeError, match="one of security"):
        pipeline.steer_matrix(run, config.changed({"steer_vector": str(other)}))
    nameless = tmp_path / "vec_layer_1_organism.pt"
    torch.save(torch.tensor(3.0 * found.vector), nameless)
    wish = pipeline.Wish((("power", 0.1),), (), 1.0)
    with pytest.raises(VprobeError, match=r"does not say what its vector points to[\s\S]*vectors convert"):
        pipeline.steer_matrix(run, config.changed({"steer_vector": str(nameless)}))
    with pytest.raises(VprobeError, match="does not say what its vector points to"):
        pipeline.steer_solve(run, config.changed({"steer_vector": str(nameless)}), wish)
    assert not store.has(run, "imported_solved")


def test_other_operations_and_doses_of_equal_cost(run: Path) -> None:
    config = RunConfig(
        model=str(organism.load()), benchmark=("planted",), device="cpu", steer_method="partial",
        steer_versions=("v1",), steer_positions="all", strengths=(-1.0, 0.0, 1.0), steer_limit=6,
        steer_value=("power", "tradition"),
        steer_operation="norm-preserving-add", dose="kl=0.01", damage_limit=10,
    )  # fmt: skip
    pipeline.steer_matrix(run, config)
    rows = store.load_rows(run, "dose_response", ResponseRow)
    assert {(r.operation, r.dose) for r in rows} == {("norm-preserving-add", "kl=0.01")}
    assert len({round(r.unit, 3) for r in rows}) == 4 and all(r.slope > 0 for r in rows)  # two values, two methods
    info = dict(store.load_info(run, "matrix").config)
    assert (info["steer_operation"], info["dose"]) == ("norm-preserving-add", "kl=0.01")


def test_new_directions_take_the_effects_away(run: Path) -> None:
    store.drop(run, ("matrix",))
    assert not store.has(run, "effects") and not store.has(run, "specificity")
    with pytest.raises(VprobeError):
        pipeline.steer_matrix(run, RunConfig(model=str(organism.load()), benchmark=("planted",), steer_value=("pwr",)))


def test_one_value_per_item_has_marginal_vectors_alone_and_says_so(tmp_path: Path) -> None:
    config = RunConfig(
        model=str(organism.load()), benchmark=("everyday",), out=str(tmp_path / "run"), sites=("resid_post:1",),
        draws=19, method=("covariance",), map=False, device="cpu", untrained=False, steer_method="covariance",
        steer_site="resid_post.1", steer_versions=("v1",), strengths=(-0.03, 0.03), steer_limit=2, limit=12,
        steer_value=("power", "benevolence"),
    )  # fmt: skip
    backend = backends.load(config.model, device="cpu")
    pipeline.extract(config, backend=backend)
    pipeline.probe(tmp_path / "run", config)
    stage = pipeline.steer_matrix(tmp_path / "run", config, backend=backend)
    assert "no partial direction of" in str(dict(stage.facts)["left out"])
    rows = store.load_rows(tmp_path / "run", "dose_response", ResponseRow)
    assert {row.method for row in rows} == {"covariance"} and all(np.isfinite(row.slope) for row in rows)
