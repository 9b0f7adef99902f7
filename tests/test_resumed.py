"""Claims about stages that ask a model much: killed, they go on where they stopped, to the same bytes."""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vprobe import backends, organism, pipeline, registry, steering, store
from vprobe.backends import Backend
from vprobe.config import RunConfig
from vprobe.errors import StoreError
from vprobe.pipeline import _asked
from vprobe.pipeline._asked import Questions, packed, unpacked
from vprobe.pipeline._resumed import Resumed, at_work, resumed
from vprobe.types import Answers, Direction, Gate, Generation, Operation, Seen, Site, Steering, Tokens

from tests.test_faults import room, tree

HEAD = {"model": "a"}
VERBS = ("read", "choose", "choose_arms", "generate", "drift")


class Killed(BaseException):
    """What a process dies of here."""


class Counting:
    """A model that counts what it is asked, and dies when it is asked once too often."""

    def __init__(self, backend: Backend, last: float = math.inf) -> None:
        self.backend, self.asked, self.last = backend, 0, last

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.backend, name)
        if name not in VERBS:
            return found

        def call(*rows: Any, **how: Any) -> Any:
            if self.asked == self.last:
                raise Killed
            self.asked += 1
            return found(*rows, **how)

        return call


def counted(backend: Backend, last: float = math.inf) -> Any:
    """Return a model that dies when it is asked more than so often."""
    return Counting(backend, last)


@pytest.fixture(scope="module")
def backend() -> Backend:
    return backends.load(str(organism.load()), device="cpu")


def config(out: Path) -> RunConfig:
    return RunConfig(
        model=str(organism.load()), benchmark=("planted",), out=str(out), sites=("resid_post:1",), draws=2, limit=20,
        folds=3, values=("benevolence", "power"), method=("partial",), map=False, claim_draws=50, device="cpu",
        untrained=False, steer_method="partial", steer_value=("benevolence",), steer_versions=("v1",), steer_limit=2,
        null_draws=2, null_arms=("shuffled",), strengths=(-0.05, 0.05), batch_tokens=400, damage_limit=6,
    )  # fmt: skip


@pytest.fixture(scope="module")
def probed(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resumed") / "run"
    pipeline.extract(config(folder), backend=backend)
    pipeline.probe(folder, config(folder))
    return folder


STAGES: dict[str, Callable[..., Any]] = {
    "sweep": pipeline.steer_sweep, "matrix": pipeline.steer_matrix, "damage": pipeline.steer_damage,
    "positions": pipeline.positions,
}  # fmt: skip


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_that_dies_asks_only_the_rest_and_ends_with_the_bytes_of_one_that_did_not(
    name: str, probed: Path, backend: Backend, tmp_path: Path
) -> None:
    make, whole, run = STAGES[name], tmp_path / "whole", tmp_path / "run"
    for folder in (whole, run):
        shutil.copytree(probed, folder)
    unbroken = counted(backend)
    make(whole, config(whole), backend=unbroken)
    first, then = counted(backend, unbroken.asked // 2), counted(backend)
    with pytest.raises(Killed):
        make(run, config(run), backend=first)
    make(run, config(run), backend=then)
    assert first.asked + then.asked == unbroken.asked > 1
    assert tree(run) == tree(whole)


def test_answers_of_another_engine_or_placement_are_not_taken(backend: Backend, tmp_path: Path) -> None:
    def asked(**how: str) -> int:
        one = counted(backend)
        with pytest.raises(Killed), resumed(tmp_path, "some", one, replace(config(tmp_path), **how)) as kept:
            kept.drift([text()], steering=())
            raise Killed
        return one.asked

    assert [asked(), asked(), asked(backend="nnsight"), asked(backend="nnsight"), asked(device_map="auto")] == [
        1,
        0,
        1,
        0,
        1,
    ]


def test_stages_of_one_run_keep_their_answers_until_the_run_is_done(
    probed: Path, backend: Backend, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(probed, run)

    def made(one: Any) -> int:
        with resumed(run, "run", one, config(run)) as kept:
            pipeline.positions(run, config(run), backend=kept)
            pipeline.steer_matrix(run, config(run), backend=kept)
        return one.asked

    first = counted(backend, 4)  # two for positions
    with pytest.raises(Killed):
        made(first)
    assert (run / "run.partial.jsonl").exists() and not (run / "positions.partial.jsonl").exists()
    whole = tmp_path / "whole"
    shutil.copytree(probed, whole)
    total = counted(backend)
    for make in (pipeline.positions, pipeline.steer_matrix):
        make(whole, config(whole), backend=total)
    assert made(counted(backend)) == total.asked - 4 > 0
    assert tree(run) == tree(whole)


def test_all_late_stages_of_a_run_ask_one_resumed_model(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def stage(*given: Any, **how: Any) -> pipeline.Stage:
        asked.append(how.get("backend", next((one for one in given if isinstance(one, Backend)), None)))
        return pipeline.Stage("", tmp_path, ())

    for name in ("extract", "rate", "probe", "agree", "steer_sweep", "personas", "_ablated", "claims", "truth"):
        monkeypatch.setattr(pipeline, name, stage)
    monkeypatch.setattr(pipeline, "write_report", lambda folder: folder)
    monkeypatch.setattr(pipeline, "load_backend", lambda config: backend)
    pipeline.run(replace(config(tmp_path / "run"), personas=5, claim_draws=2000))
    assert asked[:2] == [backend, backend]
    assert isinstance(asked[4], Resumed) and asked[4:7] == [asked[4]] * 3


def test_what_is_told_apart_by_its_place_in_memory_alone_is_asked_every_time(backend: Backend, tmp_path: Path) -> None:
    plain = Steering(steering.load("add"), direction(), 1.0)
    gated = replace(plain, gate=Gate("mine", lambda x: x[..., :1] > 0))
    assert Questions().key(("drift", (), (plain,))) and not Questions().key(("drift", (), (gated,)))
    one = counted(backend)
    with at_work(tmp_path / "run", "some", one, config(tmp_path / "run")) as asked:
        for change, times in ((plain, 1), (gated, 3)):
            for _ in range(2):
                asked.drift([text()], steering=(change,))
            assert one.asked == times


@pytest.mark.parametrize("name", registry.names("vprobe.steering"))
def test_every_operation_and_gate_of_ours_can_be_known_again(name: str) -> None:
    apply = registry.load("vprobe.steering", name, kind="operation").apply
    gates = [None, steering.gate("cosine", direction=direction(), above=0.5)]
    for gate in gates:
        change = Steering(Operation(name, apply, (np.ones((1, 64)),)), direction(), 1.0, gate=gate)
        assert Questions().key(("drift", (), (change,)))
    dressed = functools.wraps(apply)(lambda *given: apply(*given))
    assert not Questions().key(("drift", (), (Steering(Operation(name, dressed), direction(), 1.0),)))


def direction(vector: np.ndarray | None = None) -> Direction:
    x = np.eye(1, 192, dtype=np.float32)[0] if vector is None else vector
    return Direction(x, Site(1), "benevolence", "mean-difference", "write")


def text(ids: tuple[int, ...] = (5, 6, 7)) -> Tokens:
    return Tokens("one", ids, len(ids), ())


def test_questions_that_differ_in_anything_have_keys_of_their_own() -> None:
    add = steering.load("add")
    x = np.eye(1, 192, dtype=np.float32)[0]
    near = x.copy()
    near[1] = np.nextafter(np.float32(0), np.float32(1))
    asked = [
        ("read", (text(),), (Site(1),), ("response_mean",), ()),
        ("read", (text(),), (Site(2),), ("response_mean",), ()),
        ("read", (text((5, 6)), text((7,))), (Site(1),), ("response_mean",), ()),
        ("read", (text((5,)), text((6, 7))), (Site(1),), ("response_mean",), ()),
        ("drift", (text(),), ()),
        ("drift", (text(),), (Steering(add, direction(), 1.0),)),
        ("drift", (text(),), (Steering(add, direction(near), 1.0),)),
        ("drift", (text(),), (Steering(add, direction(), math.nextafter(1.0, 2)),)),
        ("drift", (text(),), (Steering(add, direction(), 1.0, positions="response"),)),
        ("drift", (text(),), (Steering(steering.load("norm-preserving-add"), direction(), 1.0),)),
        ("drift", (text(),), ((Steering(add, direction(), 1.0),),)),
        ("choose", (Answers(text(), ((1,), (2, 3)), ("a", "b"), (1.0, 2.0)),), ()),
        ("choose", (Answers(text(), ((1, 2), (3,)), ("a", "b"), (1.0, 2.0)),), ()),
        ("choose_arms", (Answers(text(), ((1, 2), (3,)), ("a", "b"), (1.0, 2.0)),), ()),
        ("generate", (text(),), {"max_new_tokens": 5}),
        ("generate", (text(),), {"max_new_tokens": 5, "stop": ("ab", "c")}),
        ("generate", (text(),), {"max_new_tokens": 5, "stop": ("a", "bc")}),
        ("generate", (text(),), {"max_new_tokens": 5, "temperature": 1.0, "seed": 1}),
        ("generate", (text(),), {"max_new_tokens": 5, "temperature": 1.0, "seed": 2}),
    ]
    keys = [Questions().key(one) for one in asked]
    assert all(keys) and len(set(keys)) == len(keys)
    assert Questions().key(asked[5]) == Questions().key(("drift", [text()], [Steering(add, direction(x.copy()), 1.0)]))


def test_texts_and_vectors_are_looked_at_once_however_often_they_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tuple(Answers(text((n, 2)), ((1,), (2, 3)), ("a", "b"), (1.0, 2.0)) for n in range(50))
    vector = replace(direction(), seen=Seen(frozenset(map(str, range(500)))))
    add, questions, looked = steering.load("add"), Questions(), []
    asked = [("choose_arms", rows, ((Steering(add, vector, size),),)) for size in (1.0, 2.0)]
    expected = [Questions().key(one) for one in asked]
    real = _asked._hash
    monkeypatch.setattr(_asked, "_hash", lambda *parts: (looked.append(1), real(*parts))[1])
    first, n = questions.key(asked[0]), len(looked)
    assert [first, questions.key(asked[1])] == expected
    assert n > 10 * (len(looked) - n) > 0
    monkeypatch.setattr(_asked, "_HELD", 3)
    assert [Questions().key(one) for one in asked] == expected


def test_answers_come_back_to_the_last_bit(tmp_path: Path) -> None:
    answers = [
        ((-1.1, -math.inf), (0.1 + 0.2,)),
        np.array([[1e-45, np.nan], [-0.0, 3]], dtype=np.float32),
        (Generation("one", (1, 2), "é\n", True), Generation("two", (), "", False)),
        (),
    ]
    with pytest.raises(Killed), store.CallLog(tmp_path / "run", "some", HEAD) as log:
        for i, one in enumerate(answers):
            log.put(str(i), packed(one))
        raise Killed
    with store.CallLog(tmp_path / "run", "some", HEAD) as log:
        back = [unpacked(log.get(str(i))) for i in range(len(answers))]
        assert log.get("another") is None
    np.testing.assert_array_equal(back[1].view(np.int32), answers[1].view(np.int32))
    assert back[1].dtype == np.float32 and back[::2] == answers[::2] and back[3] == ()
    assert not (tmp_path / "run" / "some.partial.jsonl").exists()


def left(folder: Path, answers: int = 3) -> Path:
    """Leave a log as a process that was killed does."""
    with pytest.raises(Killed), store.CallLog(folder, "some", HEAD) as log:
        for i in range(answers):
            log.put(str(i), [float(i)])
        raise Killed
    return folder / "some.partial.jsonl"


def test_a_torn_line_is_written_over_and_a_damaged_one_passed_over(tmp_path: Path) -> None:
    path = left(tmp_path / "run")
    good = path.read_bytes()
    lines = good.splitlines(keepends=True)
    path.write_bytes(good.replace(b"[1.0]", b"[9.0]") + lines[1][:-3])
    with pytest.raises(Killed), store.CallLog(path.parent, "some", HEAD) as log:
        assert [log.get(str(i)) for i in range(3)] == [[0.0], None, [2.0]]
        log.put("3", [3.0])
        raise Killed
    with store.CallLog(path.parent, "some", HEAD) as log:
        assert [log.get(str(i)) for i in range(4)] == [[0.0], None, [2.0], [3.0]]


def test_answers_of_another_model_or_version_are_not_taken_and_go_with_the_first_new_one(tmp_path: Path) -> None:
    path = left(tmp_path / "run", 400)
    with pytest.raises(Killed), store.CallLog(path.parent, "some", {"model": "b"}) as other:
        assert other.get("0") is None
        other.put("0", [7.0])
        raise Killed
    assert len(path.read_bytes().splitlines()) == 2
    with pytest.raises(Killed), store.CallLog(path.parent, "some", HEAD) as log:
        assert log.get("1") is None
        raise Killed
    with store.CallLog(path.parent, "some", {"model": "b"}) as other:
        assert other.get("0") == [7.0]


def test_one_process_at_a_time_keeps_answers_and_one_that_has_ended_keeps_none(tmp_path: Path) -> None:
    path = left(tmp_path / "run")
    with store.CallLog(path.parent, "some", HEAD) as first:
        with pytest.raises(StoreError, match="another process keeps answers"):
            store.CallLog(path.parent, "some", HEAD)
        first.put("3", [3.0])
        assert [first.get(str(i)) for i in range(4)] == [[0.0], [1.0], [2.0], [3.0]]
    first.put("4", [4.0])
    assert first.get("0") is None and not path.exists()
    with store.CallLog(path.parent, "new", HEAD) as first, store.CallLog(path.parent, "new", HEAD) as second:
        first.put("0", [0.0])
        with pytest.raises(StoreError, match="another process keeps answers"):
            second.put("0", [9.0])
        assert first.get("0") == [0.0]


def test_a_full_disk_ends_the_stage_and_keeps_what_was_answered(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(StoreError, match="the disk is full"), store.CallLog(folder, "some", HEAD) as log, room(400):
        for i in range(100):
            log.put(str(i), [float(i)])
    with pytest.raises(Killed), store.CallLog(folder, "some", HEAD) as again:
        kept = [i for i in range(100) if again.get(str(i)) is not None]
        assert 3 < len(kept) < 50 and kept == list(range(len(kept)))
        again.put("next", [1.0])
        raise Killed
    with store.CallLog(folder, "some", HEAD) as again:
        assert again.get("next") == [1.0] and again.get("0") == [0.0]


def test_nothing_is_begun_before_the_first_answer_and_what_is_no_run_is_not_written_to(tmp_path: Path) -> None:
    with pytest.raises(Killed), store.CallLog(tmp_path / "run", "some", HEAD):
        raise Killed
    assert not (tmp_path / "run").exists()
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(StoreError, match="not a run folder"):
        store.CallLog(tmp_path, "some", HEAD)


def test_a_resumed_model_is_a_backend_like_any_other(backend: Backend, tmp_path: Path) -> None:
    log = store.CallLog(tmp_path / "run", "some", HEAD)
    one: Any = Resumed(backend, log)
    assert isinstance(one, Backend) and isinstance(copy.copy(one), Resumed)
    assert {f.name for f in dataclasses.fields(one.info)} and one.halved == backend.halved
    with at_work(tmp_path / "run", "other", one, config(tmp_path / "run")) as inner:
        assert inner is one
