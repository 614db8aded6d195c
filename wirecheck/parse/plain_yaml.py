"""YAML from nodes and ConfigMaps: no aliases, no objects, of bounded depth and size.

An alias multiplies what it refers to: ten lines can stand for a billion values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.events import AliasEvent
from yaml.nodes import MappingNode, Node, ScalarNode

from wirecheck.parse.errors import ParseError

DEEPEST = 20
MOST_CHARACTERS = 1 << 20
"""As much as a ConfigMap may have."""

LONGEST_NUMBER = 100
"""Characters. In YAML 1.1 `1:1:1` is a number of base 60, read in quadratic time."""

_ODD_VALUES = (ValueError, OverflowError, TypeError, AttributeError, KeyError, IndexError)
"""What PyYAML raises for values that are not of their tag, and for keys that cannot be hashed."""


class _Loader(yaml.SafeLoader):
    """Refuses aliases when they are read, and nesting before the interpreter's stack ends."""

    depth = 0

    def construct_yaml_int(self, node: ScalarNode) -> Any:
        _refuse_long(node)
        return super().construct_yaml_int(node)

    def construct_yaml_float(self, node: ScalarNode) -> Any:
        _refuse_long(node)
        return super().construct_yaml_float(node)

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        if self.check_event(AliasEvent):
            raise ComposerError(None, None, "aliases are not supported")
        self.depth += 1
        if self.depth > DEEPEST:
            raise ComposerError(None, None, f"it has more than {DEEPEST} levels")
        node: Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _refuse_long(node: ScalarNode) -> None:
    if len(node.value) > LONGEST_NUMBER:
        raise ConstructorError(None, None, "a number is too long")


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)


class _ManifestLoader(_Loader):
    """Refuses a key that a mapping has twice, as the API server does."""

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> Any:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            name = (key.tag, str(key.value))
            if name in seen:
                what = f"the key {str(key.value)[:60]!r} is there twice"
                raise ConstructorError(None, None, what, key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


Value = TypeVar("Value")


def parse_yaml(text: str, most: int = MOST_CHARACTERS) -> Any:
    """The value of a YAML document; None if it is empty.

    Raises ParseError for any other text, and for one of more than `most` characters.
    """
    return _parsed(text, most, lambda: yaml.load(text, Loader=_Loader))


def parse_manifests(text: str, most: int = MOST_CHARACTERS) -> list[Any]:
    """The values of the YAML documents in the text, without empty ones. Raises ParseError."""
    found = _parsed(text, most, lambda: list(yaml.load_all(text, Loader=_ManifestLoader)))
    return [each for each in found if each is not None]


def _parsed(text: str, most: int, read: Callable[[], Value]) -> Value:
    if len(text) > most:
        raise ParseError(f"not read: it has {len(text):,} characters, more than {most:,}")
    try:
        return read()
    except yaml.MarkedYAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        what = str(error.problem or error.context)[:200]
        raise ParseError(f"not valid YAML{where}: {what}") from error
    except (yaml.YAMLError, *_ODD_VALUES) as error:
        raise ParseError(f"not valid YAML: {str(error)[:200]}") from error
