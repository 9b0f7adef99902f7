"""A card says what the run's tables say, names what is missing, and its vector loads into its own model only."""

from __future__ import annotations

import dataclasses
import json
import math
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner
from vprobe import api, backends, damage, exports, organism, pipeline, store
from vprobe.backends import Backend
from vprobe.cli import app
from vprobe.config import RunConfig
from vprobe.errors import ModelError, VprobeError
from vprobe.pipeline import _ladder, _vector_card, _vector_make
from vprobe.types import ChangeRow, Climb, DamageRow, DoseRow, NullRow, SaidRow

from tests import tiny


@pytest.fixture(scope="module")
def backend() -> Backend:
    return backends.load(str(organism.load()), device="cpu")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> RunConfig:
    config = RunConfig(
        model=str(organism.load()), benchmark=("planted",), out=str(tmp_path_factory.mktemp("card") / "run"),
        sites=("resid_post:1",), draws=2, limit=24, folds=3, values=("benevolence", "power"), method=("partial",),
        map=False, claim_draws=100, device="cpu", untrained=False, steer_method="partial", steer_value=("benevolence",),
        steer_versions=("v1",), steer_limit=3, null_draws=3, strengths=(-0.05, 0.05), damage_limit=6,
    )  # fmt: skip
    pipeline.extract(config, backend=backend)
    pipeline.probe(Path(config.out), config)
    return config


@pytest.fixture(scope="module")
def swept(config: RunConfig, backend: Backend) -> RunConfig:
    """Sweep and own words of the same run; no damage."""
    pipeline.steer_sweep(Path(config.out), config, backend=backend)
    pipeline.steer_said(Path(config.out), config, backend=backend)
    return config


def written(config: RunConfig, out: Path) -> tuple[dict, str]:
    pipeline.write_cards(Path(config.out), pipeline.as_steered(Path(config.out)), values=("benevolence",), out=out)
    folder = out / "benevolence"
    return json.loads((folder / "card.json").read_text("utf-8")), (folder / "card.md").read_text("utf-8")


def plain(row: object) -> dict:
    return {name: None if isinstance(x, float) and not math.isfinite(x) else x
            for name, x in dataclasses.asdict(row).items()}  # type: ignore[call-overload]  # fmt: skip


def test_a_command_that_steers_a_run_starts_from_its_benchmark_and_a_method_it_has(config: RunConfig) -> None:
    found = pipeline.as_read(Path(config.out))
    assert (found.benchmark, found.steer_method.replace("_", "-")) == (("planted",), "partial")
    assert found.strengths == RunConfig().strengths, "and from nothing that was steered before"


def test_a_card_of_a_run_without_damage_says_so_and_how_to_measure_it(swept, tmp_path) -> None:
    told, text = written(swept, tmp_path)
    lacking = {one["part"]: one for one in told["missing"]}
    assert lacking["damage"]["what"] == ["damage: not made in this run"]
    assert lacking["damage"]["commands"][0].startswith("vprobe steer damage --model MODEL --run run --method partial")
    assert "damage" not in told["tables"] and "no dose is known to be safe" in text
    assert "damage: not made in this run" in text and not (tmp_path / "benevolence/figures/damage.png").exists()


def test_every_row_in_the_json_is_a_row_of_its_table_and_every_row_about_the_vector_is_there(swept, tmp_path) -> None:
    told, _ = written(swept, tmp_path)
    folder = Path(swept.out)
    kinds = {"steering": DoseRow, "steering_nulls": DoseRow, "nulls": NullRow, "said": SaidRow, "said_nulls": SaidRow}
    assert set(kinds) <= set(told["tables"])
    for name, kind in kinds.items():
        stored = store.load_rows(folder, name.removesuffix("_nulls"), kind)
        about = [plain(row) for row in stored if row.value == "benevolence"]
        if name in ("steering", "said"):
            about = [row for row in about if row["arm"] in ("steered", "baseline")]
        if name.endswith("_nulls"):
            about = [row for row in about if row["arm"] not in ("steered", "baseline")]
        order = sorted(map(str, about))
        assert sorted(map(str, told["tables"][name]["rows"])) == order and order


def test_provenance_is_that_of_the_run_and_the_vector_was_fitted_on_none_of_the_items_tried(swept, tmp_path) -> None:
    told, text = written(swept, tmp_path)
    info, model = store.load_info(Path(swept.out), "extract"), told["model"]
    assert info.model is not None and model["fingerprint"] == info.model.fingerprint
    assert told["made_with"]["data"] == [{"name": name, "sha256": sha} for name, sha in info.data]
    assert told["made_with"]["stages"]["steer"]["settings"]["strengths"] == [-0.05, 0.05]
    card = pipeline.vector_card(Path(swept.out), pipeline.as_steered(Path(swept.out)), value="benevolence")
    items = store.load_items(Path(swept.out)).items
    rated = {row.item_id for row in store.load_rows(Path(swept.out), "prompted_items", ChangeRow)}
    tried = {item.group for item in items if item.id in rated}
    assert tried and not tried & card.direction.seen.queries
    assert told["vector"]["fitted_on_samples"] == len(card.direction.seen.samples)
    assert "## Where it comes from" in text and info.model.fingerprint in text


def test_the_vector_loads_into_its_own_model_and_no_other(swept, backend, tmp_path) -> None:
    written(swept, tmp_path / "out")
    file = tmp_path / "out/benevolence" / "vector.safetensors"
    (one,) = exports.read(file, model=backend.info)
    assert one.value == "benevolence" and one.unit > 0
    model = api.Model(backend)
    with model.steered(model.vector(file.parent), strength=0.05):
        assert model.generate("Hello")
    other = backends.load(str(tiny.build("llama", tmp_path / "other")), device="cpu")
    with pytest.raises(ModelError, match="another model"):
        exports.read(file, model=other.info)
    with pytest.raises(ModelError, match="another model"):
        api.Model(other).vector(file.parent)


def test_rows_of_another_site_or_method_are_named_and_not_shown(swept, tmp_path) -> None:
    config = dataclasses.replace(pipeline.as_steered(Path(swept.out)), steer_positions="response")
    card = pipeline.vector_card(Path(swept.out), config, value="benevolence")
    dose = card.part("dose")
    assert dose.rows("steering") == () and "positions all" in dose.missing[0]
    assert "--on response" in dose.commands[0]


@pytest.mark.parametrize(
    ("other", "what"),
    [({"steer_operation": "norm-preserving-add"}, "operation add"), ({"steer_gate": "cosine"}, "gate none"),
     ({"steer_options": ("each=prompt",)}, "options none")],
)  # fmt: skip
def test_what_was_measured_with_another_operation_or_gate_is_not_the_vectors(swept, other, what) -> None:
    config = dataclasses.replace(pipeline.as_steered(Path(swept.out)), **other)
    card = pipeline.vector_card(Path(swept.out), config, value="benevolence")
    for key, table in (("dose", "steering"), ("dose", "said"), ("prompted", "prompted")):
        assert card.part(key).rows(table) == ()
        assert any(one.startswith(f"{table}: made with {what}") for one in card.part(key).missing)


def test_a_value_that_was_not_steered_is_said_to_be_missing(swept) -> None:
    card = pipeline.vector_card(Path(swept.out), pipeline.as_steered(Path(swept.out)), value="power")
    assert card.direction.value == "power"
    assert "made, but not for power" in card.part("dose").missing[0] and card.facts[0].part == "provenance"
    with pytest.raises(VprobeError, match="hedonism"):
        pipeline.vector_card(Path(swept.out), pipeline.as_steered(Path(swept.out)), value="hedonism")


def test_a_card_stands_on_the_rung_of_its_own_value(swept, monkeypatch) -> None:
    climbs = (Climb("power", 3, "3 selective", ""), Climb("benevolence", 1, "1 decodable", "2 beyond text: no"))
    monkeypatch.setattr(_vector_card, "climb", lambda *_, **__: [_ladder.Climbed(Path(swept.out), "partial", climbs)])
    card = pipeline.vector_card(Path(swept.out), pipeline.as_steered(Path(swept.out)), value="benevolence")
    assert (card.rung, card.next_rung) == ("1 decodable", "2 beyond text: no")


def test_what_is_missing_is_made_once_and_then_stands_on_the_card(swept, backend, tmp_path, monkeypatch) -> None:
    folder = Path(swept.out)
    config = dataclasses.replace(swept, steer_value=("benevolence",), null_draws=1)
    one = partial(pipeline.steer_transfer, instruments=("everyday",))  # the others take long
    monkeypatch.setattr(_vector_make, "MAKERS", (*_vector_make.MAKERS[:4], ("transfer", one)))
    made = dict(pipeline.make_missing(folder, config, values=("benevolence",), backend=backend))
    assert made["damage"] == made["dose_response"] == "" and "steering" not in made
    assert pipeline.make_missing(folder, config, values=("benevolence",), backend=backend) == ()
    told, text = written(swept, tmp_path)
    assert {"damage", "effects", "specificity", "transfer", "dose_response"} <= set(told["tables"])
    figures = {path.name for path in (tmp_path / "benevolence/figures").iterdir()}
    for name in ("dose", "said", "specificity", "damage", "transfer"):
        assert {f"{name}.png", f"{name}.svg"} <= figures and f"figures/{name}.png" in text
    rows = store.load_rows(folder, "damage", DamageRow)
    shown = {fact["name"]: fact for fact in told["facts"]}
    assert f"KL {rows[-1].kl:.3g}" in shown[f"effect at {rows[-1].strength:g}"]["note"]
    for one in damage.within_budget(rows):
        side = "towards" if one.sign > 0 else "away from"
        assert one.broken in shown[f"largest dose inside the budget, {side} it"]["note"]


def test_a_dose_is_read_off_between_measured_ones_and_never_beyond_them() -> None:
    assert damage.read_off([0.1, 0.2, 0.4], [0.01, 0.04, 0.16], 0.09) == pytest.approx(0.3)
    assert damage.read_off([-0.1, -0.4], [0.01, 0.16], 0.04) == pytest.approx(-0.2)
    assert math.isnan(damage.read_off([0.1, 0.2], [0.01, 0.04], 0.05))
    assert math.isnan(damage.read_off([0.1, 0.2], [0.01, 0.04], 0.005))


def test_the_command_writes_cards_and_asks_for_a_model_before_it_makes_anything(swept, tmp_path) -> None:
    done = CliRunner().invoke(app, ["steer", "card", "--run", swept.out, "--out", str(tmp_path), "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["cards"] == "benevolence"
    assert (tmp_path / "benevolence" / "card.md").exists()
    assert CliRunner().invoke(app, ["steer", "card", "--run", swept.out, "--make"]).exit_code == 2
