"""The ladder of a run: what was decided for one method says nothing of another."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from vprobe import store
from vprobe.pipeline import _ladder, climb
from vprobe.types import Agreement, BaselineRow, ClaimRow, TransferRow

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


def of_family(folder: Path, family: str) -> Path:
    info = store.load_info(folder, "extract")
    assert info.model is not None
    store.save_info(folder, replace(info, model=replace(info.model, family=family)), "extract")
    return folder


def test_a_run_replicates_another_where_it_read_the_same_items_in_another_family(tmp_path: Path) -> None:
    one, same, other, apart = (
        of_family(run_of(tmp_path / name), family)
        for name, family in (("one", "llama"), ("same", "llama"), ("other", "qwen2"), ("apart", "gpt2"))
    )
    items = store.load_items(apart)
    store.save_items(apart, replace(items, items=tuple(replace(item, id=f"{item.id}-x") for item in items.items)))
    assert [_ladder._elsewhere(one, there) for there in (one, same, other, apart)] == [False, False, True, False]


def evidence(folder: Path, rows: list[Agreement], *others: tuple[Path, tuple[Agreement, ...]]):
    return _ladder._evidence(folder, rows, "power", "ridge", others, 0.05)


def test_a_family_replicates_by_a_p_that_is_there_and_an_r_above_0(tmp_path: Path) -> None:
    run, there = run_of(tmp_path / "run"), of_family(run_of(tmp_path / "there"), "qwen2")
    for changed, families in (
        ({}, (("qwen2", True),)), ({"estimate": -0.4}, (("qwen2", False),)), ({"p_family": 0.06}, (("qwen2", False),)),
        ({"p_family": math.nan}, ()), ({"value": "tradition"}, ()),
    ):  # fmt: skip
        assert evidence(run, [READ], (there, (replace(READ, **changed),))).families == families


def test_conditions_of_another_value_say_nothing_of_this_one(tmp_path: Path) -> None:
    over = replace(READ, level="condition", comparison="probe~behavior", site="s")
    found = evidence(run_of(tmp_path / "run"), [READ, replace(over, value="tradition"), replace(over, estimate=0.1)])
    assert found.conditions is not None and (found.conditions.value, found.conditions.estimate) == ("power", 0.1)
    assert evidence(tmp_path / "run", [READ, replace(over, value="tradition")]).conditions is None


MOVED = TransferRow(
    value="power", method="ridge", site="resid_post.1", positions="all", strength=0.1, dose="residual norm",
    instrument="svo", kind="choice", measure="", unit="points", predicted=-1, estimate=-0.4, low=-0.5, high=-0.3,
    p=0.03, null_low=-0.1, null_high=0.1, null_p=0.02, n_nulls=49, shown=True, base=0.0, n=6, n_unscored=0,
    option_mass=1.0, note="",
)  # fmt: skip


def test_instruments_count_by_their_corrected_p_where_steering_goes_as_predicted(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    across = replace(READ, level="transfer", comparison="probe of everyday~rating portraits", p_family=0.02)
    told = [across, replace(across, level="item", p_family=0.001), replace(across, value="tradition", p_family=0.001)]
    store.save_rows(run, "agreement_across", told, Agreement)
    assert evidence(run, [READ]).instruments == (("portraits", 0.02),)
    beside = [MOVED, replace(MOVED, value="achievement", p=0.04), replace(MOVED, value="tradition", predicted=0),
              replace(MOVED, instrument="valuelex", p=0.01, shown=False),
              replace(MOVED, instrument="everyday", kind="", p=math.nan)]  # fmt: skip
    store.save_rows(run, "transfer", beside, TransferRow)
    found = dict(evidence(run, [READ]).instruments)
    assert found == {"portraits": 0.02, "svo, steered": pytest.approx(0.06), "valuelex, steered": 1.0}
