"""The checks pass on sound models of several families and engines, and each names the failure it is there for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from vprobe import __main__ as front
from vprobe import backends, conformance
from vprobe.conformance._bench import bench
from vprobe.errors import InputError, ModelError

from tests import tiny
from tests.toy_backend import DEFECTS, Toy

torch.set_num_threads(1)


@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_a_sound_model_passes_every_check(family: str, tmp_path: Path) -> None:
    rows = conformance.check(backends.load(str(tiny.build(family, tmp_path / family)), device="cpu"))
    assert [row.name for row in rows] == list(conformance.names())
    assert [(row.name, row.found) for row in rows if row.passed is not True] == []


def test_a_sound_model_in_bfloat16_passes(tmp_path: Path) -> None:
    rows = conformance.check(backends.load(str(tiny.build("llama", tmp_path / "m")), dtype="bfloat16", device="cpu"))
    assert [(row.name, row.found) for row in rows if row.passed is not True] == []


def test_the_toy_model_passes_where_nothing_is_wrong() -> None:
    assert isinstance(Toy(), backends.Backend)
    rows = conformance.check(Toy())
    assert [(row.name, row.found) for row in rows if row.passed is not True] == []


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_silent_failure_is_named_by_its_check(defect: str) -> None:
    (row,) = conformance.check(Toy(defect), only=[DEFECTS[defect]])
    assert row.passed is False and row.found


def test_every_check_has_a_failure_that_it_catches() -> None:
    assert set(DEFECTS.values()) == set(conformance.names())


def test_what_an_engine_does_not_offer_is_neither_passed_nor_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    toy, plain = Toy(), Toy().read

    def read(rows, sites, positions, *, steering=()):
        if any(site.point in ("head_out", "mlp_neurons") for site in sites):
            raise ModelError("cannot be read")
        return plain(rows, sites, positions, steering=steering)

    monkeypatch.setattr(toy, "read", read)
    names = ["parts of attention heads can be steered", "neurons can be steered", "coefficient 0 changes no bit"]
    assert [row.passed for row in conformance.check(toy, only=names)] == [True, None, None]


def test_a_model_that_fails_in_the_middle_is_a_finding_and_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Toy()
    on = bench(toy)
    assert len({len(row.ids) for row in on.said}) == 3, "texts of three lengths, so that batches are padded"

    def broken(*args, **kwargs):
        raise KeyError("boom")

    monkeypatch.setattr(toy, "choose", broken)
    wanted = ["choices move in every row", "every row of a batch is steered"]
    rows = {one.name: one for one in conformance.check(toy, only=wanted)}
    with pytest.raises(InputError, match="did you mean 'neurons can be steered'"):
        conformance.check(toy, only=["neurons can be steerd"])
    assert rows["choices move in every row"].passed is False
    assert "KeyError" in rows["choices move in every row"].found
    assert rows["every row of a batch is steered"].passed


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command line in this process; returns its exit code and what it printed."""

    def call(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["vprobe", "conformance", *words])
        with pytest.raises(SystemExit) as done:
            front.main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return int(done.value.code or 0), said.out

    return call


def test_the_command_prints_a_table_and_exits_with_0(run, tmp_path: Path) -> None:
    model = str(tiny.build("llama", tmp_path / "m"))
    code, shown = run("--model", model, "--device", "cpu")
    assert code == 0 and all(name in shown for name in conformance.names()) and "17 of 17 passed" in shown


def test_the_command_exits_with_1_when_a_check_fails(run, monkeypatch: pytest.MonkeyPatch) -> None:
    check = conformance.check
    some = ["every row of a batch is steered", "neurons can be steered"]
    monkeypatch.setattr(conformance, "check", lambda backend, tell: check(backend, only=some, tell=tell))
    monkeypatch.setattr(backends, "load", lambda *a, **k: Toy("row 0 only"))
    code, shown = run("--model", "toy")
    assert code == 1 and "FAILED" in shown and "rows not moved as told: [1, 2]" in shown
    code, shown = run("--model", "toy", "--json")
    rows = json.loads(shown)
    assert code == 1 and rows["passed"] is False and [row["name"] for row in rows["checks"]] == some
