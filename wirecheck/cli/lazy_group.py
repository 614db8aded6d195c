"""Commands that are imported when they are called, so that `--help` and completion are quick."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import click
from click.shell_completion import CompletionItem


@dataclass(frozen=True, slots=True)
class Lazy:
    """Where a command is defined, and the sentence that lists of commands show."""

    module: str
    name: str
    sentence: str
    """The first sentence of its help, which a test compares."""


class LazyCommands(MutableMapping[str, click.Command]):
    """The commands of a group by name. Each is imported when it is taken out."""

    def __init__(self, table: Mapping[str, Lazy]) -> None:
        self.table = dict(table)
        self._added: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name in self._added:
            return self._added[name]
        place = self.table[name]
        command: click.Command = getattr(importlib.import_module(place.module), place.name)
        return command

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._added[name] = command

    def __delitem__(self, name: str) -> None:
        del (self._added if name in self._added else self.table)[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self.table, **self._added})

    def __len__(self) -> int:
        return len({**self.table, **self._added})


class LazyGroup(click.Group):
    """A group that lists its commands without importing them."""

    def __init__(self, *, table: Mapping[str, Lazy], **attributes: Any) -> None:
        super().__init__(commands=LazyCommands(table), **attributes)
        self._table = table

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List every command with its sentence, cut to the width."""
        names = self.list_commands(ctx)
        room = formatter.width - 6 - max(map(len, names), default=0)
        sentences = {name: click.Command(name, help=self._table[name].sentence) for name in names}
        rows = [(name, sentences[name].get_short_help_str(room)) for name in names]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names of commands, then options."""
        commands = [
            CompletionItem(name, help=self._table[name].sentence)
            for name in self.list_commands(ctx)
            if name.startswith(incomplete)
        ]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]
