"""YAML from nodes and ConfigMaps: no aliases, no objects, of bounded depth and size.

An alias multiplies what it refers to: ten lines can stand for a billion values.
"""

from __future__ import annotations

from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.events import AliasEvent
from yaml.nodes import Node, ScalarNode

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


def parse_yaml(text: str, most: int = MOST_CHARACTERS) -> Any:
    """The value of a YAML document; None if it is empty.

    Raises ParseError for any other text, and for one of more than `most` characters.
    """
    if len(text) > most:
        raise ParseError(f"not read: it has {len(text):,} characters, more than {most:,}")
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        what = str(error.problem or error.context)[:200]
        raise ParseError(f"not valid YAML{where}: {what}") from error
    except (yaml.YAMLError, *_ODD_VALUES) as error:
        raise ParseError(f"not valid YAML: {str(error)[:200]}") from error
