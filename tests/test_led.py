"""Rank 0 leads and the others follow: what is told, what is run, and how it ends; without any other process."""

from __future__ import annotations

import inspect
import pickle
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from vprobe.backends import Backend, _led
from vprobe.backends._engine import Engine
from vprobe.errors import InputError, ModelError
from vprobe.types import Operation


def noting(log: list[Any]) -> Engine:
    """Return an engine that notes what it is asked."""

    def note(verb: str, *args: Any, **given: Any) -> str:
        log.append(("run", verb, args, given))
        if args[:1] == ("wrong",):
            raise InputError("no such text", where="here")
        if args[:1] == ("broken",):
            raise RuntimeError("broken")
        return f"{verb} done"

    made = Engine.__new__(Engine)
    parts = {"info": "info", "tokenizer": "words", "points": ("resid_post",), "device": "cpu", "size": 7}
    made.__dict__.update(parts, unshared="no", **{verb: partial(note, verb) for verb in _led.VERBS})
    return made


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What rank 0 tells, and what is run, in order."""
    found: list[Any] = []

    def told(data: bytes) -> bytes:
        found.append(("told", *pickle.loads(data)))
        return data

    monkeypatch.setattr(_led, "_told", told)
    monkeypatch.setattr(_led.atexit, "register", lambda end: found.append(("at the end", end.__name__)))
    monkeypatch.setattr(_led.dist, "get_rank", lambda: 0)
    return found


def leader(log: list[Any]) -> Any:
    made = _led.join(noting(log))
    assert log == [("at the end", "_end")]
    log.clear()
    return made


def test_every_verb_that_runs_the_model_is_led() -> None:
    verbs = {name for name, one in vars(Backend).items() if inspect.isfunction(one) and not name.startswith("_")}
    assert verbs == set(_led.VERBS)


@pytest.mark.parametrize("verb", _led.VERBS)
def test_a_verb_is_told_first_and_then_run_as_it_was_asked(log: list[Any], verb: str) -> None:
    made, listener = leader(log), object()
    assert getattr(made, verb)([1, 2], "x", steering=(3,), tell=listener) == f"{verb} done"
    assert log == [
        ("told", verb, ([1, 2], "x"), {"steering": (3,)}),
        ("run", verb, ([1, 2], "x"), {"steering": (3,), "tell": listener}),
    ]


def test_all_else_is_the_engines_own_and_told_to_nobody(log: list[Any]) -> None:
    made = leader(log)
    assert (made.info, made.tokenizer, made.points, made.device, made.size) == (
        "info", "words", ("resid_post",), "cpu", 7,
    )  # fmt: skip
    assert made.unshared == "no" and log == []
    with pytest.raises(AttributeError):
        _ = made.nothing


def test_a_change_that_cannot_be_sent_is_refused_before_anybody_runs(log: list[Any]) -> None:
    made = leader(log)
    for own in (Operation("mine", lambda x, v, c: x), SimpleNamespace(made=(one for one in "ab"))):
        with pytest.raises(ModelError, match="cannot be sent to the other ranks"):
            made.choose([1], steering=(own,))
    assert log == []


def follower(log: list[Any], monkeypatch: pytest.MonkeyPatch, calls: list[Any]) -> BaseException:
    waiting = [pickle.dumps(call) for call in calls]
    monkeypatch.setattr(_led.dist, "get_rank", lambda: 1)
    monkeypatch.setattr(_led, "_told", lambda data: waiting.pop(0))
    monkeypatch.setattr(_led.dist, "destroy_process_group", lambda: log.append("group left"))
    with pytest.raises((SystemExit, RuntimeError)) as ended:
        _led.join(noting(log))
    assert not waiting
    return ended.value


def test_another_rank_runs_what_it_is_told_until_it_is_let_go(log: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [("read", ("a",), {"k": 1}), ("choose", ("wrong",), {}), ("drift", ("b",), {}), ("", (), {})]
    ended = follower(log, monkeypatch, calls)
    assert isinstance(ended, SystemExit) and ended.code == 0
    assert log == [
        ("run", "read", ("a",), {"k": 1}), ("run", "choose", ("wrong",), {}), ("run", "drift", ("b",), {}),
        "group left",
    ]  # fmt: skip


def test_an_error_that_rank_0_would_not_meet_ends_the_rank(log: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    ended = follower(log, monkeypatch, [("read", ("broken",), {})])
    assert isinstance(ended, RuntimeError) and "group left" not in log


@pytest.mark.parametrize("begun", [True, False])
def test_the_others_are_let_go_once_at_the_end(log: list[Any], monkeypatch: pytest.MonkeyPatch, begun: bool) -> None:
    made = leader(log)
    monkeypatch.setattr(_led.dist, "is_initialized", lambda: begun)
    monkeypatch.setattr(_led.dist, "destroy_process_group", lambda: log.append("group left"))
    made._end()
    assert log == ([("told", "", (), {}), "group left"] if begun else [])
