"""What tables of steering must not say: figures of doses that did nothing, or of less than they rest on."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from vprobe import benchmarks, damage
from vprobe.pipeline import _matrix
from vprobe.pipeline import _transfer_measures as measures
from vprobe.pipeline import _vector_facts as facts
from vprobe.types import CardPart, CardTable, Direction, Response, Site

from tests.test_damage import DOSE, done, drift
from tests.test_matrix_rows import moved


@pytest.mark.parametrize(("n", "same"), [(12, False), (40, False), (160, True)])
def test_a_few_answers_that_do_not_change_do_not_show_that_ability_is_kept(n: int, same: bool) -> None:
    right = np.arange(n) % 4 > 0
    found = damage.cost(DOSE, drift(), done(right.astype(float)), done(right.astype(float)), seed=0)
    assert found.same_p == pytest.approx(0.95**n) and ("equivalence" not in found.broken) == same
    assert found.change_low == -found.change_high and (found.change_high < 0.05) == same
    assert 1 - (1 - found.change_high) ** n == pytest.approx(0.95)


def choices(kind: int, versions: int) -> tuple[Response, ...]:
    """Return the choice of one option in every wording of the six items."""
    return tuple(
        Response(f"{item.id}/{way}", item.id, item.group, item.source, way, tuple(map(float, range(1, 10))),
                 tuple(math.log(0.6 if n == kind else 0.05) for n in range(1, 10)), None, None, "")
        for item in benchmarks.load("svo", limit=6).items for way in [f"v{v + 1}" for v in range(versions)]
    )  # fmt: skip


def test_wordings_of_a_choice_are_not_more_choices() -> None:
    svo, found = benchmarks.load("svo", limit=6), []
    for versions in (1, 4):
        change = measures.measured(svo, "benevolence", *(choices(kind, versions) for kind in (5, 9, 1)))
        assert change is not None
        found.append(measures.estimate(change, seed=0))
    assert found[0].n == found[1].n == 6 and found[0] == found[1]


def test_a_choice_answered_in_one_wording_only_counts_by_that_one() -> None:
    svo, up, down = benchmarks.load("svo", limit=6), choices(9, 2), choices(1, 2)
    lost = tuple(replace(one, logprobs=None) if one.template == "v2" else one for one in up)
    some, full = (measures.measured(svo, "power", down, one, down) for one in (lost, up))
    assert some is not None and full is not None
    np.testing.assert_allclose(some.each, full.each)


VECTOR = Direction(np.ones(4, np.float32) / 2, Site(1), "power", "partial", "write", unit=20.0)


def test_a_card_does_not_say_that_a_strength_of_one_adds_a_residual_norm_where_it_costs_a_kl() -> None:
    rows = tuple(
        replace(damage.cost(DOSE, drift(), done(), done(), seed=0), strength=s, coefficient=c, unit="kl=0.1")
        for s, c in ((-1.0, -3.0), (2.0, 8.0))
    )
    part = CardPart("damage", "", "", (CardTable("damage", rows, ()),), (), ())
    said = {one.name: (one.value, one.note) for one in facts.units(VECTOR, [part])}
    assert "coefficient per strength" not in said and said["median residual norm"][0] == 20.0
    assert said["coefficient per strength, towards it"] == (4.0, "add; a strength of 1 is: kl=0.1")
    assert said["coefficient per strength, away from it"] == (3.0, "add; a strength of -1 is: kl=0.1")
    plain = CardPart("damage", "", "", (CardTable("damage", (replace(rows[0], unit="residual norm"),), ()),), (), ())
    assert {one.name: one.value for one in facts.units(VECTOR, [plain])}["coefficient per strength"] == 20.0


def test_doses_that_only_steer_away_have_no_leaks_rather_than_none_at_all() -> None:
    away = replace(moved(), doses=np.array([-0.2, -0.1, 0.0]))
    assert all(np.isnan(one).all() for one in _matrix._leaks(away).values())
    assert np.nanmax(_matrix._leaks(moved())["raw"]) > 0
