"""Claims about ends: at whichever write of a steered, written or recorded stage a process dies, the next goes on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from vprobe import backends, organism, pipeline
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.pipeline import _common, _steer
from vprobe.ranks import ALONE, Rank
from vprobe.store import _files

from tests.test_faults import tree


class Killed(BaseException):
    """What a process dies of here."""


@pytest.fixture(scope="module")
def backend() -> Backend:
    return backends.load(str(organism.load()), device="cpu")


@pytest.fixture(autouse=True)
def nobody_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_common, "_commit", lambda root: "")


def config(out: Path) -> RunConfig:
    return RunConfig(
        model=str(organism.load()), benchmark=("planted",), out=str(out), sites=("resid_post:1",), draws=2, limit=20,
        folds=3, values=("benevolence", "power"), method=("partial",), map=False, claim_draws=50, device="cpu",
        untrained=False, steer_method="partial", steer_value=("benevolence",), steer_versions=("v1",), steer_limit=2,
        null_draws=1, null_arms=("random",), strengths=(-0.05, 0.05),
    )  # fmt: skip


def cache(real: Callable[..., Any]) -> Callable[..., Any]:
    """Call a function once, and give its answer ever after."""
    kept: list[Any] = []

    def call(*given: object) -> Any:
        if not kept:
            kept.append(real(*given))
        return kept[0]

    return call


def killed(make: Callable[[int], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """Make a stage again and again; the first time it dies at its first write, then at its second, and so on.

    Returns:
        How often it died before it came to its end.
    """
    real = _files._temporary
    for deaths in count():
        writes = count()

        def write(path: Path, *, writes: count[int] = writes, last: int = deaths) -> tuple[Path, int]:
            made = real(path)
            if next(writes) == last:
                os.close(made[1])  # and with it the lock; the empty file stays, as of a process that is no more
                raise Killed(path.name)
            return made

        monkeypatch.setattr(_files, "_temporary", write)
        try:
            make(deaths)
        except Killed:
            continue
        monkeypatch.setattr(_files, "_temporary", real)
        return deaths
    raise AssertionError


def test_a_sweep_killed_at_each_of_its_writes_ends_with_the_bytes_of_one_that_never_was(
    tmp_path: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    pipeline.extract(config(whole), backend=backend)
    pipeline.probe(whole, config(whole))
    shutil.copytree(whole, run)
    for name in ("prepare", "_few", "dosed", "prompted"):  # what the model says is asked for once; the ends are at test
        monkeypatch.setattr(_steer, name, cache(getattr(_steer, name)))
    pipeline.steer_sweep(whole, config(whole), backend=backend)
    deaths = killed(lambda _: pipeline.steer_sweep(run, config(run), backend=backend), monkeypatch)
    assert deaths >= 6 and tree(run) == tree(whole)


@pytest.mark.parametrize("stage", ["rate", "extract"])
def test_ranks_killed_while_they_close_a_run_are_followed_by_any_number_of_others(
    tmp_path: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    make = {"rate": pipeline.rate, "extract": pipeline.extract}[stage]
    whole, run = (
        replace(
            config(tmp_path / name), benchmark=("everyday",), limit=1, versions=("v1",), greedy=True, generation=True
        )
        for name in ("whole", "run")
    )
    make(whole, backend=backend)
    crew = (Rank(0, 2, 0), Rank(2, 3, 0), Rank(1, 2, 1), ALONE)
    deaths = killed(lambda n: make(run, backend=backend, rank=crew[n % 4]), monkeypatch)
    assert deaths >= 5 and tree(tmp_path / "run") == tree(tmp_path / "whole")
