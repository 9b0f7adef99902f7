"""Ablation, interchange and positions on the planted model, where a direction is what it uses, and where it is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from vprobe import backends, organism, pipeline, store
from vprobe.backends import Backend
from vprobe.benchmarks import planted
from vprobe.cli import causal
from vprobe.config import RunConfig
from vprobe.errors import InputError, RefusedError
from vprobe.pipeline import _ablate, _interchange, _ladder, _positions
from vprobe.pipeline._common import load_benchmarks
from vprobe.pipeline._push import spread_of
from vprobe.types import AblationRow, Direction, InterchangeRow, PositionRow
from vprobe.values import SCHWARTZ

VALUES = ("power", "universalism", "tradition")


def made(folder: Path, name: str) -> tuple[RunConfig, Backend]:
    world = organism.find_world(name)
    drawn = organism.draw(18, seed=8, labels=world.labels, codes=world.codes, reliability=1.0)
    (folder / "items").mkdir()
    planted.write(folder / "items" / "planted.json", drawn.records, drawn.reliability)
    config = RunConfig(
        model=str(organism.load(name)), benchmark=("planted",), data=str(folder / "items"), out=str(folder / "run"),
        sites=("resid_post:1",), draws=3, method=("partial",), map=False, device="cpu", folds=3, steer_method="partial",
        steer_versions=("v1",), steer_positions="response", steer_value=VALUES, steer_limit=4, null_draws=3,
        strengths=(-0.03, 0.03), untrained=False,
    )  # fmt: skip
    backend = backends.load(config.model, device="cpu")
    pipeline.extract(config, backend=backend)
    pipeline.probe(folder / "run", config)
    return config, backend


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Backend]:
    return made(tmp_path_factory.mktemp("good"), "good")


@pytest.fixture(scope="module")
def aside(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Backend]:
    """The world in which what is said is kept where nothing reads it."""
    return made(tmp_path_factory.mktemp("aside"), "W4")


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def true(u: np.ndarray, one: Direction) -> np.ndarray:
    return u


def fitted(u: np.ndarray, one: Direction) -> np.ndarray:
    return one.vector


def random(u: np.ndarray, one: Direction) -> np.ndarray:
    return unit(np.random.default_rng(4).standard_normal(len(u)))


def dormant(u: np.ndarray, one: Direction) -> np.ndarray:
    """Half of it varies and is read by nothing; the other half is read and never varies in that world."""
    return unit(one.vector + u)


def tried(case: tuple[RunConfig, Backend], what: str, **vectors) -> dict:
    """Run one check with values' directions replaced; rows by value."""
    config, backend = case
    u, ways_of = organism.read_card(Path(config.model)).u, _ablate.ways_of

    def other(*given) -> _ablate.Ways:
        ways = ways_of(*given)
        put = {v: vectors[v](u[SCHWARTZ.index(v)], one).astype(np.float32) for v, one in ways.real.items()}
        return replace(ways, real={v: replace(one, vector=put[v]) for v, one in ways.real.items()})

    run, table, record = {
        "ablate": (pipeline.ablate, "ablations", AblationRow),
        "interchange": (pipeline.interchange, "interchange", InterchangeRow),
    }[what]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_ablate, "ways_of", other)
        patch.setattr(_interchange, "ways_of", other)
        run(Path(config.out), config, conditions=4, backend=backend)
    return {row.value: row for row in store.load_rows(Path(config.out), table, record)}


@pytest.fixture(scope="module")
def gone(good) -> dict[str, AblationRow]:
    return tried(good, "ablate", power=true, universalism=true, tradition=random)


@pytest.fixture(scope="module")
def over(good) -> dict[str, InterchangeRow]:
    return tried(good, "interchange", power=true, universalism=true, tradition=random)


@pytest.fixture(scope="module")
def placed(good) -> tuple[PositionRow, ...]:
    config, backend = good
    pipeline.positions(
        Path(config.out), replace(config, steer_value=("power", "tradition"), steer_limit=8), backend=backend
    )
    return store.load_rows(Path(config.out), "positions", PositionRow)


def test_a_direction_taken_out_takes_its_values_share_and_no_others_and_a_random_one_takes_little(gone) -> None:
    rows = gone
    assert tuple(rows) == VALUES
    for value in ("power", "universalism"):
        row = rows[value]
        assert row.base_low > 0.05 and row.removed > 0.95 and row.beyond and row.low > row.reach
        assert abs(row.others) < 0.1 and (row.n_conditions, row.n_items, row.n_null) == (4, 20, 3)
        assert max(row.isotropic, row.random, row.shuffled, row.other) == row.reach < 0.9
    assert not rows["tradition"].removed > 0.5, "a random direction holds a little of every value"


def test_where_nothing_reads_the_direction_there_is_nothing_to_take_away(aside) -> None:
    for row in tried(aside, "ablate", power=fitted, universalism=fitted, tradition=fitted).values():
        assert np.isnan(row.removed) and not row.beyond and abs(row.base) < 0.01


def test_a_coordinate_taken_over_does_what_the_difference_says_and_a_random_one_nothing(over) -> None:
    rows = over
    for value in ("power", "universalism"):
        row = rows[value]
        assert row.agrees and row.verdict.endswith("agree")
        assert 0.7 < row.ratio < 1.3 and row.r > 0.8 and row.low > row.reach
        assert row.recovered > 0.99 and row.whole == pytest.approx(row.natural, abs=0.02)
        assert row.ablated == pytest.approx(row.slope, abs=0.15)
    assert not rows["tradition"].agrees and rows["tradition"].verdict.startswith("nothing beyond")


def test_a_direction_that_wakes_a_pathway_no_prompt_uses_is_dormant_and_one_that_nothing_reads_does_nothing(
    aside,
) -> None:
    rows = tried(aside, "interchange", power=dormant, universalism=dormant, tradition=fitted)
    for value in ("power", "universalism"):
        row = rows[value]
        assert row.slope > 0.1 and row.low > 0 and abs(row.whole) < 0.02
        assert not row.agrees and row.verdict.startswith("dormant pathway")
    assert not rows["tradition"].agrees and abs(rows["tradition"].slope) < 0.02


def test_the_ladder_reads_what_was_taken_out_and_over_by_value_and_method(good, gone, over) -> None:
    folder = Path(good[0].out)
    for name, record in (("ablations", AblationRow), ("interchange", InterchangeRow)):
        row = _ladder._tried(folder, name, record, "power", "partial")
        assert row is not None and row.value == "power"
        assert _ladder._tried(folder, name, record, "power", "covariance") is None
        assert _ladder._tried(folder, name, record, "hedonism", "partial") is None


def test_the_planted_model_is_moved_where_the_answer_starts_and_nowhere_else(placed) -> None:
    assert len(placed) == 6 * 2
    for value in ("power", "tradition"):
        mine = {row.positions: row for row in placed if row.value == value}
        assert mine["all"].low > 0 and mine["all"].of_all == 1
        for place in ("prompt", "last_prompt", "response"):
            assert mine[place].of_all == pytest.approx(1.0, abs=0.02)
        for place in ("after_prompt", "option_span"):
            assert abs(mine[place].of_all) < 0.02


def test_effects_count_per_unit_of_dose_beside_those_at_all_tokens_and_have_no_share_of_nothing(
    good, monkeypatch
) -> None:
    config, backend = good
    shares: dict[str, float] = dict(zip(_positions.PLACES, (0.5, 0.4, 0.1, 0.5, 0.0, 0.25), strict=True))
    own, noise = {"tradition": 0.0, "power": 1.0}, np.random.default_rng(0).standard_normal(100)

    def rated(config, items, backend, arms, tell):
        """Ratings that follow the label of "power" alone, and shift all alike by 2 per unit of dose for "tradition"."""
        out = []
        for (one,) in arms:
            value, dose = one.direction.value, 0.03 * np.sign(one.coefficient)
            along = (
                shares[one.positions] * items.labels_of((value,))[:, 0]
                if own[value]
                else 2 + noise[: len(items.item_ids)]
            )
            out.append(SimpleNamespace(expected=3 + dose * along))
        return out

    monkeypatch.setattr(_positions, "rated", rated)
    pipeline.positions(Path(config.out), replace(config, steer_value=tuple(own), steer_limit=8), backend=backend)
    rows = store.load_rows(Path(config.out), "positions", PositionRow)
    still, moved = ([row for row in rows if row.value == value] for value in own)
    spread = spread_of(load_benchmarks(config), ("power",))[0]
    for row in moved:
        assert row.effect == pytest.approx(shares[row.positions] * spread, abs=1e-9)
        assert row.of_all == pytest.approx(shares[row.positions] / 0.5, abs=1e-9) and abs(row.mean_shift) < 0.5
    for row in still:
        assert np.isnan(row.of_all) and row.low < 0 < row.high
        assert row.mean_shift == pytest.approx(2 + noise[: row.n_items].mean())


def test_the_tables_are_printed(good, gone, over, placed, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(good[0].out)
    causal.ablations(folder)
    causal.exchanged(folder)
    causal.placed(folder)
    said = capsys.readouterr().out
    assert "removed" in said and "of natural" in said and "option_span" in said and "Tradition" in said


def test_what_cannot_be_tried_is_refused(good) -> None:
    config, backend = good
    folder = Path(config.out)
    with pytest.raises(InputError, match="2 personas"):
        pipeline.ablate(folder, config, conditions=2, backend=backend)
    with pytest.raises(InputError, match="no dose"):
        pipeline.positions(folder, replace(config, strengths=(0.0,)), backend=backend)
    with pytest.raises(RefusedError, match="no value has a covariance direction"):
        pipeline.ablate(folder, replace(config, steer_method="covariance"), backend=backend)


def test_new_directions_take_the_checks_away(good) -> None:
    config, _ = good
    store.drop(Path(config.out), ("ablate", "interchange", "positions"))
    assert not any(store.has(Path(config.out), name) for name in ("ablations", "interchange", "positions"))
