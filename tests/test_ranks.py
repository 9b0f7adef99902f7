"""Claims about several ranks: who is who, how work is divided, and that a run's bytes do not depend on any of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from scripts import check_scale
from vprobe import backends, batching, benchmarks, organism, pipeline, ranks, store
from vprobe.config import RunConfig
from vprobe.errors import InputError, StoreError
from vprobe.pipeline import _common, _extract
from vprobe.ranks import Rank
from vprobe.store._ranks import Crew, order

from tests.fake_backend import FakeBackend, extract

ROOT = Path(__file__).resolve().parent.parent
NOT_RESULTS = ("timing.json",)


def tree(folder: Path) -> dict[str, bytes]:
    """Every byte of a run, but for the one file that holds clock and host."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in NOT_RESULTS]
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(paths)}


# Who is who.


def test_no_words_in_the_environment_mean_a_process_alone() -> None:
    assert ranks.find({}) == Rank(0, 1, 0) and ranks.find({}).alone
    assert ranks.find({"SLURM_NTASKS": "8"}).alone, "a job script that nobody started by srun"


def test_torchrun_and_slurm_say_who_a_process_is_and_torchrun_counts_first() -> None:
    torchrun = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
    slurm = {"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "2"}
    assert ranks.find(torchrun) == Rank(3, 4, 1)
    assert ranks.find(slurm) == Rank(5, 8, 2)
    assert ranks.find(torchrun | slurm) == Rank(3, 4, 1)
    assert ranks.find(slurm | {"SLURM_STEP_NUM_TASKS": "6"}) == Rank(5, 6, 2), "the step's number, not the job's"


def test_a_rank_left_over_from_elsewhere_is_not_taken_for_one_of_sruns() -> None:
    step = {"SLURM_PROCID": "1", "SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "2", "SLURM_LOCALID": "1"}
    by_hand = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    assert ranks.find(step | by_hand) == Rank(1, 2, 0), "as job scripts do that copy SLURM's numbers"
    left_over = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    with pytest.raises(InputError, match="RANK is 0, but SLURM_PROCID is 1"):
        ranks.find(step | left_over)
    with pytest.raises(InputError, match="WORLD_SIZE is 1, but SLURM_STEP_NUM_TASKS is 2"):
        ranks.find(step | left_over | {"SLURM_PROCID": "0"})
    torchrun = {"RANK": "9", "WORLD_SIZE": "16", "LOCAL_RANK": "1", "TORCHELASTIC_RUN_ID": "none"}
    assert ranks.find(step | torchrun) == Rank(9, 16, 1), "srun starts one torchrun on each node"
    script = {"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_LOCALID": "0"}
    assert ranks.find(script | left_over).alone, "a job script without srun"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"RANK": "2", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "rank 2 of 2"),
        ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}, "number 1 on its machine"),
        ({"RANK": "0", "LOCAL_RANK": "0"}, "WORLD_SIZE is not set"),
        ({"WORLD_SIZE": "2"}, "RANK is not set"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "LOCAL_RANK is ''"),
        ({"RANK": "one", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "RANK is 'one'"),
        ({"SLURM_PROCID": "-1", "SLURM_NTASKS": "2", "SLURM_LOCALID": "0"}, "SLURM_PROCID is '-1'"),
    ],
)
def test_an_environment_that_contradicts_itself_is_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ranks.find(given)


def test_each_rank_takes_its_own_gpu_unless_the_user_named_a_device() -> None:
    assert [Rank(3, 4, 1).device(name) for name in ("auto", "cpu", "cuda:0")] == ["auto:1", "cpu", "cuda:0"]
    assert Rank().device("auto") == "auto"


# How work is divided.


def test_shards_hold_every_batch_once_and_differ_by_less_than_one_batch() -> None:
    costs = [(i * 7919) % 97 + 1 for i in range(200)]
    for count in (1, 2, 3, 8):
        found = batching.shards(costs, count)
        assert sorted(batch for shard in found for batch in shard) == list(range(200))
        loads = [sum(costs[batch] for batch in shard) for shard in found]
        assert max(loads) - min(loads) <= max(costs) and found == batching.shards(costs, count)
    with pytest.raises(InputError, match="0 processes"):
        batching.shards(costs, 0)


def test_a_rank_begins_with_its_own_shard_and_takes_the_others_from_their_ends() -> None:
    shards = [[0, 1], [2, 3, 4], [5]]
    assert [list(order(shards, Rank(n, 3, n))) for n in range(3)] == [
        [0, 1, 4, 3, 2, 5], [2, 3, 4, 5, 1, 0], [5, 1, 0, 4, 3, 2],
    ]  # fmt: skip


WORKER = """
import sys
from pathlib import Path
from vprobe.ranks import Rank
from vprobe.store._ranks import Crew
crew = Crew(Path(sys.argv[1]), Rank(0, 2, 0), (("limit", "6"),))
crew.ready()
print(crew.first, crew.take(3), flush=True)
sys.stdin.readline()
"""


def test_a_batch_that_a_living_rank_has_is_no_other_ranks(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WORKER, str(tmp_path)]
    one = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert one.stdout is not None and one.stdout.readline() == "True True\n"
        with pytest.raises(StoreError, match=r"dtype n/a, here bfloat16"):
            Crew(tmp_path, Rank(1, 2, 1), (("limit", "6"), ("dtype", "bfloat16")))
        with pytest.raises(StoreError, match="rank 0 of 2 is at work already"):
            Crew(tmp_path, Rank(0, 2, 0), (("limit", "6"),))
        crew = Crew(tmp_path, Rank(1, 2, 1), (("limit", "6"),))
        crew.ready()
        assert (crew.first, crew.take(3), crew.take(4), crew.take(4)) == (False, False, True, True)
    finally:
        one.kill()
        ended(one)
    assert crew.take(3), "a rank that died has nothing"
    crew.close()


def test_a_rank_alone_in_a_crew_does_the_work_of_all_of_them(tmp_path: Path) -> None:
    extract(tmp_path / "one", FakeBackend())
    extract(tmp_path / "two", FakeBackend(), rank=Rank(1, 3, 1))
    there = tree(tmp_path / "two")
    assert there.pop(".vprobe-ranks")
    assert there == tree(tmp_path / "one")


def start(folder: Path, rank: int, of: int = 2, *, delay: float = 0.02, settings: str = "6") -> subprocess.Popen[str]:
    """Start a rank that reads with a slow model of numpy; it has begun when this returns."""
    said = {"RANK": str(rank), "WORLD_SIZE": str(of), "LOCAL_RANK": str(rank)} if of > 1 else {}
    words = [sys.executable, "-m", "tests.fake_backend", str(folder), str(delay), settings]
    one = subprocess.Popen(
        words, cwd=ROOT, env=os.environ | said, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert one.stdout is not None and one.stdout.readline() == "ready\n"
    return one


def ended(one: subprocess.Popen[str], *, within: float = 60) -> int:
    """Wait for a process and return its exit code."""
    one.communicate(timeout=within)
    return one.returncode


def begun(folder: Path) -> None:
    """Wait until a recording has its first batch."""
    for _ in range(500):
        if (folder / "activations" / "journal").exists() and store.recording(folder).n_done:
            return
        time.sleep(0.01)
    raise AssertionError("nothing was recorded")


def test_a_rank_goes_on_with_the_batches_of_one_that_died_and_the_bytes_are_those_of_one_process(
    tmp_path: Path,
) -> None:
    extract(tmp_path / "one", FakeBackend(), batch_tokens=16)
    two = tmp_path / "two"
    first = start(two, 0)
    second = start(two, 1)
    begun(two)
    second.send_signal(signal.SIGKILL)
    assert ended(second) == -signal.SIGKILL and ended(first) == 0
    there = tree(two)
    assert there.pop(".vprobe-ranks")
    assert there == tree(tmp_path / "one")
    again = start(two, 1, delay=5.0)
    assert ended(again, within=4) == 0, "it had nothing left to read"


def test_both_ranks_do_a_part_of_the_work(tmp_path: Path) -> None:
    seen = []
    for rank in range(2):
        calls = FakeBackend()
        extract(tmp_path / "run", calls, rank=Rank(rank, 2, rank), batch_tokens=16, seal=False)
        seen.append(len(calls.calls))
    assert seen[0] > 10 and seen[1] == 0, "a rank that comes when all is done does nothing"


def test_ranks_started_with_other_settings_and_processes_that_are_no_ranks_are_refused(tmp_path: Path) -> None:
    at_work = start(tmp_path, 0, delay=0.3)
    begun(tmp_path)
    try:
        with pytest.raises(StoreError, match=r"limit 6, here 7"):
            extract(tmp_path, FakeBackend(), rank=Rank(1, 2, 1), settings=(("limit", "7"),), batch_tokens=16)
        with pytest.raises(StoreError, match=r"ranks 2, here 3"):
            extract(tmp_path, FakeBackend(), rank=Rank(1, 3, 1), settings=(("limit", "6"),), batch_tokens=16)
        with pytest.raises(StoreError, match="another process is recording"):
            extract(tmp_path, FakeBackend(), batch_tokens=16)
        with pytest.raises(StoreError, match="other settings"):
            extract(tmp_path, FakeBackend(), rank=Rank(1, 2, 1), settings=(("limit", "6"),), batch_tokens=32)
    finally:
        at_work.kill()
        ended(at_work)


def test_ranks_share_the_versions_of_the_libraries_that_make_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    config = RunConfig(model="organism")
    before = dict(_common.shared(config, "extract"))
    monkeypatch.setattr(_common.metadata, "version", lambda name: "0.1" if name == "torch" else "1")
    now = dict(_common.shared(config, "extract"))
    assert now["torch"] == "0.1" != before["torch"] and {"transformers", "tokenizers", "numpy", "vprobe"} <= set(before)


def test_ranks_share_the_data_labels_and_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = benchmarks.load("everyday", limit=2)
    relabelled = replace(found, sha256="another")
    seen: list[dict[str, str]] = []

    def record(*_: object, settings: tuple[tuple[str, str], ...], **more: object) -> None:
        seen.append(dict(settings))
        raise KeyboardInterrupt

    monkeypatch.setattr(_extract.activations, "record", record)
    config = RunConfig(model="organism", benchmark=("everyday",), out=str(tmp_path), device="cpu")
    backend = backends.load(str(organism.load()), device="cpu")
    for one in (found, relabelled):
        monkeypatch.setattr(_extract, "load_benchmarks", lambda _, one=one: (one,))
        with pytest.raises(KeyboardInterrupt):
            pipeline.extract(config, backend=backend, rank=Rank(0, 2, 0))
    assert [name for name in seen[0] if seen[0][name] != seen[1][name]] == ["data of everyday"]


def test_a_rank_is_refused_where_a_single_process_records(tmp_path: Path) -> None:
    at_work = start(tmp_path, 0, of=1, delay=0.3)
    begun(tmp_path)
    try:
        with pytest.raises(StoreError, match="a process that is no rank"):
            extract(tmp_path, FakeBackend(), rank=Rank(1, 2, 1), batch_tokens=16)
    finally:
        at_work.kill()
        ended(at_work)


# The command line.


def test_only_extract_and_rate_are_divided_and_other_ranks_leave_other_commands(tmp_path: Path, monkeypatch) -> None:
    from typer.testing import CliRunner
    from vprobe.cli import app

    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(app, ["report", str(tmp_path / "nowhere")])
    assert done.exit_code == 0 and done.output == ""
    monkeypatch.setenv("RANK", "0")
    assert CliRunner().invoke(app, ["report", str(tmp_path / "nowhere")]).exit_code != 0


def test_killed_ranks_started_again_leave_the_bytes_of_a_single_process(tmp_path: Path) -> None:
    short = [
        ("2" if before == "--limit" else word) for before, word in zip(("", *check_scale.EXTRACT), check_scale.EXTRACT)
    ]
    value, ok = check_scale.judged(check_scale.killed((*short, "--no-untrained", "--layers", "1"), tmp_path, 2))
    assert ok, value
