"""Benchmark data arrive whole or not at all: a real local server misbehaves in every way we know."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from vprobe.benchmarks import _cache, _download, value_portrait
from vprobe.benchmarks._pinned import DataSet, PinnedFile
from vprobe.errors import DataError, InputError, StoreError

NAME = "value-portrait"
BIG, SMALL = "data/big file.json", "LICENSE"
BYTES = {BIG: np.random.default_rng(0).bytes(300_000), SMALL: b"do as you like\n"}
TINY = DataSet(
    name=NAME,
    what="two files",
    licence="none",
    citation="nobody",
    version="0123456789abcdef",
    url="http://127.0.0.1:9/never-used",
    files=tuple(PinnedFile(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in BYTES.items()),
)


@dataclass
class Web:
    """What the server does with the next requests for the big file, and what it was asked."""

    url: str = ""
    plan: list[str] = field(default_factory=list)
    always: str = "ok"
    seen: list[tuple[str, str]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    web: Web

    def do_GET(self) -> None:
        path = self.path.lstrip("/").replace("%20", " ")
        asked = self.headers.get("Range", "")
        self.web.seen.append((path, asked))
        data = BYTES[path]
        mode = "ok" if path == SMALL else self.web.plan.pop(0) if self.web.plan else self.web.always
        if mode.isdigit() and not (mode == "416" and not asked):
            self.send_response(int(mode))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = {"wrong": data[:-1] + b"!", "longer": data * 20}.get(mode, data)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and mode != "ignores-range" else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start + (mode == 'shifted')}-{len(data) - 1}/{len(data)}")
        body = data[start - 1 : -1] if mode == "shifted" and start else data[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # a client that has seen enough hangs up
            self.wfile.write(body[: len(body) // 2] if mode == "cut" else body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(value_portrait, "DATA", TINY)
    monkeypatch.setattr(_download, "PAUSE", 0.0)
    web = Web()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"web": web}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    web.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield web
    server.shutdown()
    server.server_close()
    thread.join()


def folder() -> Path:
    return _cache.data_folder(TINY)


def part() -> Path:
    return _download.part_of(folder() / BIG)


def complete() -> bool:
    return all((folder() / path).read_bytes() == data for path, data in BYTES.items()) and not part().exists()


def test_a_download_brings_every_byte_and_tells_how_far_it_is(web: Web) -> None:
    heard: list[tuple[str, int, int]] = []
    assert _cache.get(NAME, base_url=web.url, progress=lambda *now: heard.append(now)) == folder()
    assert complete()
    big = [done for path, done, total in heard if path == BIG and total == len(BYTES[BIG])]
    assert big == sorted(big) and len(big) > 2 and big[-1] == len(BYTES[BIG])


def test_a_second_call_downloads_nothing(web: Web) -> None:
    _cache.get(NAME, base_url=web.url)
    asked = len(web.seen)
    _cache.get(NAME, base_url=web.url)
    assert len(web.seen) == asked == 2


def test_the_address_can_come_from_the_environment(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VPROBE_DATA_URL", web.url + "/")
    _cache.get(NAME)
    assert complete()


def test_a_download_cut_off_goes_on_where_it_stopped_within_one_call(web: Web) -> None:
    web.plan = ["cut"]
    _cache.get(NAME, base_url=web.url)
    assert complete()
    assert [asked for path, asked in web.seen if path == BIG] == ["", "bytes=150000-"]


def test_a_download_cut_off_every_time_is_an_error_and_the_next_call_resumes(web: Web) -> None:
    web.always = "cut"
    with pytest.raises(DataError, match="connection ended after") as caught:
        _cache.get(NAME, base_url=web.url)
    assert "300000 bytes" in caught.value.expected and BIG.split("/")[0] in caught.value.where and caught.value.do
    arrived = part().stat().st_size
    assert 0 < arrived < len(BYTES[BIG]) and not (folder() / BIG).exists()
    web.always = "ok"
    _cache.get(NAME, base_url=web.url)
    assert complete() and web.seen[-2][1] == f"bytes={arrived}-"


def test_a_part_left_by_a_killed_download_is_used_again(web: Web) -> None:
    part().parent.mkdir(parents=True)
    part().write_bytes(BYTES[BIG][:1000])
    _cache.get(NAME, base_url=web.url)
    assert complete() and web.seen[0] == (BIG, "bytes=1000-")


def test_a_whole_part_left_before_its_rename_needs_no_download(web: Web) -> None:
    part().parent.mkdir(parents=True)
    part().write_bytes(BYTES[BIG])
    _cache.get(NAME, base_url=web.url)
    assert complete() and [path for path, _ in web.seen] == [SMALL]


@pytest.mark.parametrize("left", [b"x" * 1000, b"x" * 300_000, b"x" * 300_001])
def test_a_damaged_part_is_thrown_away_and_downloaded_afresh(web: Web, left: bytes) -> None:
    part().parent.mkdir(parents=True)
    part().write_bytes(left)
    _cache.get(NAME, base_url=web.url)
    assert complete() and (BIG, "") in web.seen


@pytest.mark.parametrize(("mode", "visits"), [("ignores-range", 1), ("shifted", 2), ("416", 2)])
def test_a_server_that_does_not_resume_properly_still_gives_the_right_file(web: Web, mode: str, visits: int) -> None:
    part().parent.mkdir(parents=True)
    part().write_bytes(BYTES[BIG][:1000])
    web.always = mode
    _cache.get(NAME, base_url=web.url)
    assert complete() and sum(path == BIG for path, _ in web.seen) == visits


@pytest.mark.parametrize("mode", ["503", "429"])
def test_a_busy_server_is_asked_again(web: Web, mode: str) -> None:
    web.plan = [mode, mode]
    _cache.get(NAME, base_url=web.url)
    assert complete()


@pytest.mark.parametrize(("mode", "tells"), [("wrong", "SHA-256"), ("longer", r"has 3\d{5} bytes instead of 300000")])
def test_wrong_bytes_never_reach_their_place(web: Web, mode: str, tells: str) -> None:
    web.always = mode
    with pytest.raises(DataError, match=tells) as caught:
        _cache.get(NAME, base_url=web.url)
    assert TINY.files[0].sha256 in caught.value.expected and caught.value.where.startswith(web.url)
    assert not (folder() / BIG).exists() and not part().exists()
    assert sum(path == BIG for path, _ in web.seen) == 1, "a whole download that is wrong is not tried again"


@pytest.mark.parametrize("code", ["404", "403"])
def test_a_file_that_is_not_there_is_named_at_once(web: Web, code: str) -> None:
    web.always = code
    with pytest.raises(DataError, match=code) as caught:
        _cache.get(NAME, base_url=web.url)
    assert caught.value.where.endswith("big%20file.json") and "--from" in caught.value.do and len(web.seen) == 1


def test_no_network_is_an_error_that_names_the_other_way(web: Web) -> None:
    with pytest.raises(DataError, match="no connection") as caught:
        _cache.get(NAME, base_url="http://127.0.0.1:9")
    assert "--from" in caught.value.do


def test_files_already_checked_stay_when_a_later_one_fails(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(value_portrait, "DATA", DataSet(**{**vars(TINY), "files": TINY.files[::-1]}))
    web.always = "404"
    with pytest.raises(DataError):
        _cache.get(NAME, base_url=web.url)
    assert (folder() / SMALL).read_bytes() == BYTES[SMALL]
    assert next(e for e in _cache.listing() if e.name == NAME).state == "incomplete"
    web.always = "ok"
    _cache.get(NAME, base_url=web.url)
    assert sum(path == SMALL for path, _ in web.seen) == 1


def test_a_file_damaged_on_disk_is_brought_again(web: Web) -> None:
    _cache.get(NAME, base_url=web.url)
    (folder() / BIG).write_bytes(BYTES[BIG][:-1] + b"?")
    _cache.get(NAME, base_url=web.url)
    assert complete()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("way", ["download", "import"])
def test_a_full_disk_is_said_plainly_and_costs_nothing(web: Web, way: str, tmp_path: Path) -> None:
    for path, data in BYTES.items():
        (tmp_path / "copy" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / path).write_bytes(data)
    part().parent.mkdir(parents=True)
    part().symlink_to("/dev/full")  # every write to it fails as on a full disk
    with pytest.raises(StoreError, match="disk is full") as caught:
        _cache.get(NAME, base_url=web.url, source=tmp_path / "copy" if way == "import" else None)
    assert caught.value.where == str(part()) and "VPROBE_CACHE" in caught.value.do
    part().unlink()
    _cache.get(NAME, base_url=web.url)
    assert complete()


def test_a_cache_that_cannot_be_written_is_a_store_error(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("VPROBE_CACHE", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="cannot be written") as caught:
        _cache.get(NAME, base_url=web.url)
    assert "VPROBE_CACHE" in caught.value.do


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(value_portrait, "DATA", TINY)
    for path, data in BYTES.items():
        (tmp_path / "copy" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / path).write_bytes(data)
    return tmp_path / "copy"


def test_a_local_copy_is_imported_without_any_network(copy: Path) -> None:
    heard: list[str] = []
    _cache.get(NAME, source=copy, progress=lambda path, done, total: heard.append(path))
    assert complete() and heard == [BIG, SMALL]


def test_a_local_copy_is_checked_like_a_download_and_its_good_files_are_kept(copy: Path) -> None:
    (copy / BIG).write_bytes(BYTES[BIG].replace(b"\n", b"\r\n"))
    with pytest.raises(DataError, match="1 of 2 files") as caught:
        _cache.get(NAME, source=copy)
    assert caught.value.where == str(copy) and BIG in caught.value.found and "line ends" in caught.value.do
    assert not (folder() / BIG).exists() and (folder() / SMALL).read_bytes() == BYTES[SMALL]
    (copy / BIG).unlink()
    with pytest.raises(DataError, match="is not there"):
        _cache.get(NAME, source=copy)


def test_a_source_that_is_no_folder_and_an_address_that_is_no_address_are_refused(copy: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        _cache.get(NAME, source=copy / "nowhere")
    with pytest.raises(InputError, match="not a web address"):
        _cache.get(NAME, base_url=str(copy))
    with pytest.raises(InputError, match="ships with vprobe"):
        _cache.get("everyday", source=copy)
    with pytest.raises(InputError, match="did you mean 'value-portrait'"):
        _cache.get("value-portrit")


def test_the_list_says_what_is_here_and_where(copy: Path) -> None:
    def entry() -> _cache.DataEntry:
        return next(one for one in _cache.listing() if one.name == NAME)

    assert (entry().state, entry().n_good, entry().n_files) == ("absent", 0, 2)
    (folder() / SMALL).parent.mkdir(parents=True)
    (folder() / SMALL).write_bytes(BYTES[SMALL])
    assert (entry().state, entry().n_good) == ("incomplete", 1)
    _cache.get(NAME, source=copy)
    assert entry().state == "complete" and entry().folder == folder() and entry().size == 300_015
    (folder() / SMALL).write_bytes(b"do as I like!!\n")
    assert entry().state == "incomplete"


def test_every_benchmark_is_listed_with_licence_and_citation_and_ours_is_always_here() -> None:
    listed = {one.name: one for one in _cache.listing()}
    assert {"everyday", NAME} <= set(listed)
    assert all(one.what and one.licence and one.citation for one in listed.values())
    assert {one.name for one in listed.values() if one.size == 0} == {"pvq-21", "pvq-40", "pvq-rr"}
    assert all((one.state == "yours") == (one.size == 0) for one in listed.values())
    assert listed["everyday"].state == "complete" and listed["everyday"].shipped
    assert "LMSYS" in listed[NAME].licence and listed[NAME].state == "absent"


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VPROBE_CACHE", str(tmp_path / "mine"))
    assert _cache.cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("VPROBE_CACHE")
    assert _cache.cache_folder().name == "vprobe"


def test_the_pinned_table_describes_the_official_files(shared: Path) -> None:
    official = shared / "value_portrait" / "upstream"
    found = {path.relative_to(official).as_posix() for path in official.rglob("*") if path.is_file()}
    assert found == {one.path for one in value_portrait.DATA.files} and len(found) == 21
    assert _cache.require(value_portrait.DATA, official) == official
