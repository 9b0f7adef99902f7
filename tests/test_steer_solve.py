"""`vprobe steer solve` reaches a wanted change on queries nothing was chosen on, and refuses what cannot be had."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from vprobe import backends, benchmarks, effects, exports, organism, pipeline, store
from vprobe.backends import Backend
from vprobe.cli import effects as command
from vprobe.config import RunConfig
from vprobe.errors import InputError, RefusedError, VprobeError
from vprobe.pipeline import Wish, _wish
from vprobe.pipeline._resumed import resumed
from vprobe.pipeline._study import study
from vprobe.pipeline._trial import tried
from vprobe.pipeline._wish import TOLERANCE
from vprobe.types import SolvedRow
from vprobe.values import SCHWARTZ


@pytest.fixture(scope="module")
def backend() -> Backend:
    return backends.load(str(organism.load()), device="cpu")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> RunConfig:
    config = RunConfig(
        model=str(organism.load()), benchmark=("planted",), out=str(tmp_path_factory.mktemp("solve") / "run"),
        sites=("resid_post:1",), draws=19, method=("partial",), map=False, device="cpu", steer_method="partial",
        steer_versions=("v1",), steer_positions="response", strengths=(-0.06, 0.06), steer_limit=0,
        damage_limit=10,
    )  # fmt: skip
    pipeline.extract(config, backend=backend)
    pipeline.probe(Path(config.out), config)
    return config


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, backend: Backend, config: RunConfig) -> Iterator[Backend]:
    """The model with what it answered kept: all searches begin with the same questions."""
    with resumed(tmp_path_factory.mktemp("asked"), "solve", backend, config) as one:
        yield one


def solved(config: RunConfig) -> dict[str, SolvedRow]:
    return {row.value: row for row in store.load_rows(Path(config.out), "solved", SolvedRow)}


def test_a_wanted_change_is_reached_on_untouched_items(config: RunConfig, asked: Backend) -> None:
    stage = pipeline.steer_solve(
        Path(config.out), config, Wish((("benevolence", 0.4),), ("power", "tradition"), 1.0), backend=asked
    )
    rows = solved(config)
    aimed = rows["benevolence"]
    assert abs(aimed.tuned - 0.4) <= TOLERANCE and aimed.wanted == 0.4
    assert aimed.low < 0.4 < aimed.high and abs(aimed.miss) <= 0.1
    for value in (
        "power",
        "tradition",
    ):  # what is to stay stays where doses were chosen, and as far as can be told else
        assert rows[value].role == "keep" and abs(rows[value].tuned) <= TOLERANCE
        assert rows[value].low < 0 < rows[value].high
    assert math.isnan(rows["security"].wanted) and abs(rows["security"].tuned) < 0.05
    assert 0 < aimed.kl <= 1.0 and 1 <= aimed.rounds <= 12
    assert aimed.n_items + aimed.n_tuned == 105
    half = (aimed.high - aimed.low) / 2
    assert aimed.n_needed == math.ceil(aimed.n_items * (half / 0.05) ** 2)
    facts = dict(stage.facts)
    assert facts["targets"] == "benevolence +0.4" and facts["misses on untouched items"].startswith("benevolence ")
    command._solved(Path(config.out))


def test_the_vector_of_a_file_is_a_column_of_the_effects(config: RunConfig, asked: Backend, tmp_path: Path) -> None:
    """A vector that points away from its value is given a dose below 0, and the run's own result stays."""
    folder = Path(config.out)
    one = pipeline.direction(folder, "benevolence", method="partial")
    file = exports.write(tmp_path / "v.safetensors", [replace(one, vector=-one.vector)], strength=1.0)
    own = folder / "solved.parquet"
    before = own.read_bytes() if own.exists() else None
    few = replace(config, steer_vector=str(file), steer_limit=40)
    stage = pipeline.steer_solve(folder, few, Wish((("benevolence", 0.3),), (), 1.0), backend=asked)
    rows = {row.value: row for row in store.load_rows(folder, "imported_solved", SolvedRow)}
    assert rows["benevolence"].strength < 0 and abs(rows["benevolence"].tuned - 0.3) <= TOLERANCE
    assert (own.read_bytes() if own.exists() else None) == before
    assert dict(stage.facts)["vector"].startswith("v.safetensors: benevolence")


def test_both_halves_count_in_the_spread_of_the_whole_benchmark(config: RunConfig, asked: Backend) -> None:
    pipeline.steer_solve(Path(config.out), config, Wish((("tradition", 0.3),)), backend=asked)
    row = solved(config)["tradition"]  # far from the ends of the scale: nothing but the unit could differ
    items = benchmarks.load("planted").items
    labels = np.array([[item.loading(value) for value in SCHWARTZ] for item in items])
    spread = effects.label_spread(labels, tuple(item.group for item in items))
    assert row.spread == pytest.approx(spread[SCHWARTZ.index("tradition")])
    assert abs(row.miss) <= 0.03


def test_the_budget_is_honoured_or_the_change_refused(config: RunConfig, asked: Backend) -> None:
    folder = Path(config.out)
    pipeline.steer_solve(folder, config, Wish((("power", -0.4),)), backend=asked)
    price = solved(config)["power"].kl
    with pytest.raises(RefusedError, match=r"power moves by -0\.\d+ within a KL") as refused:
        pipeline.steer_solve(folder, config, Wish((("power", -0.4),), (), price / 3), backend=asked)
    reached = float(str(refused.value).split("at most ")[1].split(",")[0])
    assert -0.4 < reached < -0.1
    pipeline.steer_solve(folder, config, Wish((("power", reached),), (), price / 3), backend=asked)
    assert 0 < solved(config)["power"].kl <= price / 3
    with pytest.raises(RefusedError, match="KL"):
        pipeline.steer_solve(folder, config, Wish((("power", 0.4),), (), 1e-9), backend=asked)


def test_a_change_beyond_the_scale_is_refused(config: RunConfig, asked: Backend, monkeypatch) -> None:
    monkeypatch.setattr(_wish, "ROUNDS", 3)  # of no use: nothing is reached
    wide = replace(config, strengths=(1.0,))
    with pytest.raises(RefusedError, match="ends of their scale"):
        pipeline.steer_solve(Path(config.out), wide, Wish((("power", 4.0),)), backend=asked)


def test_other_operations_and_units_solve_too(config: RunConfig, asked: Backend) -> None:
    other = replace(
        config, steer_operation="norm-preserving-add", dose="kl=0.001", strengths=(1.5,), steer_conflict="sum",
        steer_positions="all",
    )  # fmt: skip
    pipeline.steer_solve(Path(config.out), other, Wish((("tradition", 0.2),)), backend=asked)
    row = solved(config)["tradition"]
    assert (row.operation, row.dose) == ("norm-preserving-add", "kl=0.001") and abs(row.tuned - 0.2) <= TOLERANCE
    info = dict(store.load_info(Path(config.out), "solve").config)
    assert (info["dose"], info["steer_conflict"]) == ("kl=0.001", "sum")
    with pytest.raises(InputError, match="project-out has doses from none to all"):
        pipeline.steer_solve(
            Path(config.out), replace(config, steer_operation="project-out"), Wish((("power", 0.2),)), backend=asked
        )


def test_queries_the_run_never_recorded_are_held_out_too(tmp_path: Path, backend: Backend, config: RunConfig) -> None:
    few = replace(config, out=str(tmp_path), limit=20)
    pipeline.extract(few, backend=backend)
    known = study(tmp_path, few)
    found = (benchmarks.load("planted"),)
    seen = {item.group for item in benchmarks.load("planted", limit=20).items}
    used = set(tried(config, known, found, backend, unrecorded=True).groups)
    own = set(tried(config, known, found, backend).groups)
    assert own < seen and used & seen == own and len(used) == 104 - 20 + len(own)
    blocks = replace(config, hold_out="block")
    assert set(tried(blocks, known, found, backend, unrecorded=True).groups) == own


def test_wishes_that_make_no_sense_are_refused(config: RunConfig, asked: Backend) -> None:
    for targets, keep, kl in (
        ((), (), 1.0), ((("power", math.nan),), (), 1.0), ((("power", 1.0),), ("power",), 1.0),
        ((("power", 1.0),), (), 0.0),
    ):  # fmt: skip
        with pytest.raises(InputError):
            Wish(targets, keep, kl)
    with pytest.raises(VprobeError, match="pwer"):
        Wish((("pwer", 1.0),))
    with pytest.raises(RefusedError, match="queries"):
        pipeline.steer_solve(Path(config.out), replace(config, steer_limit=4), Wish((("power", 0.4),)), backend=asked)
    with pytest.raises(InputError, match="probed"):
        pipeline.steer_solve(Path(config.out), config, Wish((("openness", 0.4),)), backend=asked)
