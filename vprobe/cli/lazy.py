"""Groups of commands that are imported when one of them is asked for, so that their list is printed at once."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer import core, main

Table = Mapping[str, tuple[str, str]]
"""Command by name: "module:function" under `vprobe.cli`, and its line in the list of commands (at most 60 letters)."""


def group(help: str, commands: Table, *, needs_command: bool = False) -> typer.Typer:
    """Return a group of commands.

    Args:
        help: What its commands are for.
        commands: Where each is; it may be a group too.
        needs_command: Called without a command, it prints its help instead of running its callback.
    """

    class Group(_Group):
        table = commands

    return typer.Typer(
        cls=Group, help=help, invoke_without_command=not needs_command, no_args_is_help=needs_command,
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    )  # fmt: skip


def find(where: str) -> Any:
    """Import what a "module:function" of a table names: a function, or the `typer.Typer` of a group."""
    module, _, name = where.partition(":")
    return getattr(import_module(f"vprobe.cli.{module}"), name)


class _Later(core.TyperCommand):
    """A command known by its name and line until it is asked for."""

    def __init__(self, name: str, where: str, line: str) -> None:
        super().__init__(name=name, short_help=line)
        self.where = where

    def load(self) -> Any:
        found = find(self.where)
        if isinstance(found, typer.Typer):
            return main.get_group(found)
        only = typer.Typer(add_completion=False, rich_markup_mode=None)
        only.command(self.name)(found)
        return main.get_command(only)


class _Group(core.TyperGroup):
    table: ClassVar[Table]

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = {name: _Later(name, where, line) for name, (where, line) in self.table.items()}

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, _Later) else command, rest
