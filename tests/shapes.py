"""Types and shapes checked at run time, at little cost: what `jaxtyping.jaxtyped` does, made when first called."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any

import beartype
import jaxtyping

_context = jaxtyping.jaxtyped


def checked(fn: Any = None, *, typechecker: Any = None) -> Any:
    """Decorate a function, or the `__init__` of a dataclass, so that every call is checked.

    A size that a name has in one argument it has in all and in the result, as with `jaxtyping.jaxtyped`. That decorator
    makes two checkers of each function while modules are imported, and binds the arguments of each call twice; here a
    function gets one when it is first called, and only one whose annotations hold a shape opens a scope of sizes.

    Args:
        fn: What is decorated; None where the hook, as it does, asks for a decorator first.
        typechecker: What the hook asks for: beartype.
    """
    if fn is None:
        return checked
    if inspect.isclass(fn):
        if dataclasses.is_dataclass(fn) and "__init__" in vars(fn):
            fn.__init__ = checked(fn.__init__)
        return fn
    if isinstance(fn, (classmethod, staticmethod)):
        return type(fn)(checked(fn.__func__))
    if isinstance(fn, property):
        return property(*(one and checked(one) for one in (fn.fget, fn.fset, fn.fdel)))
    made: list[Callable[..., Any]] = []

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if not made:
            made.append(_checker(fn))
        return made[0](*args, **kwargs)

    return call


def _checker(fn: Callable[..., Any]) -> Callable[..., Any]:
    hints = {name: _hint(one, fn) for name, one in inspect.get_annotations(fn).items()}
    fn.__annotations__ = hints
    strict = beartype.beartype(fn)
    if not any(map(_has_shape, hints.values())):
        return strict

    def scoped(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        with _context("context"):
            return strict(*args, **kwargs)

    return scoped


def _hint(one: Any, fn: Callable[..., Any]) -> Any:
    """Return an annotation itself where it stands as text; Any where a name in it is known to type checkers only."""
    holder = type("holder", (), {"__annotations__": {"one": one}})
    try:
        return typing.get_type_hints(holder, fn.__globals__, include_extras=True)["one"]
    except Exception:
        return Any


def _has_shape(hint: Any) -> bool:
    if inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(map(_has_shape, (*typing.get_args(hint), getattr(hint, "__value__", None)) if hint else ()))
