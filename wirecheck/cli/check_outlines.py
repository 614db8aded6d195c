"""Ids and sentences of the checks, read from their source: for lists and completion.

Importing the checks imports the whole model, which takes a second. A file of the catalogue has
everything that a list shows in plain sight: the decorator, the parameter and the docstring.
"""

from __future__ import annotations

import ast
import importlib.metadata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wirecheck.catalogue.former_ids import matches
from wirecheck.catalogue.profiles import PROFILES
from wirecheck.catalogue.registry import ENTRY_POINTS, Scope, catalogue_files, group_of, load


@dataclass(frozen=True, slots=True)
class Outline:
    """What a list shows of a check."""

    id: str
    sentence: str
    scope: Scope

    @property
    def group(self) -> str:
        """Return the group, which is the name of the file or folder in `checks/`."""
        return self.id.partition(".")[0]


def outlines() -> tuple[Outline, ...]:
    """Return the outline of every check, in the order of `registry.load`.

    Checks of other packages are imported, because their files may be written in any way. Raises
    CatalogueError if that fails.
    """
    if importlib.metadata.entry_points(group=ENTRY_POINTS):
        return tuple(Outline(c.id, c.sentence, c.scope) for c in load())
    return tuple(outline for file in catalogue_files() for outline in _in_file(file))


def in_profile(known: Sequence[Outline], profile: str | None) -> list[Outline]:
    """Return the checks of the profile; all without one."""
    return [each for each in known if profile is None or PROFILES[profile].has(each.id)]


def which_match(known: Sequence[Outline], words: Sequence[str]) -> list[Outline]:
    """Return the checks that match one of the words: a glob, a group, or a part of the text."""
    return [each for each in known if any(_matches(each, word) for word in words)]


def _matches(each: Outline, word: str) -> bool:
    text = f"{each.id} {each.sentence}".casefold()
    return matches(each.id, word) or each.group == word or word.casefold() in text


def _in_file(file: Path) -> Iterator[Outline]:
    for function in ast.parse(file.read_bytes()).body:
        if not isinstance(function, ast.FunctionDef):
            continue
        decorators = (each for each in function.decorator_list if isinstance(each, ast.Call))
        for call in decorators:
            if isinstance(call.func, ast.Name) and call.func.id == "check":
                first = (ast.get_docstring(function) or "").partition("\n\n")[0]
                yield Outline(
                    id=f"{group_of(file)}.{function.name}",
                    sentence=" ".join(first.split()),
                    scope="cluster" if function.args.args[0].arg == "cluster" else "node",
                )
