"""All commands of the command line, as the tests walk them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import typer
from vprobe.cli import app, lazy


def lines(group: typer.Typer = app, name: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield (name, its line in the list, function or group) of every command, those of groups inside it too."""
    for word, (where, line) in vars(group.info.cls)["table"].items():
        found, path = lazy.find(where), f"{name} {word}".strip()
        yield path, line, found
        if isinstance(found, typer.Typer):
            yield from lines(found, path)


def functions() -> dict[str, Callable[..., Any]]:
    """Return every command's function by its name; of a group, what it does itself, if anything."""
    found = {}
    for name, _, one in lines():
        own = one.registered_callback.callback if isinstance(one, typer.Typer) and one.registered_callback else one
        if not isinstance(own, typer.Typer):
            found[name] = own
    return found
