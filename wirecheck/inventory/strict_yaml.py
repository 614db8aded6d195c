"""A YAML file read into a record, strictly: no unknown option, no option twice, no odd type."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml
from msgspec import Struct

Record = TypeVar("Record", bound=Struct)
Parts = Mapping[str, type[Struct]]
"""The records that options hold: one, or a list of them. Their options are checked too."""


class UnusableFileError(Exception):
    """The file cannot be used: one sentence with the file, the line or place, and why."""


class _Loader(yaml.SafeLoader):
    """YAML without its dates: a waiver's `until` stays the text that was written."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own name for its own table
        first: [pair for pair in resolvers if pair[0] != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read_strictly(path: Path, record: type[Record], parts: Parts) -> Record:
    """The content of the file at `path`; UnusableFileError where it is not what `record` says."""
    tree = _compose(path)
    _refuse_unknown(path, tree, record, parts, "the file")
    try:
        return msgspec.convert(_construct(path, tree), record)
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
        raise UnusableFileError(f"{path} is empty; it should hold options such as `nodes:`.")
    if not isinstance(tree, yaml.MappingNode):
        raise UnusableFileError(f"{path} must hold options such as `nodes:`, not a list or a text.")
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


def _refuse_unknown(
    path: Path, tree: yaml.Node, record: type[Struct], parts: Parts, place: str
) -> None:
    """Raise UnusableFileError for an option that `record` does not have, or that is given twice."""
    if not isinstance(tree, yaml.MappingNode):
        return
    known = record.__struct_fields__
    seen: set[str] = set()
    for key, value in tree.value:
        option, line = str(key.value), key.start_mark.line + 1
        if option == "<<":
            _refuse_unknown(path, value, record, parts, place)
        elif option not in known:
            near = difflib.get_close_matches(option, known, n=1)
            hint = f"did you mean `{near[0]}`? It" if near else "it"
            raise UnusableFileError(
                f"{path}, line {line}: {place} has no option `{option}`; "
                f"{hint} can have {', '.join(known)}."
            )
        elif option in seen:
            raise UnusableFileError(f"{path}, line {line}: {place} has `{option}` twice; keep one.")
        seen.add(option)
        if isinstance(value, yaml.SequenceNode) and option in parts:
            for member in value.value:
                _refuse_unknown(path, member, parts[option], parts, f"an entry of `{option}`")
        elif option in parts:
            _refuse_unknown(path, value, parts[option], parts, f"`{option}`")


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
    """What the decoder says, with the file's words in place of the decoder's types."""
    what = re.sub(r"`(\w+)`", lambda match: _WORDS.get(match[1], match[0]), what)
    what = what.removeprefix("Object ")
    return what[:1].lower() + what[1:]
