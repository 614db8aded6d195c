"""Reads a YAML file into a struct of options, strictly.

An unknown option, an option given twice and a value of the wrong type are errors.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml
from msgspec import Struct

from wirecheck.catalogue.former_ids import FormerNameWarning

Options = TypeVar("Options", bound=Struct)
Parts = Mapping[str, type[Struct]]
"""The structs that options hold: one, or a list of them. Their options are checked too."""
FormerOptions = Mapping[type[Struct], Mapping[str, str]]
"""For each struct, the current name of each option that was renamed."""
NO_FORMER_OPTIONS: FormerOptions = {}


class UnusableFileError(Exception):
    """The file cannot be used. The message names the file, the line or option, and the cause."""


class FormerOptionWarning(FormerNameWarning):
    """A file uses the former name of an option; the message gives the current one."""


class _Loader(yaml.SafeLoader):
    """YAML without dates: the `until` of a waiver stays text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own name for its own table
        first: [pair for pair in resolvers if pair[0] != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read_strictly(
    path: Path, options: type[Options], parts: Parts, former: FormerOptions = NO_FORMER_OPTIONS
) -> Options:
    """Read the file at `path` as `options`.

    Issues one FormerOptionWarning for each option that is given by its former name. Raises
    UnusableFileError if the file cannot be read or does not fit the struct.
    """
    tree = _compose(path)
    _Check(path, parts, former).options(tree, options, "the file")
    try:
        return msgspec.convert(_construct(path, tree), options)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        place = where.strip("`").removeprefix("$").lstrip(".") or "the file"
        raise UnusableFileError(f"{path}: {place} cannot be used: {_in_words(what)}.") from None


def _compose(path: Path) -> yaml.MappingNode:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UnusableFileError(f"{path} cannot be read: {why}.") from None
    try:
        tree = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UnusableFileError(
            f"{path}, line {line}: this is not YAML: {error.problem or error.context}."
        ) from None
    except yaml.YAMLError as error:
        raise UnusableFileError(f"{path} is not YAML: {' '.join(str(error).split())}.") from None
    if tree is None:
        raise UnusableFileError(f"{path} is empty. Add options, such as `nodes:`.")
    if not isinstance(tree, yaml.MappingNode):
        raise UnusableFileError(f"{path} must be a mapping of options, such as `nodes:`.")
    return tree


def _construct(path: Path, tree: yaml.MappingNode) -> Any:
    loader = _Loader("")
    try:
        return loader.construct_document(tree)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UnusableFileError(f"{path}, line {line}: {error.problem}.") from None
    finally:
        loader.dispose()


@dataclass(frozen=True, slots=True)
class _Check:
    """Checks the names of options of one file, and replaces former names by current ones."""

    path: Path
    parts: Parts
    former: FormerOptions
    warned: set[str] = field(default_factory=set)

    def options(self, tree: yaml.Node, struct: type[Struct], place: str) -> None:
        """Raise UnusableFileError for an option that `struct` lacks or that is given twice."""
        if not isinstance(tree, yaml.MappingNode):
            return
        seen: set[str] = set()
        for key, value in tree.value:
            if key.value == "<<":
                self.options(value, struct, place)
                continue
            option = self._current(key, struct)
            self._refuse_unknown(key, option, struct, place)
            if option in seen:
                raise UnusableFileError(
                    f"{self.path}, line {_line(key)}: {place} has `{option}` twice; keep one."
                )
            seen.add(option)
            if option in self.parts:
                self._part(option, value)

    def _part(self, option: str, value: yaml.Node) -> None:
        if isinstance(value, yaml.SequenceNode):
            for member in value.value:
                self.options(member, self.parts[option], f"an entry of `{option}`")
        else:
            self.options(value, self.parts[option], f"`{option}`")

    def _current(self, key: yaml.Node, struct: type[Struct]) -> str:
        """The current name of the option, which also replaces a former name in the tree."""
        option = str(key.value)
        current = self.former.get(struct, {}).get(option, option)
        if current != option:
            key.value = current
            if option not in self.warned:
                self.warned.add(option)
                warnings.warn(
                    f"{self.path}, line {_line(key)}: the option `{option}` is now called "
                    f"`{current}`; rename it in the file.",
                    FormerOptionWarning,
                    stacklevel=2,
                )
        return current

    def _refuse_unknown(
        self, key: yaml.Node, option: str, struct: type[Struct], place: str
    ) -> None:
        known = struct.__struct_fields__
        if option not in known:
            near = difflib.get_close_matches(option, known, n=1)
            hint = f"did you mean `{near[0]}`? It" if near else "it"
            raise UnusableFileError(
                f"{self.path}, line {_line(key)}: {place} has no option `{option}`; "
                f"{hint} can have {', '.join(known)}."
            )


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


_WORDS = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "null": "nothing",
    "object": "options",
    "str": "a text",
}


def _in_words(what: str) -> str:
    """The decoder's message, with words from YAML instead of names of Python types."""
    what = re.sub(r"`(\w+)`", lambda match: _WORDS.get(match[1], match[0]), what)
    what = what.removeprefix("Object ")
    return what[:1].lower() + what[1:]
