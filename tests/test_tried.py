"""How much was tried, and with which seeds, stands beside every claim ladder: printed, as JSON and on the page."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from vprobe import agreement, pipeline, store
from vprobe.cli import show
from vprobe.pipeline._tried import seeds, tried
from vprobe.types import Agreement, ConditionRow, DoseRow, SearchRow
from vprobe.values import SCHWARTZ

from tests.test_report import info
from tests.test_shift import conditions, run_folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = run_folder(tmp_path / "run", conditions(0, n=7))
    store.save_info(folder, replace(info(), seed=3), "probe")
    grid = [(method, site, penalty) for method, penalties in (("ridge", (0.1, 1.0)), ("covariance", (math.nan,)))
            for site in ("resid_post.0", "resid_post.1", "resid_post.2") for penalty in penalties]  # fmt: skip
    cells = [SearchRow(method, value, site, penalty, 0.1, 0.5, 1, 5, 40) for value in SCHWARTZ[:4]
             for method, site, penalty in grid]  # fmt: skip
    store.save_rows(folder, "search", cells, SearchRow)
    doses = [
        DoseRow("power", arm, draw, "resid_post.1", "all", strength, 1.0, 0.1, 0.0, 0.2, 0.0, 1.0, 60, 0)
        for strength in (-0.1, 0.0, 0.1) for arm, draw in (("steered", 0), ("shuffled", 0), ("shuffled", 1))
    ]  # fmt: skip
    store.save_rows(folder, "steering", doses, DoseRow)
    row = agreement.blank("item", "probe~label", n=40, of=40)
    read = [replace(row, value=value, site="nested", method="ridge", estimate=0.5, p=0.005, p_family=0.01)
            for value in SCHWARTZ[:4]]  # fmt: skip
    store.save_rows(folder, "agreement", read, Agreement)
    return folder


def test_every_cell_dose_and_condition_is_counted_once_and_nulls_are_not(run: Path) -> None:
    found = {one.stage: (one.n, one.what) for one in tried(run)}
    assert found["probe"] == (4 * 9, "2 methods x 3 sites x 2 penalties x 4 values")
    assert found["steer sweep"] == (2, "2 strengths x 1 value")
    assert found["conditions"] == (7, "7 conditions x 1 instrument")
    assert {one.stage: one.seed for one in seeds(run)} == {"extract": info().seed, "probe": 3}


def test_an_empty_run_tried_nothing(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", [])
    store.save_rows(folder, "conditions", [], ConditionRow)
    assert [one.n for one in tried(folder)] == [0]
    assert pipeline.in_words((), ()) == ("configurations tried: none", "seeds: none")


def test_rung_number_tried_and_seeds_are_printed_and_on_the_page(run: Path, capsys) -> None:
    climbed = pipeline.climb([run])
    show.ladder(climbed[0])
    printed = " ".join(capsys.readouterr().out.split())
    assert "1 decodable" in printed and "configurations tried: probe 36 (2 methods" in printed
    assert "3 (probe)" in printed
    assert show.tried(run, climbed)["tried"][0]["n"] == 36
    page = pipeline.write_report(run).read_text(encoding="utf-8")
    assert "How far every value climbs" in page and "Configurations tried: probe 36" in page and "3 (probe)" in page
    assert page.index("Claim ladder, ridge") < page.rindex("Provenance")


def test_a_run_without_probes_has_a_page_without_a_ladder(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", conditions(0, n=7))
    assert "How far every value climbs" not in pipeline.write_report(folder).read_text(encoding="utf-8")
