"""The ladder of a run: what was decided for one method says nothing of another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vprobe import store
from vprobe.pipeline import climb
from vprobe.types import Agreement, BaselineRow, ClaimRow

from tests.test_shift import conditions, run_folder

READ = Agreement(
    level="item", comparison="probe~label", value="power", statistic="within-query r", estimate=0.4, low=0.35,
    high=0.5, null_mean=0.0, null_low=-0.1, null_high=0.1, p=0.001, p_family=0.001, ceiling=0.6, n_scored=500,
    n_unscored=0, n_groups=100, site="nested", method="ridge", note="",
)  # fmt: skip


def run_of(folder: Path) -> Path:
    """Write a run whose claims and conditions are of "partial", and whose probes and baselines are of "ridge" too."""
    run = run_folder(folder, conditions(0), model="A")
    over = replace(READ, level="condition", comparison="probe~behavior", site="s", method="partial")
    store.save_rows(run, "agreement", [READ, replace(READ, method="partial"), over], Agreement)
    claimed = [
        ClaimRow(name, "power", True, "", "", 0.4, 0.0001, 0.001, 2000, 500, "partial", "s")
        for name in ("beyond text", "unique", "causal")
    ]
    store.save_rows(run, "claims", claimed, ClaimRow)
    beside = [
        BaselineRow(name, "power", method, "within-query r", 0.0, 0.0, 0.0, 500, 0, 100, excess=0.3, excess_low=0.3,
                    excess_high=0.4)
        for name in ("untrained", "control task") for method in ("ridge", "partial")
    ]  # fmt: skip
    store.save_rows(run, "baselines", beside, BaselineRow)
    return run


def test_claims_and_conditions_of_one_method_do_not_lift_another(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    (ridge,), (partial,) = climb([run], method="ridge"), climb([run], method="partial")
    assert ridge.climbs[0].rung == 1 and "'beyond text' was not decided" in ridge.climbs[0].missing
    assert partial.climbs[0].rung == 5 and "ablation was not tried" in partial.climbs[0].missing


def test_without_a_method_given_the_one_that_claims_were_decided_for_is_looked_at(tmp_path: Path) -> None:
    (one,) = climb([run_of(tmp_path / "run")])
    assert one.method == "partial" and one.climbs[0].rung == 5
