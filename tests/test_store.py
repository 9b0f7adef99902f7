"""Claims about the run folder: what is written comes back, damage is named, a full disk shows before any work."""

from __future__ import annotations

import dataclasses
import errno
import importlib
import json
import math
import os
import resource
import subprocess
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file
from vprobe import store
from vprobe.errors import InputError, StoreError
from vprobe.store import _files, writer
from vprobe.types import (
    Agreement,
    Benchmark,
    Count,
    Direction,
    Item,
    Loading,
    Reliability,
    Response,
    RunInfo,
    ScoreRow,
    Site,
)

from tests.fake_backend import SITES, FakeBackend, extract

SHARD = "activations/response_mean/resid_post.2.safetensors"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    extract(tmp_path / "run", FakeBackend())
    return tmp_path / "run"


def info(**changed) -> RunInfo:
    plain = RunInfo(
        config=(("sites", ("resid_post:all",)), ("limit", 3)),
        vprobe="0.1",
        commit="c0ffee",
        versions=(("numpy", "2.4"),),
        model=FakeBackend().info,
        seed=4,
        data=(("everyday", "d" * 64),),
        counts=(Count("extract", "too long", "Reddit", 2, 9),),
    )
    return dataclasses.replace(plain, **changed)


# Site files.


def test_site_files_are_plain_safetensors_that_other_readers_open(run):
    expected = store.load_activations(run, "response_mean", [Site(2)]).x[:, 0]
    np.testing.assert_array_equal(load_file(run / SHARD)["x"], expected)
    with safe_open(run / SHARD, "np") as file:
        assert file.metadata() == {"position": "response_mean", "site": "resid_post.2", "model": "a" * 64}
        assert file.get_slice("x").get_shape() == [30, 8]
    for path in (run / "activations").rglob("*.safetensors"):
        assert int.from_bytes(path.read_bytes()[:8], "little") % 8 == 0, "numbers are not aligned"


def test_one_site_is_mapped_and_not_copied_and_nobody_can_write_to_it(run):
    x = store.load_activations(run, "response_mean", [Site(2)]).x
    base = x
    while not isinstance(base, np.memmap):
        base = base.base
        assert base is not None, "copied"
    with pytest.raises(ValueError, match="read-only"):
        x[0, 0, 0] = 1.0


def test_sites_come_in_the_order_asked_for(run):
    wanted = (SITES[2], SITES[0])
    acts = store.load_activations(run, "last_prompt", wanted)
    assert acts.sites == wanted
    np.testing.assert_array_equal(acts.x, store.load_activations(run, "last_prompt").x[:, [2, 0]])


def test_a_position_or_site_that_was_not_recorded_is_answered_with_the_nearest(run):
    with pytest.raises(InputError, match="did you mean 'last_prompt'"):
        store.load_activations(run, "last_prompts")
    with pytest.raises(InputError, match=r"resid_post\.3.*\n.*resid_post\.2"):
        store.load_activations(run, "last_prompt", [Site(3)])


def test_the_manifest_holds_the_hash_of_every_activation_file(run):
    files = json.loads((run / "run.json").read_text())["stages"]["extract"]["files"]
    on_disk = {f"{p.relative_to(run)}" for p in (run / "activations").rglob("*") if p.is_file()}
    assert set(files) == on_disk - {"activations/journal"}
    assert all(files[name] == _files.sha256(run / name) for name in files)


def test_a_batch_is_marked_done_only_after_its_numbers_are_synced(tmp_path, monkeypatch):
    calls: list[tuple[str, str]] = []

    def spy(name):
        real = getattr(os, name)

        def call(fd, *given):
            calls.append((name, Path(f"/proc/self/fd/{fd}").readlink().name))
            return real(fd, *given)

        monkeypatch.setattr(os, name, call)

    spy("pwrite")
    spy("fsync")
    extract(tmp_path, FakeBackend(), n=7)
    unsynced: set[str] = set()
    marks = 0
    for name, file in calls:
        if file.endswith(".safetensors"):
            unsynced = unsynced | {file} if name == "pwrite" else unsynced - {file}
        elif file == "journal" and name == "pwrite" and calls.index((name, file)) > 0:
            marks += 1
            assert not unsynced, "the journal ran ahead"
    assert marks > 1


# Damage.


def _flip(data: bytes) -> bytes:
    return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]


DAMAGES = {
    "one bit": _flip,
    "cut short": lambda data: data[:-4],
    "longer": lambda data: data + b"1234",
    "header": lambda data: data[:12] + b"?" + data[13:],
    "empty": lambda data: b"",
    "missing": None,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_shard_is_named_and_extracting_again_repairs_it(run, damage):
    good, change = tree(run), DAMAGES[damage]
    store.load_activations(run, "response_mean")
    if change is None:
        (run / SHARD).unlink()
    else:
        (run / SHARD).write_bytes(change((run / SHARD).read_bytes()))
    with pytest.raises(StoreError, match=r"resid_post\.2\.safetensors.*\n.*\n.*extract again"):
        store.load_activations(run, "response_mean")
    assert store.load_activations(run, "response_mean", [Site(0)]).x.shape == (30, 1, 8)
    backend = FakeBackend()
    extract(run, backend)
    assert backend.calls, "the journal was trusted"
    assert tree(run) == good
    store.load_activations(run, "response_mean")


def test_batches_cut_off_a_journal_are_computed_again(run):
    good, journal = tree(run), run / "activations" / "journal"
    journal.write_bytes(journal.read_bytes()[:-3])
    with pytest.raises(StoreError, match="batches are done"):
        store.load_activations(run, "response_mean")
    backend = FakeBackend()
    extract(run, backend)
    assert len(backend.calls) == 3 and tree(run) == good


@pytest.mark.parametrize("data", [b"", b"VPROBEJ1", b"\xff" * 300])
def test_a_journal_without_its_head_is_named_and_nothing_is_overwritten(run, data):
    (run / "activations" / "journal").write_bytes(data)
    before = tree(run)
    for attempt in (lambda: store.load_activations(run, "response_mean"), lambda: extract(run, FakeBackend())):
        with pytest.raises(StoreError, match=r"journal.*\n.*delete this run's folder 'activations'"):
            attempt()
    assert tree(run) == before


def test_a_damaged_index_is_named_and_extracting_again_repairs_it(run):
    good, index = tree(run), run / "activations" / "index.jsonl"
    index.write_bytes(index.read_bytes()[:-20])
    with pytest.raises(StoreError, match=r"index\.jsonl"):
        store.load_samples(run)
    extract(run, FakeBackend())
    assert tree(run) == good


# A full disk.


def _full(folder: Path) -> None:
    backend = FakeBackend()
    with pytest.raises(StoreError, match=r"the disk is full: .*bytes\) needed, .* free") as caught:
        extract(folder, backend, n=3000)
    assert "another --out folder" in caught.value.do
    assert backend.calls == [], "work was done before the disk was found full"
    assert list(folder.iterdir()) == [], "the reserved room was not given back"


def test_a_full_disk_shows_before_any_work_on_a_real_small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=800k", "tmpfs", str(disk)], capture_output=True, check=False
    ).returncode == 0  # fmt: skip
    if not mounted:
        pytest.skip("a small disk can only be mounted by root; the next test covers the same claim without one")
    try:
        _full(disk / "run")
        extract(disk / "small", FakeBackend(), n=30)
        assert store.has(disk / "small", "activations")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("with_call", [True, False])
def test_a_file_size_limit_shows_before_any_work_also_where_reserving_is_not_offered(tmp_path, monkeypatch, with_call):
    if not with_call:
        monkeypatch.delattr(os, "posix_fallocate")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        _full(tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_cannot_reserve_gets_the_same_bytes(tmp_path, monkeypatch, run):
    def unsupported(*_):
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    extract(tmp_path / "other", FakeBackend())
    assert tree(tmp_path / "other") == tree(run)


def test_a_place_that_cannot_be_written_is_an_error_to_act_on(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="--out"):
        extract(tmp_path / "file", FakeBackend())
    with pytest.raises(StoreError, match="--out"):
        extract(tmp_path / "file" / "run", FakeBackend())


# Two at once, and strays.


def test_a_second_process_recording_into_the_same_run_is_refused(run):
    lock = _files.lock_folder(run)
    try:
        with pytest.raises(StoreError, match="another process"):
            extract(run, FakeBackend())
    finally:
        os.close(lock)
    extract(run, FakeBackend())


def test_what_a_killed_process_left_half_made_is_cleaned_and_a_living_ones_is_not(run):
    good = tree(run)
    for place in (run, run / "activations", run / "activations" / "response_mean"):
        (place / f"{_files.TEMP}dead").write_text("half")
    (run / f"{_files.TEMP}folder").mkdir()
    living = run / f"{_files.TEMP}living"
    living.mkdir()
    lock = _files.lock_folder(living)
    extract(run, FakeBackend())
    assert living.is_dir()
    os.close(lock)
    extract(run, FakeBackend())
    assert not living.exists() and not (run / f"{_files.TEMP}folder").exists()
    assert tree(run) == good


def test_a_recording_being_created_is_not_taken_for_a_dead_ones(tmp_path, monkeypatch):
    real = _files.write_new

    def beside_another_writer(path, *given):
        _files.clean(tmp_path)  # as any other stage does before it writes into the run
        real(path, *given)

    monkeypatch.setattr(writer, "write_new", beside_another_writer)
    extract(tmp_path, FakeBackend())
    assert store.has(tmp_path, "activations")


def test_a_folder_that_is_full_of_something_else_is_not_filled(tmp_path):
    (tmp_path / "holiday.jpg").write_text("x")
    with pytest.raises(StoreError, match="not a run folder"):
        extract(tmp_path, FakeBackend())
    with pytest.raises(StoreError, match="not a run folder"):
        store.save_info(tmp_path, info(), "extract")


# Tables.


def _score(i: int, score: float) -> ScoreRow:
    return ScoreRow(f"i{i}", "q", "power", "probe", "ridge", "resid_post.1", score, "sd")


def _response(i: int, **changed) -> Response:
    plain = Response(f"p{i}", f"i{i}", "q", "Réddit\n\u2028", "v1", (1.0, 2.0), (-0.1, -math.inf), "tëxt", 2.0, None)
    return dataclasses.replace(plain, **changed)


def test_rows_come_back_as_they_went_in_with_none_and_nan_and_empty_kept_apart(tmp_path):
    rows = (
        _response(0),
        _response(1, logprobs=None, text=None, rating=None, reason="none was asked"),
        _response(2, text="", rating=1.0, ratings=(1.0, 0.1 + 0.2)),
    )
    store.save_info(tmp_path, info(), "rate")
    store.save_rows(tmp_path, "responses", rows)
    assert store.load_rows(tmp_path, "responses", Response) == rows
    scores = (_score(0, math.nan), _score(1, -0.0), _score(2, 1e-320))
    store.save_rows(tmp_path, "scores", scores)
    assert repr(store.load_rows(tmp_path, "scores", ScoreRow)) == repr(scores)


@dataclasses.dataclass(frozen=True)
class Odd:
    number: int
    maybe: float | None
    sites: tuple[Site, ...]
    nested: tuple[Loading, ...]
    flag: bool = False


def test_nested_records_sites_and_flags_have_columns_too(tmp_path):
    store.save_info(tmp_path, info(), "rate")
    rows = (
        Odd(2**40, None, (Site(1), Site(0, "embed")), (Loading("power", 0.5, 0.01),), True),
        Odd(-1, math.nan, (), ()),
    )
    store.save_rows(tmp_path, "odd", rows)
    back = store.load_rows(tmp_path, "odd", Odd)
    assert repr(back) == repr(rows)


def test_the_same_rows_give_the_same_bytes_and_other_rows_do_not(tmp_path):
    rows = [_score(i, i / 7) for i in range(500)]
    for name in ("a", "b"):
        store.save_rows(tmp_path / name, "scores", rows)
    store.save_rows(tmp_path / "c", "scores", [*rows[:-1], _score(499, 0.0)])
    a, b, c = ((tmp_path / name / "scores.parquet").read_bytes() for name in "abc")
    assert a == b != c


def test_an_empty_table_keeps_its_columns(tmp_path):
    store.save_info(tmp_path, info(), "agree")
    store.save_rows(tmp_path, "agreement", ())
    assert store.load_rows(tmp_path, "agreement", Agreement) == ()
    assert list(store.table(tmp_path, "agreement").columns)[:3] == ["level", "comparison", "value"]
    store.save_rows(tmp_path, "odd", (), Odd)
    with pytest.raises(StoreError, match="unknown records"):
        store.save_rows(tmp_path, "odd2", ())


def test_a_missing_damaged_or_foreign_table_is_named(tmp_path):
    store.save_info(tmp_path, info(), "probe")
    with pytest.raises(StoreError, match=r"no table 'scores' yet\n.*vprobe probe"):
        store.load_rows(tmp_path, "scores", ScoreRow)
    store.save_rows(tmp_path, "scores", [_score(i, i / 7) for i in range(500)])
    assert store.has(tmp_path, "scores") and not store.has(tmp_path, "map")
    with pytest.raises(StoreError, match=r"scores\.parquet.*\n.*those of Response"):
        store.load_rows(tmp_path, "scores", Response)
    path = tmp_path / "scores.parquet"
    data = path.read_bytes()
    for broken in (data[:-10], data[:300] + bytes([data[300] ^ 255]) + data[301:], b""):
        path.write_bytes(broken)
        with pytest.raises(StoreError, match=r"scores\.parquet"):
            store.load_rows(tmp_path, "scores", ScoreRow)
        with pytest.raises(StoreError, match=r"scores\.parquet"):
            store.table(tmp_path, "scores")


def test_no_flipped_byte_changes_a_row_unnoticed(tmp_path):
    rows = tuple(_score(i, i / 7) for i in range(40))
    store.save_info(tmp_path, info(), "probe")
    store.save_rows(tmp_path, "scores", rows)
    path = tmp_path / "scores.parquet"
    data, noticed = path.read_bytes(), 0
    for at in range(0, len(data), 3):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x11]) + data[at + 1 :])
        try:
            assert store.load_rows(tmp_path, "scores", ScoreRow) == rows, at
        except StoreError:
            noticed += 1
    assert noticed > len(data) / 12


def test_a_table_keeps_its_old_content_until_the_new_one_stands(tmp_path, monkeypatch):
    store.save_info(tmp_path, info(), "probe")
    store.save_rows(tmp_path, "scores", [_score(0, 1.0)])
    before = tree(tmp_path)
    real, seen = Path.replace, []

    def look(path, target):
        seen.append(target.name)
        assert tree(tmp_path)["scores.parquet"] == before["scores.parquet"] and path.stat().st_size > 0
        return real(path, target)

    monkeypatch.setattr(Path, "replace", look)
    store.save_rows(tmp_path, "scores", [_score(0, 2.0)])
    assert seen == ["scores.parquet"]
    assert tree(tmp_path) != before and tree(tmp_path).keys() == before.keys()


def test_a_write_that_fails_leaves_the_old_table(tmp_path, monkeypatch):
    store.save_info(tmp_path, info(), "probe")
    store.save_rows(tmp_path, "scores", [_score(0, 1.0)])
    before = tree(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(StoreError, match="disk is full"):
            store.save_rows(tmp_path, "scores", [_score(i, i / 7) for i in range(500)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert tree(tmp_path) == before


# Items and directions.


def _benchmark() -> Benchmark:
    items = tuple(
        Item(f"i{i}", f"q{i // 2}", "Reddit", "scenario", "some text", "an answer", loadings=loadings, n_raters=44)
        for i, loadings in enumerate([(Loading("power", 0.25, 0.01), Loading("security", math.nan)), (), ()])
    )
    kept = (Reliability("power", math.nan, 0.5, True),)
    return Benchmark("everyday", items, (), ("power", "security"), kept, "CC0", "us (2025)", "e" * 64, "keyed by us")


def test_items_come_back_without_the_benchmarks_own_files(tmp_path):
    store.save_info(tmp_path, info(), "extract")
    store.save_items(tmp_path, _benchmark())
    assert repr(store.load_items(tmp_path)) == repr(_benchmark())


def test_half_written_items_are_noticed(tmp_path):
    store.save_info(tmp_path, info(), "extract")
    store.save_items(tmp_path, _benchmark())
    data = (tmp_path / "reliability.parquet").read_bytes()
    store.save_rows(tmp_path, "reliability", (Reliability("power", 0.5, 0.7, True),))
    with pytest.raises(StoreError, match=r"reliability\.parquet.*half written"):
        store.load_items(tmp_path)
    (tmp_path / "reliability.parquet").write_bytes(data)
    store.load_items(tmp_path)


def _directions(seed: int = 0) -> tuple[Direction, ...]:
    vectors = np.random.default_rng(seed).standard_normal((3, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    sites = (Site(1), Site(2, "attn_out"), Site(1))
    return tuple(
        Direction(v, site, "power", "ridge", "read", midpoint=0.1 + 0.2, spread=2.0, fitted_on="f", model="a")
        for v, site in zip(vectors, sites, strict=True)
    )


def test_directions_come_back_bit_for_bit_in_order(tmp_path):
    store.save_info(tmp_path, info(), "probe")
    store.save_directions(tmp_path, _directions())
    for back, was in zip(store.load_directions(tmp_path), _directions(), strict=True):
        np.testing.assert_array_equal(back.vector, was.vector)
        assert dataclasses.replace(back, vector=was.vector).midpoint == 0.1 + 0.2
        assert (back.site, back.value, back.method, back.spread) == (was.site, was.value, was.method, was.spread)


def test_vectors_of_one_fit_are_never_read_with_the_table_of_another(tmp_path):
    store.save_info(tmp_path, info(), "probe")
    store.save_directions(tmp_path, _directions())
    table = (tmp_path / "directions.parquet").read_bytes()
    store.save_directions(tmp_path, _directions(1))
    store.load_directions(tmp_path)
    (tmp_path / "directions.parquet").write_bytes(table)  # as if killed between the two files
    with pytest.raises(StoreError, match=r"directions\.safetensors.*half written"):
        store.load_directions(tmp_path)
    with pytest.raises(StoreError, match="at least one"):
        store.save_directions(tmp_path, ())


# The manifest.


def test_stages_are_kept_side_by_side_and_the_later_one_wins(tmp_path):
    store.save_info(tmp_path, info(), "rate")
    store.save_info(tmp_path, info(config=(("limit", 9), ("sites", ("embed",))), seed=1, counts=()), "extract")
    assert store.stages(tmp_path) == ("extract", "rate")
    assert dict(store.load_info(tmp_path).config) == {"sites": ("resid_post:all",), "limit": 3}
    assert dict(store.load_info(tmp_path, "extract").config) == {"sites": ("embed",), "limit": 9}
    both = store.load_info(tmp_path)
    assert both.model == info().model and both.seed == 4 and both.counts == info().counts and both.data == info().data
    with pytest.raises(StoreError, match="vprobe steer"):
        store.load_info(tmp_path, "steer")


def test_saving_a_stage_keeps_the_hashes_of_its_files(run):
    store.save_info(run, info(), "extract")
    store.save_info(run, info(), "extract")
    store.load_activations(run, "response_mean")
    assert store.load_info(run).commit == "c0ffee"


def test_the_machines_own_folders_do_not_reach_the_manifest(tmp_path):
    folder = tmp_path / "secret-home" / "run"
    config = (
        ("model", "/home/me/models/tiny"),
        ("data", PurePosixPath("/home/me/data")),
        ("out", str(folder)),
        ("hub", "org/name"),
        ("extra", ("../shared/x", "resid_post:all")),
    )
    store.save_info(folder, info(config=config), "extract")
    text = (folder / "run.json").read_text()
    assert "home" not in text and "secret" not in text and ".." not in text
    kept = dict(store.load_info(folder).config)
    assert kept == {"model": "tiny", "data": "data", "hub": "org/name", "extra": ("x", "resid_post:all")}


def test_a_run_holds_one_model_and_both_are_named(run):
    other = dataclasses.replace(FakeBackend().info, name="other", fingerprint="b" * 64)
    before = tree(run)
    with pytest.raises(StoreError, match=r"fake \(aaaaaaaaaaaa\).*other \(bbbbbbbbbbbb\)"):
        store.save_info(run, info(model=other), "rate")
    assert tree(run) == before
    store.save_info(run, info(model=None), "probe")
    assert store.load_info(run).model == FakeBackend().info


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "unreadable manifest"),
        (b"[]", "unreadable manifest"),
        (b"\xff\xfe", "unreadable manifest"),
        (b'{"kind": "vprobe run"}', "unreadable manifest"),
        (b'{"format": 99, "kind": "vprobe run", "stages": {}}', "newer vprobe"),
        (b'{"format": 1, "kind": "cake", "stages": {}}', "a manifest of a vprobe run"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_answered(tmp_path, content, says):
    (tmp_path / "run.json").write_bytes(content)
    for attempt in (
        lambda: store.load_info(tmp_path),
        lambda: store.table(tmp_path, "scores"),
        lambda: store.load_activations(tmp_path, "response_mean"),
        lambda: store.save_info(tmp_path, info(), "extract"),
    ):
        with pytest.raises(StoreError, match=says):
            attempt()


def test_a_missing_or_foreign_folder_is_answered(tmp_path):
    with pytest.raises(StoreError, match="no such folder"):
        store.check_run(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="not a run folder"):
        store.check_run(tmp_path)
    store.save_info(tmp_path, info(), "rate")
    with pytest.raises(StoreError, match="no activations yet"):
        store.load_activations(tmp_path, "response_mean")
    with pytest.raises(StoreError, match="cannot be written"):
        store.save_info(tmp_path, info(config=(("x", math.nan),)), "rate")


def test_only_the_timing_file_knows_clock_and_host(run):
    before = tree(run)
    with store.timed(run, "extract", device="cpu"):
        pass
    with store.timed(run, "rate"):
        pass
    with pytest.raises(ZeroDivisionError), store.timed(run, "probe"):
        raise ZeroDivisionError
    content = json.loads((run / "timing.json").read_text())
    assert set(content) == {"extract", "rate"}
    assert set(content["extract"]) == {"start", "end", "seconds", "host", "device"}
    assert content["extract"]["start"].endswith("+00:00")
    assert {name: data for name, data in tree(run).items() if name != "timing.json"} == before


def test_every_field_of_a_direction_is_kept_with_it() -> None:
    records = importlib.import_module("vprobe.store.records")  # the room has a function of this name
    kept = {one.name for one in dataclasses.fields(records._DirectionRow)} - {"row"}
    assert kept == {one.name for one in dataclasses.fields(Direction)} - {"vector"}
