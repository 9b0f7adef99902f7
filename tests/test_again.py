"""What is given to a model is asked once: the same settings again cost nothing, others never replace an earlier run."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from vprobe import backends, ess, pipeline, responses, store
from vprobe.cli import tables
from vprobe.config import RunConfig
from vprobe.errors import StoreError
from vprobe.lexicon import Elicited
from vprobe.types import InduceRow, Response

from tests import tiny
from tests.test_ess import person


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.untrained(tmp_path_factory.mktemp("model") / "tiny", ["How much is this like you? A B C", "You are a"])


@pytest.fixture(scope="module")
def backend(model: Path):
    return backends.load(str(model), device="cpu")


def config(model: Path, out: Path, name: str, **more) -> RunConfig:
    return RunConfig(model=str(model), benchmark=(name,), out=str(out), device="cpu", **more)


@pytest.fixture
def silent(monkeypatch):
    """Make asking the model an error, once it is called."""

    def none(*_, **__):
        raise AssertionError("the model was asked again")

    def now(backend) -> None:
        monkeypatch.setattr(responses, "collect", none)
        monkeypatch.setattr(backend, "generate", none)

    return now


def settings(folder: Path, stage: str) -> dict:
    return json.loads((folder / "run.json").read_text("utf-8"))["stages"][stage]["config"]


def test_values_are_given_once_and_other_ways_do_not_replace_them(model, backend, tmp_path, silent) -> None:
    given = config(model, tmp_path, "svo", versions=("v3",), greedy=False)
    first = pipeline.induce(given, ways=("word",), backend=backend)
    rows = store.load_rows(tmp_path, "induced", InduceRow)
    assert settings(tmp_path, "induce")["ways"] == ["word"]
    silent(backend)
    again = pipeline.induce(replace(given, seed=5), ways=("word",), backend=backend)
    assert again.facts == first.facts
    with pytest.raises(StoreError, match="other settings: ways"):
        pipeline.induce(given, ways=("word", "goal"), backend=backend)
    with pytest.raises(StoreError, match="other settings: versions"):
        pipeline.induce(replace(given, versions=("v1",)), ways=("word",), backend=backend)
    assert repr(store.load_rows(tmp_path, "induced", InduceRow)) == repr(rows)


def test_what_a_model_is_steered_with_is_a_setting(model, backend, tmp_path) -> None:
    fitted = config(model, tmp_path / "a", "everyday", limit=10, sites=("resid_post:0",), method=("mean-difference",),
                    draws=10, map=False)  # fmt: skip
    pipeline.extract(fitted, backend=backend)
    pipeline.probe(tmp_path / "a", fitted)
    given = config(model, tmp_path / "b", "svo", versions=("v3",), greedy=False, steer_method="mean-difference")
    pipeline.induce(given, ways=("steering",), directions=tmp_path / "a", backend=backend)
    held = settings(tmp_path / "b", "induce")
    assert held["strength"] == 0.25 and any("x benevolence resid_post" in one for one in held["pushes"])
    with pytest.raises(StoreError, match="strength, pushes"):
        pipeline.induce(given, ways=("steering",), directions=tmp_path / "a", strength=0.5, backend=backend)


def test_personas_are_asked_once_another_survey_costs_nothing_and_all_of_it_is_shown(
    model, backend, tmp_path, silent, capsys
) -> None:
    given = config(model, tmp_path / "run", "portraits", versions=("v1",), limit=20)
    with pytest.raises(StoreError, match="no such folder"):
        store.load_rows(tmp_path / "run", "demographics", ess.Effect)
    pipeline.demographics(given, axes=("age",), backend=backend)
    rows = store.load_rows(tmp_path / "run", "demographics", ess.Effect)
    said = store.load_rows(tmp_path / "run", "demographics_answers", Response)
    assert settings(tmp_path / "run", "demographics")["axes"] == ["age"] and len(said) == 5 * 20
    under = [one.option_mass for one in said if one.prompt_id.endswith("@age-under_30")]
    assert {row.option_mass for row in rows if row.level == "under_30"} == {float(np.mean(under))}
    silent(backend)
    rng = np.random.default_rng(0)
    people = [person(agea=int(age), impsafe=int(rng.integers(1, 6))) for age in rng.integers(16, 90, 200)]
    with (tmp_path / "ess.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([list(people[0]), *(list(one.values()) for one in people)])
    pipeline.demographics(given, axes=("age",), survey=tmp_path / "ess.csv", backend=backend)
    assert repr(store.load_rows(tmp_path / "run", "demographics", ess.Effect)) == repr(rows)
    page = pipeline.write_report(tmp_path / "run").read_text("utf-8")
    tables.demographics(tmp_path / "run")
    printed = capsys.readouterr().out
    (axis,) = store.load_rows(tmp_path / "run", "people_axes", ess.AxisMatch)
    assert "personas beside people, by axis" in page and "rise or fall along ordered axes" in page
    assert "personas beside people" in printed and "rank correlation with the order of levels" in printed
    assert f"{axis.same_sign:.2f}" in printed and math.isfinite(axis.ratio) and f"{axis.ratio:.2f}" in printed
    assert (tmp_path / "run" / "tables" / "people_trends.csv").is_file()
    pipeline.demographics(given, axes=("age",), backend=backend)
    assert "personas beside people" not in pipeline.write_report(tmp_path / "run").read_text("utf-8")
    with pytest.raises(StoreError, match="other settings: limit, axes"):
        pipeline.demographics(replace(given, limit=10), axes=("gender",), backend=backend)


def test_a_model_is_asked_for_its_words_once_and_other_temperatures_do_not_replace_them(
    model, backend, tmp_path, silent
) -> None:
    given = config(model, tmp_path, "everyday", personas=1)
    first = pipeline.elicit(given, temperatures=(0.0,), backend=backend)
    rows = store.load_rows(tmp_path, "elicited", Elicited)
    assert settings(tmp_path, "elicit")["temperatures"] == [0.0] and settings(tmp_path, "elicit")["personas"] == 1
    silent(backend)
    again = pipeline.elicit(given, temperatures=(0.0,), backend=backend)
    assert (again.facts, again.counts) == (first.facts, first.counts)
    for other, heat, names in ((given, (0.5,), "temperatures"), (replace(given, personas=2), (0.0,), "personas")):
        with pytest.raises(StoreError, match=f"other settings: {names}"):
            pipeline.elicit(other, temperatures=heat, backend=backend)
    assert store.load_rows(tmp_path, "elicited", Elicited) == rows


def test_a_stage_cut_short_is_made_again(model, backend, tmp_path) -> None:
    given = config(model, tmp_path, "everyday", personas=0)
    pipeline.elicit(given, temperatures=(0.0,), backend=backend)
    (tmp_path / "elicited.parquet").unlink()
    pipeline.elicit(given, temperatures=(0.0,), backend=backend)
    assert len(store.load_rows(tmp_path, "elicited", Elicited)) == 15
