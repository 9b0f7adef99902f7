"""Changes as plain numbers and plain functions, to be made by a process that has no vprobe."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any

from vprobe.backends._changes import Changer, Group
from vprobe.backends._made import Load, Move
from vprobe.backends._rows import Rows
from vprobe.errors import ModelError
from vprobe.types import Site

_OWN = "vprobe."


def packed(changer: Changer, place: Site, rows: Rows) -> Load:
    """Return what is to be done at a place in a forward of these rows.

    Args:
        changer: The changes.
        place: Where.
        rows: What the tokens are; the whole texts, for nothing is known of earlier forwards.

    Raises:
        ModelError: Code that is not vprobe's own.
    """
    return [
        (mix.conflict, [[_move(changer, group, rows) for group in step] for step in mix.steps])
        for mix in changer.mixes.get(place, ())
    ]


def _move(changer: Changer, group: Group, rows: Rows) -> Move:
    bench, kind = changer.bench(group, rows.real.device), group.kind
    members, which = bench.members(rows.owner)
    rows = rows if members is None else rows.of(members)
    given, asked = bench.given(which)
    gate = kind.gate
    once, early = kind.each == "prompt", gate is not None and gate.each == "prompt"
    if (once or early) and not bool(rows.last.any(dim=1).all()):
        raise ModelError("a forward without the end of a prompt", where=str(kind.at), do="report this")
    return Move(
        rows=members, acts=changer.acting(group, rows), last=rows.last.int().argmax(dim=1), once=once, early=early,
        apply=plain(kind.operation.apply, f"operation {kind.operation.name}"), given=given,
        opens=None if gate is None else plain(gate.opens, f"gate {gate.name}"), asked=asked,
    )  # fmt: skip


def plain(function: Callable[..., Any], what: str) -> Any:
    """Return a function of vprobe's as it stands in its file, along with those it calls, tied to no module.

    Such a function travels by its source; one of another module would be looked for where it arrives.

    Args:
        function: A function of a module.
        what: For errors.

    Raises:
        ModelError: Code of someone else, which may use or remember what is only here.
    """
    function = inspect.unwrap(function)
    if not isinstance(function, types.FunctionType) or not _travels(function):
        raise ModelError(
            f"{what} is code of your own, which cannot be sent", where="--remote",
            expected="operations and gates of vprobe", do="run the model here",
        )  # fmt: skip
    return _copied(function, {})


def _travels(function: types.FunctionType) -> bool:
    return str(function.__module__).startswith(_OWN) and not function.__closure__ and "<" not in function.__qualname__


def _copied(function: types.FunctionType, done: dict[Any, Any]) -> Any:
    """Copy a function with copies of what it calls in place of the module's own."""
    if function not in done:
        names = {"__builtins__": function.__globals__["__builtins__"]}
        done[function] = copy = types.FunctionType(function.__code__, names, function.__name__, function.__defaults__)
        copy.__kwdefaults__, copy.__module__ = function.__kwdefaults__, function.__module__
        for name in _names(function.__code__) & set(function.__globals__):
            one = inspect.unwrap(function.__globals__[name]) if callable(function.__globals__[name]) else None
            own = isinstance(one, types.FunctionType) and _travels(one)
            names[name] = _copied(one, done) if own else function.__globals__[name]  # type: ignore[arg-type]
    return done[function]


def _names(code: types.CodeType) -> set[str]:
    """Return the names a function's code looks up, comprehensions inside it too."""
    return set(code.co_names).union(*(_names(one) for one in code.co_consts if isinstance(one, types.CodeType)))
