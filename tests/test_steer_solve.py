"""`vprobe steer solve` reaches a wanted change on queries nothing was chosen on, and refuses what cannot be had."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from vprobe import backends, organism, pipeline, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import InputError, RefusedError, VprobeError
from vprobe.pipeline import Wish
from vprobe.types import SolvedRow


@pytest.fixture(scope="module")
def backend() -> Backend:
    return backends.load(str(organism.load()), device="cpu")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> RunConfig:
    config = RunConfig(
        model=str(organism.load()), benchmark=("planted",), out=str(tmp_path_factory.mktemp("solve") / "run"),
        sites=("resid_post:1",), draws=19, method=("partial",), map=False, device="cpu", steer_method="partial",
        steer_versions=("v1",), steer_positions="response", strengths=(-0.06, 0.06), steer_limit=0,
    )  # fmt: skip
    pipeline.extract(config, backend=backend)
    pipeline.probe(Path(config.out), config)
    return config


def solved(config: RunConfig) -> dict[str, SolvedRow]:
    return {row.value: row for row in store.load_rows(Path(config.out), "solved", SolvedRow)}


def test_a_wanted_change_is_reached_on_untouched_items(config: RunConfig, backend: Backend) -> None:
    stage = pipeline.steer_solve(
        Path(config.out), config, Wish((("benevolence", 0.4),), ("power",), 1.0), backend=backend
    )
    rows = solved(config)
    assert abs(rows["benevolence"].miss) <= 0.1 and rows["benevolence"].wanted == 0.4
    assert rows["benevolence"].low < 0.4 < rows["benevolence"].high
    assert all(abs(rows[value].tuned) < 0.05 for value in rows if value != "benevolence")
    assert rows["power"].role == "keep" and math.isnan(rows["tradition"].wanted)
    assert 0 < rows["power"].kl <= 1.0
    assert rows["power"].n_items + rows["power"].n_tuned == 105
    assert dict(stage.facts)["targets"] == "benevolence +0.4"


def test_what_cannot_be_had_within_the_budget_is_refused(config: RunConfig, backend: Backend) -> None:
    with pytest.raises(RefusedError, match="KL"):
        pipeline.steer_solve(Path(config.out), config, Wish((("power", 0.4),), (), 1e-9), backend=backend)


def test_wishes_that_make_no_sense_are_refused(config: RunConfig, backend: Backend) -> None:
    for targets, keep, kl in (
        ((), (), 1.0), ((("power", math.nan),), (), 1.0), ((("power", 1.0),), ("power",), 1.0),
        ((("power", 1.0),), (), 0.0),
    ):  # fmt: skip
        with pytest.raises(InputError):
            Wish(targets, keep, kl)
    with pytest.raises(VprobeError, match="pwer"):
        Wish((("pwer", 1.0),))
    with pytest.raises(RefusedError, match="queries"):
        pipeline.steer_solve(Path(config.out), replace(config, steer_limit=4), Wish((("power", 0.4),)), backend=backend)
    with pytest.raises(InputError, match="probed"):
        pipeline.steer_solve(Path(config.out), config, Wish((("openness", 0.4),)), backend=backend)
