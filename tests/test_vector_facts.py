"""What a card says beside its tables is worked out from the rows it names, with their signs, sides and arms."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from vprobe import store
from vprobe.config import RunConfig
from vprobe.pipeline import _vector_facts as facts
from vprobe.pipeline import _vector_parts as parts
from vprobe.types import (
    CardFact,
    CardPart,
    CardTable,
    Direction,
    DoseRow,
    PositionRow,
    SaidRow,
    SearchRow,
    Site,
    SitePick,
)

from tests.test_damage import row as damage_row
from tests.test_report import info
from tests.test_shift import run_folder

NAN = math.nan
VECTOR = Direction(np.eye(4, dtype=np.float32)[0], Site(1), "power", "partial", "write", unit=3.0)
SAID = SaidRow(
    value="power", method="partial", site="resid_post.1", positions="all", arm="steered", draw=0, strength=0.1,
    coefficient=1.0, dose="residual norm", effect=0.3, low=0.2, high=0.4, p=0.01, anti=0.1, anti_low=0.0, anti_high=0.2,
    mean_shift=0.0, n_items=50, n_queries=10, n_unscored=0, instrument="planted",
)  # fmt: skip
DOSED = DoseRow("power", "steered", 0, "resid_post.1", "all", 0.1, 1.0, 0.5, 0.4, 0.6, 0.0, 0.9, 60, 0)


def part(key: str, table: str, rows: list) -> CardPart:
    return CardPart(key, key, "", (CardTable(table, tuple(rows)),))


def named(found: tuple[CardFact, ...]) -> dict[str, CardFact]:
    return {one.name: one for one in found}


@pytest.mark.parametrize(("reach", "goes"), [(0.1, "goes beyond 95 %"), (0.6, "does not go beyond 95 %")])
def test_null_arms_of_own_words_count_half_the_difference_of_a_dose_and_its_opposite(reach: float, goes: str) -> None:
    own = [SAID, replace(SAID, strength=-0.1, effect=-0.2), replace(SAID, strength=0.2, effect=9.0)]
    drawn = [replace(SAID, arm="random", draw=n, strength=way * 0.1, effect=way * size + 1.0)
             for n, size in enumerate((reach, -reach)) for way in (1, -1)]  # fmt: skip
    (one,) = facts.nulls([part("dose", "said", own), part("nulls", "said", drawn)])
    assert one.name == "said at 0.1 against random" and one.value == pytest.approx(0.25) and one.n == 2
    assert f"it {goes}" in one.note and f"of them, {reach:.3g}" in one.note and "mean 0;" in one.note


def test_an_effect_stands_beside_the_cost_of_the_very_same_coefficient() -> None:
    paid = [damage_row(strength=0.1, coefficient=1.0, kl=0.11), damage_row(strength=0.2, coefficient=2.0, kl=0.5)]
    cost = part("damage", "damage", paid)
    doses = [DOSED, replace(DOSED, strength=0.3, coefficient=3.0), replace(DOSED, arm="shuffled", effect=7.0)]
    said = part("dose", "said", [replace(SAID, coefficient=2.0)])
    (one,) = facts.at_cost([part("dose", "steering", doses), cost])
    assert (one.name, one.value, one.low, one.high, one.n) == ("effect at 0.1", 0.5, 0.4, 0.6, 60)
    assert one.note.startswith("KL 0.11,") and one.source == "steering, damage"
    silent = part("dose", "steering", [replace(one, option_mass=0.2) for one in doses])
    (other,) = facts.at_cost([silent, said, cost])
    assert (other.value, other.source) == (0.3, "said, damage") and other.note.startswith("KL 0.5,"), "it never answers"


def test_doses_that_cost_a_nat_are_read_off_on_their_own_side() -> None:
    rows = [damage_row(strength=s, coefficient=10 * s, kl=kl)
            for s, kl in ((0.1, 0.25), (0.4, 4.0), (-0.1, 0.01), (-0.4, 0.04))]  # fmt: skip
    found = {one.name: one for one in facts.units(VECTOR, [part("damage", "damage", rows)])}
    towards, away = (found[f"dose at KL 1, {side} it"] for side in ("towards", "away from"))
    assert towards.value == pytest.approx(0.2) and "between measured doses" in towards.note
    assert math.isnan(away.value) and "largest dose tried, -0.4, costs 0.04 nats" in away.note


def test_the_largest_safe_dose_keeps_every_limit_and_says_which_it_keeps_without_ability() -> None:
    rows = [damage_row(strength=0.1, kl=0.1), damage_row(strength=0.2, kl=0.1, accuracy=0.3),
            damage_row(strength=0.3, kl=5.0)]  # fmt: skip
    (one,) = facts.budget([part("damage", "damage", rows)])
    assert one.value == 0.1 and "leaving ability aside: 0.2" in one.note and "the next breaks: accuracy" in one.note


def test_provenance_counts_cells_of_the_value_and_choices_of_its_site(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", [])
    cells = [SearchRow(method, value, site, NAN, 0.1, 0.5, 1, 5, 40) for method in ("partial", "ridge")
             for value in ("power", "tradition") for site in ("resid_post.0", "resid_post.1")]  # fmt: skip
    store.save_rows(run, "search", [*cells, replace(cells[0], site="resid_post.2")], SearchRow)
    picks = [SitePick("partial", "power", fold, "resid_post.1" if fold else "resid_post.0", NAN) for fold in range(5)]
    picks += [
        SitePick("ridge", "power", 0, "resid_post.0", NAN),
        SitePick("partial", "tradition", 0, "resid_post.0", NAN),
    ]
    store.save_rows(run, "picks", picks, SitePick)
    found = named(facts.provenance(run, VECTOR))
    assert found["configurations tried"].value == 5 and "3 of this method" in found["configurations tried"].note
    assert found["site picked"].text == "4 of 5 inner choices"


def test_a_table_without_methods_is_the_vectors_own_only_where_its_stage_was_run_with_the_same(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", [])
    store.save_rows(run, "steering", [DOSED], DoseRow)
    (spec,) = (one for one in parts.SPECS if one.key == "dose")
    config = RunConfig(steer_method="partial", steer_positions="all")
    for method, there in (("ridge", 0), ("partial", 1)):
        store.save_info(run, replace(info(), config=(("steer_method", method),)), "steer")
        found = parts.part_of(spec, run, VECTOR, config)
        assert len(found.rows("steering")) == there
        assert any("made with method ridge" in one for one in found.missing) == (not there)


def test_checks_that_choose_their_tokens_stand_on_the_card_whatever_tokens_the_vector_is_put_in(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", [])
    numbers = dict.fromkeys(
        ("strength", "effect", "low", "high", "of_all", "of_all_low", "of_all_high", "mean_shift"), 0.1
    )
    rows = [PositionRow("power", method, "add", "resid_post.1", "prompt", n_items=40, n_unscored=0, **numbers)
            for method in ("partial", "ridge")]  # fmt: skip
    store.save_rows(run, "positions", rows, PositionRow)
    (spec,) = (one for one in parts.SPECS if one.key == "positions")
    found = parts.part_of(spec, run, VECTOR, RunConfig(steer_method="partial", steer_positions="response"))
    assert [row.method for row in found.rows("positions")] == ["partial"] and not found.missing
