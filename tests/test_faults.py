"""Claims about what goes wrong while a run is written: full and failing disks, leftovers, two processes at once."""

from __future__ import annotations

import errno
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from vprobe import responses, store
from vprobe.errors import StoreError
from vprobe.ranks import ALONE, Rank
from vprobe.store import _files, _ranks, manifest
from vprobe.types import Response, RunInfo

from tests.fake_backend import FakeBackend, encode, encode_answers, extract, prompts

ASKED = prompts(30, template="v1")
LITTLE = {"batch_tokens": 16}
"""Settings that make many batches of the little recording."""


@pytest.fixture(autouse=True)
def fake_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses.shelf, "encode", encode)
    monkeypatch.setattr(responses.shelf, "encode_answers", encode_answers)


def tree(folder: Path) -> dict[str, bytes]:
    """Every byte of a run, hidden files too, but for the one file that holds clock and host."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "timing.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(paths)}


@contextmanager
def room(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes, which fails as a full disk does and needs no rights."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def asked(folder: Path | None, rank: Rank = ALONE, backend: FakeBackend | None = None) -> tuple[Response, ...]:
    engine = backend or FakeBackend()
    return responses.collect(engine, ASKED, greedy=True, folder=folder, batch_tokens=60, rank=rank)


# Disks that fill or fail.


def test_a_disk_that_fills_while_ranks_rate_costs_no_answer_and_another_number_of_ranks_goes_on(tmp_path: Path) -> None:
    whole = FakeBackend()
    store.save_responses(tmp_path / "whole", asked(tmp_path / "whole", backend=whole))
    run, seen = tmp_path / "run", []
    for rank, size in ((Rank(0, 2, 0), 1500), (Rank(1, 2, 1), 1500), (Rank(2, 3, 2), 2500)):
        engine = FakeBackend()
        with room(size), pytest.raises(StoreError, match=r"partial\.\d\.jsonl: the disk is full") as caught:
            asked(run, rank, engine)
        assert "run the same command again, which goes on" in caught.value.do
        seen += engine.calls[:-1]  # the last batch is the one that found no room
    last = FakeBackend()
    store.save_responses(run, asked(run, backend=last))
    assert len(seen) > 2 and sorted(seen + last.calls) == sorted(whole.calls), "a batch was lost or asked twice"
    assert tree(run) == tree(tmp_path / "whole"), "hidden files of ranks that died are a single process's to take away"


def test_a_disk_that_fills_while_ranks_record_keeps_the_batches_before(tmp_path: Path, monkeypatch) -> None:
    extract(tmp_path / "whole", FakeBackend(), **LITTLE)
    real, left = os.pwrite, [40]

    def pwrite(fd: int, data: Any, at: int) -> int:
        left[0] -= (tmp_path / "run" / "activations").exists()
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data, at)

    monkeypatch.setattr(os, "pwrite", pwrite)
    done = []
    for rank in (Rank(0, 2, 0), Rank(1, 2, 1)):
        left[0] = 40
        with pytest.raises(StoreError, match=r"safetensors: the disk is full"):
            extract(tmp_path / "run", FakeBackend(), rank=rank, **LITTLE)
        done.append(store.recording(tmp_path / "run").n_done)
    assert 0 < done[0] < done[1]
    monkeypatch.setattr(os, "pwrite", real)
    last = FakeBackend()
    extract(tmp_path / "run", last, **LITTLE)
    assert len(last.calls) == store.recording(tmp_path / "run").n_batches - done[1]
    assert tree(tmp_path / "run") == tree(tmp_path / "whole")


def test_numbers_that_a_failing_disk_forgot_are_computed_again_and_never_sealed(tmp_path: Path, monkeypatch) -> None:
    extract(tmp_path / "whole", FakeBackend(), **LITTLE)
    real, lost = os.fsync, []

    def fsync(fd: int) -> None:
        """Fail once, as a disk does that could not write a page, gives it up and says nothing of it the next time."""
        files = {path.stat().st_ino: path for path in (tmp_path / "run").glob("activations/*/*.safetensors")}
        path = files.get(os.fstat(fd).st_ino)
        if path and not lost and any(path.read_bytes()[-64:]):
            lost.append(path)
            path.write_bytes(path.read_bytes()[:-64] + bytes(64))
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StoreError, match="cannot be written: Input/output error"):
        extract(tmp_path / "run", FakeBackend(), **LITTLE)
    assert lost
    extract(tmp_path / "run", FakeBackend(), **LITTLE)
    assert tree(tmp_path / "run") == tree(tmp_path / "whole")


def test_a_place_that_cannot_be_written_is_found_before_a_stage_works(tmp_path: Path, monkeypatch) -> None:
    extract(tmp_path, FakeBackend())
    real = os.open

    def read_only(path: Any, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return real(path, flags, *mode)

    monkeypatch.setattr(os, "open", read_only)
    worked = []
    for way in (store.timed(tmp_path, "steer"), store.closing(tmp_path)):
        with pytest.raises(StoreError, match="cannot be written: Read-only file system"), way:
            worked.append(way)
    assert not worked


# Damage.


def test_a_damaged_line_of_a_log_is_asked_again_and_those_after_it_are_not(tmp_path: Path) -> None:
    with pytest.raises(StoreError), room(2500):
        asked(tmp_path, Rank(1, 2, 1))
    log = tmp_path / "responses.partial.1.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    assert len(lines) > 4
    at = lines[2].index(b'"logprobs": [-') + len(b'"logprobs": [-')
    assert lines[2][at : at + 1].isdigit()
    lines[2] = lines[2][:at] + b"%d" % (9 - int(lines[2][at : at + 1])) + lines[2][at + 1 :]
    log.write_bytes(b"".join(lines))
    last = FakeBackend()
    assert asked(tmp_path, backend=last) == asked(None)
    kept = {line.split(b'"')[3].decode() for line in (*lines[1:2], *lines[3:-1])}
    assert not any(set(call) <= kept for call in last.calls), "what was whole was asked again"


@pytest.mark.parametrize("damage", ["cut", "overwritten"])
def test_a_site_file_damaged_while_it_is_recorded_is_never_sealed(tmp_path: Path, damage: str) -> None:
    extract(tmp_path / "whole", FakeBackend(), **LITTLE)

    class Unlucky(FakeBackend):
        def read(self, rows: Any, *given: Any, **more: Any) -> Any:
            path = next((tmp_path / "run").glob("activations/*/*.safetensors"))
            if len(self.calls) == store.recording(tmp_path / "run").n_batches - 1:  # before the last batch
                with path.open("r+b") as file:
                    file.truncate(300) if damage == "cut" else file.write(b"x")
            return super().read(rows, *given, **more)

    with pytest.raises(StoreError, match="cut or overwritten while it was recorded"):
        extract(tmp_path / "run", Unlucky(), **LITTLE)
    assert not store.has(tmp_path / "run", "activations")
    extract(tmp_path / "run", FakeBackend(), **LITTLE)
    assert tree(tmp_path / "run") == tree(tmp_path / "whole")


# Leftovers.


def test_what_dead_processes_of_any_host_and_clock_left_holds_nobody_up_and_is_taken_away(tmp_path: Path) -> None:
    extract(tmp_path / "whole", FakeBackend(), **LITTLE)
    run = tmp_path / "run"
    for rank in (Rank(1, 2, 1), Rank(2, 3, 2)):
        engine = FakeBackend()
        engine.stop_after = 3
        with pytest.raises(KeyboardInterrupt):
            extract(run, engine, rank=rank, settings=(("host", "another"),), **LITTLE)
    for name in (_ranks.RANKS, _ranks.CLOSING, manifest.CHANGING, ".vprobe-at-extract", f"{_files.TEMP}dead-run.json"):
        (run / name).write_bytes(b'{"host": "another", "pid": 1')
    for n, path in enumerate(sorted(run.rglob("*"))):
        os.utime(path, (4e9, 4e9) if n % 2 else (1, 1))
    with store.timed(run, "extract"):
        extract(run, FakeBackend(), **LITTLE)
    assert tree(run) == tree(tmp_path / "whole")


def test_a_temporary_file_taken_for_a_dead_ones_is_made_again(tmp_path: Path, monkeypatch) -> None:
    real, taken = os.open, []

    def between(path: Any, flags: int, *mode: int) -> int:
        fd = real(path, flags, *mode)
        if flags & os.O_EXCL and not taken:
            taken.append(path)
            _files.clean(tmp_path)  # another process cleans after the file is made and before it is locked
        return fd

    monkeypatch.setattr(os, "open", between)
    _files.write_atomic(tmp_path / "table", b"whole")
    assert taken and [path.name for path in tmp_path.iterdir()] == ["table"]
    assert (tmp_path / "table").read_bytes() == b"whole"


# Two at once.


def info(seed: int) -> RunInfo:
    return RunInfo(config=(), vprobe="1", commit="", versions=(), model=None, seed=seed, data=(), counts=())


def test_two_stages_that_end_at_once_both_stand_in_the_manifest(tmp_path: Path, monkeypatch) -> None:
    store.save_info(tmp_path, info(0), "extract")
    real, other = manifest.write_atomic, []

    def slowly(path: Path, data: bytes) -> None:
        if not other:
            other.append(threading.Thread(target=store.save_info, args=(tmp_path, info(2), "agree")))
            other[0].start()
            other[0].join(timeout=0.3)
        real(path, data)

    monkeypatch.setattr(manifest, "write_atomic", slowly)
    store.save_info(tmp_path, info(1), "probe")
    other[0].join()
    assert store.stages(tmp_path) == ("extract", "probe", "agree")
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_process_that_never_ends_its_change_is_named_and_not_waited_for_for_ever(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(manifest, "PATIENCE", 0.1)
    with (
        manifest.changing(tmp_path),
        pytest.raises(StoreError, match=r"has been changing run\.json for 0\.1 seconds"),
        manifest.changing(tmp_path),
    ):
        raise AssertionError("two at once")
    store.save_info(tmp_path, info(1), "probe")


def test_a_second_process_that_makes_the_same_stage_is_refused_and_one_of_another_stage_is_not(tmp_path: Path) -> None:
    store.save_info(tmp_path, info(0), "extract")
    with (
        store.timed(tmp_path, "probe"),
        store.timed(tmp_path, "steer"),
        pytest.raises(StoreError, match="making the same stage of this run, probe"),
        store.timed(tmp_path, "probe"),
    ):
        raise AssertionError("two at once")
    with store.timed(tmp_path, "probe"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.json", "timing.json"]
