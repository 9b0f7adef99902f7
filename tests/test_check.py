"""A run made again is the same; one edited cell in any table shows; the schema documents every column stored."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from vprobe import benchmarks, pipeline, store
from vprobe.config import RunConfig
from vprobe.errors import InputError, StoreError
from vprobe.pipeline import _check, _schema

from tests import tiny

ROOT = Path(__file__).resolve().parent.parent
AGAIN = {"agreement", "baselines", "claims", "directions", "map", "picks", "profile", "scales", "scores", "search"}
"""Tables the run below holds that need no model."""
MODEL = {"items", "loadings", "reliability", "norms", "responses", "conditions"}
"""Tables that only the model or the instrument can give."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run, as small as can be."""
    place = tmp_path_factory.mktemp("check")
    words = [f"{item.text} {item.response}" for item in benchmarks.load("everyday").items]
    config = RunConfig(
        model=str(tiny.untrained(place / "model", words)), benchmark=("everyday",), limit=6, out=str(place / "run"),
        layers="1", versions=("v1",), greedy=False, draws=5, method=("covariance",), map=False, personas=5,
        persona_limit=1, steer_method="covariance", steer_versions=("v1",), alpha=0.05, claim_draws=40,
    ).changed({"untrained": False})  # fmt: skip
    pipeline.extract(config)
    pipeline.rate(config)
    pipeline.probe(place / "run", config)
    pipeline.agree(place / "run", config)
    pipeline.personas(place / "run", config)
    pipeline.claims(place / "run", config)
    return place / "run"


@pytest.fixture()
def copied(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def change(path: Path, column: str, row: int, value: object) -> None:
    """Edit one cell and leave everything else in the file as it was, its notes too."""
    table = pq.read_table(path)
    cells = table.column(column).to_pylist()
    cells[row] = value
    field = table.schema.field(column)
    changed = table.set_column(table.column_names.index(column), field, pa.array(cells, field.type))
    pq.write_table(changed, path)


def other(value: object) -> object:
    """Return something else of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1 if math.isfinite(value) else 0.0
    if isinstance(value, list):
        return [*value, *value[:1]] if value else value
    return f"{value}x"


def test_a_run_made_again_is_the_same_and_nothing_in_it_changes(run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    found = pipeline.check_run(run)
    assert {one.table for one in found if one.verdict == "ok"} >= AGAIN
    assert {one.table for one in found if one.verdict == "as written"} == MODEL
    assert {one.table for one in found} == set(store.tables_of(run))
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_one_edited_cell_in_any_column_of_any_table_breaks_its_seal(copied: Path) -> None:
    tried = 0
    for name in store.tables_of(copied):
        path = copied / f"{name}.parquet"
        whole = path.read_bytes()
        for column in pq.read_schema(path).names:
            cells = pq.read_table(path).column(column).to_pylist()
            row = next((i for i, cell in enumerate(cells) if cell is not None and other(cell) != cell), None)
            if row is None:
                continue
            change(path, column, row, other(cells[row]))
            assert store.edited(copied, name) == (column,), (name, column)
            path.write_bytes(whole)
            tried += 1
        assert store.edited(copied, name) == ()
    assert tried > 90


def test_a_missing_a_damaged_and_a_rewritten_table_are_noticed(copied: Path) -> None:
    frame = pd.read_parquet(copied / "loadings.parquet")
    frame.to_parquet(copied / "loadings.parquet", index=False)  # pandas keeps the cells and drops the seal
    (copied / "conditions.parquet").write_bytes(b"PAR1 nothing")
    found = {one.table: one for one in pipeline.check_run(copied)}
    assert found["loadings"].verdict == found["conditions"].verdict == "differs"
    assert "damaged" in found["conditions"].note and "half written" in found["scores"].note


def test_damaged_activations_are_noticed(copied: Path) -> None:
    shard = next((copied / "activations").rglob("*.safetensors"))
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    found = {one.table: one for one in pipeline.check_run(copied)}
    assert found["scores"].verdict == "differs" and "SHA-256" in found["scores"].note


def test_edits_are_named_and_what_rests_on_an_edited_answer_differs_too(copied: Path) -> None:
    (copied / "picks.parquet").unlink()
    answers = copied / "responses.parquet"
    change(answers, "logprobs", 0, pq.read_table(answers).column("logprobs")[0].as_py()[::-1])
    change(copied / "conditions.parquet", "n_items", 2, 9)
    found = {one.table: one for one in pipeline.check_run(copied)}
    differ = {one.table for one in found.values() if one.verdict == "differs"}
    assert {"responses", "conditions", "picks", "agreement", "profile"} <= differ and "scores" not in differ
    assert "missing" in found["picks"].where and "column n_items" in found["conditions"].where


def test_rows_in_another_order_are_the_same_and_rounding_is_none() -> None:
    made = pd.DataFrame({"value": ["a", "b", "b"], "n": [1, 2, 2], "r": [0.1, np.nan, 0.3]})
    assert not _check.compare(made.iloc[[1, 0, 2]], made).where
    assert not _check.compare(made.assign(r=made.r * (1 + 1e-9)), made).where
    far = _check.compare(made.assign(r=[0.1, np.nan, 0.35]), made)
    assert far.largest == pytest.approx(0.05) and "row 2" in far.where and "made again 0.3" in far.where
    assert _check.compare(made.assign(r=[0.1, 0.0, 0.3]), made).largest == math.inf
    endless = _check.compare(made.assign(r=[0.1, np.inf, 0.3]), made)
    assert endless.largest == math.inf and "stored inf, made again nan" in endless.where
    assert "column n: stored '3'" in _check.compare(made.assign(n=[1, 3, 2]), made).where
    assert "2 rows stored, 3 made again" in _check.compare(made.iloc[:2], made).where
    assert "columns r" in _check.compare(made.drop(columns="r"), made).where


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such folder"):
        pipeline.check_run(tmp_path / "none")


def test_the_command_exits_1_on_a_difference_with_its_size_and_place_and_0_on_none(
    vprobe, copied: Path, monkeypatch
) -> None:
    path = copied / "agreement.parquet"
    value = pq.read_table(path).column("estimate")[3].as_py()
    change(path, "estimate", 3, value + 0.125)
    code, out, _ = vprobe("check", copied, "--json")
    told = json.loads(out)
    (found,) = [one for one in told["tables"] if one["verdict"] == "differs"]
    assert code == 1 and told["ok"] is False
    assert found["table"] == "agreement" and found["largest"] == pytest.approx(0.125)
    assert "row 3 " in found["where"] and "column estimate" in found["where"]
    good, bad = pipeline.Checked("scores", "ok", math.nan, ""), pipeline.Checked("map", "differs", 0.5, "row 1")
    monkeypatch.setattr(pipeline, "check_run", lambda *_, **__: (good,))
    code, out, _ = vprobe("check", copied)
    assert code == 0 and "none differs" in out and re.search(r"scores +ok", out)
    monkeypatch.setattr(pipeline, "check_run", lambda *_, **__: (good, bad))
    code, out, _ = vprobe("check", copied)
    assert code == 1 and "differs: largest difference 0.5; row 1" in out and "1 of 2 tables differ" in out


def test_the_command_answers_a_folder_that_is_no_run_in_words(vprobe, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    code, _, err = vprobe("check", tmp_path)
    assert code == 1 and "not a run folder" in err


# --- the schema ------------------------------------------------------------------------------------------------------


def test_every_column_of_every_table_has_a_meaning_and_every_stored_one_is_in_the_schema(run: Path) -> None:
    told = {(one.table, one.column): one for one in pipeline.schema()}
    assert [key for key, one in told.items() if len(one.meaning) < 4 or not one.meaning.endswith(".")] == []
    for name in store.tables_of(run):
        assert store.record_of(run, name) == _schema.RECORDS[name].__name__
        stored = pq.read_schema(run / f"{name}.parquet").names
        assert stored == [column for table, column in told if table == name]
        assert [field.name for field in dataclasses.fields(_schema.RECORDS[name])] == stored
    assert all(pipeline.about(name) for name in _schema.RECORDS)


def test_every_table_the_source_saves_is_in_the_schema() -> None:
    text = "\n".join(path.read_text("utf-8") for path in (ROOT / "vprobe").rglob("*.py"))
    saved = set(re.findall(r"save_rows\(\s*[\w.]+,\s*\"(\w+)\"", text))
    assert len(saved) > 20 and saved <= set(_schema.RECORDS), saved - set(_schema.RECORDS)


def test_units_are_told_and_ends_of_intervals_share_that_of_their_estimate() -> None:
    unit = {(one.table, one.column): one.unit for one in pipeline.schema()}
    assert (
        unit["steering", "coefficient"] == unit["directions", "midpoint"] == unit["norms", "norm"] == "activation units"
    )
    assert unit["steering", "effect"] == unit["steering", "low"] == "rating points per SD of the label"
    assert unit["induced", "angle"] == "degrees" and unit["agreement", "p"] == unit["search", "p"] == "probability"
    assert unit["agreement", "estimate"] == unit["agreement", "low"] == "see statistic"
    assert (
        unit["scores", "score"] == "see unit"
        and unit["scores", "value"] == ""
        and unit["profile", "n_items"] == "count"
    )
    numbers = [one for one in pipeline.schema() if one.kind == "number"]
    assert sum(bool(one.unit) for one in numbers) >= 0.75 * len(numbers)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_are_written_with_their_schema_and_come_back(run: Path, tmp_path: Path, kind: str) -> None:
    written = pipeline.export(run, tmp_path / "out", kind=kind)
    assert {path.name for path in written} == {f"{name}.{kind}" for name in (*store.tables_of(run), "schema")}

    def read(path: Path) -> pd.DataFrame:
        return pd.read_csv(path) if kind == "csv" else pd.read_parquet(path)

    back, stored = read(tmp_path / "out" / f"scores.{kind}"), store.table(run, "scores")
    np.testing.assert_array_equal(back["score"], stored["score"])
    assert set(read(tmp_path / "out" / f"schema.{kind}")["table"]) == set(store.tables_of(run))
    if kind == "csv":
        cell = read(tmp_path / "out" / "responses.csv")["logprobs"].tolist()[0]
        assert json.loads(cell) == list(store.table(run, "responses")["logprobs"][0])


def test_the_command_documents_and_writes_tables(vprobe, run: Path, tmp_path: Path) -> None:
    code, out, _ = vprobe("tables", "--table", "conditions")
    assert code == 0 and "behavior" in out and "activation units" in out and "scores:" not in out
    code, out, _ = vprobe("tables", run, "--json")
    assert code == 0 and {one["table"] for one in json.loads(out)} == set(store.tables_of(run))
    code, out, _ = vprobe("tables", run, "--to", tmp_path / "out", "--table", "scores,picks")
    assert code == 0 and len(list((tmp_path / "out").iterdir())) == 3


def test_what_cannot_be_documented_or_written_is_answered_in_words(vprobe, run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="scores"):
        pipeline.schema(["score"])
    with pytest.raises(InputError, match="parquet"):
        pipeline.export(run, tmp_path, kind="parket")
    with pytest.raises(InputError, match="picks"):
        pipeline.export(run, tmp_path, names=["pick"])
    assert vprobe("tables", "--to", tmp_path)[0] == 1
    assert vprobe("tables", tmp_path / "none")[0] == 1
