"""Every regular expression of the code that meets what nodes, pods and the API send."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import wirecheck
from wirecheck.collect.transport.failures import Failure

PACKAGES = (
    "wirecheck.parse",
    "wirecheck.collect.on_node",
    "wirecheck.collect.transport",
    "wirecheck.collect.document_frame",
    "wirecheck.snapshot.values",
    "wirecheck.snapshot.folder",
    "wirecheck.snapshot.objects",
    "wirecheck.dataplane",
    "wirecheck.node",
    "wirecheck.api_index",
)
MATCHED = {
    "wirecheck.parse.kernel_log": {"_COMPILED"},
    "wirecheck.parse.iptables": {"OPENING", "FOOT"},
}
"""Patterns that other code matches at a place of a text only."""


@dataclass(frozen=True)
class Found:
    """A pattern, where it stands, and whether a text is searched for it."""

    module: str
    name: str
    pattern: re.Pattern[Any]
    searches: bool


def modules() -> list[str]:
    """The modules of these packages that have patterns."""
    names = [each.name for each in pkgutil.walk_packages(wirecheck.__path__, "wirecheck.")]
    return [
        name
        for name in names
        if any(name == each or name.startswith(f"{each}.") for each in PACKAGES)
        and any(patterns(name))
    ]


def patterns(name: str) -> Iterator[Found]:
    """The patterns that a module compiles when it is imported."""
    module = importlib.import_module(name)
    assert module.__file__
    tree = ast.parse(Path(module.__file__).read_text())
    used = _methods(tree)
    for variable in _assigned(tree):
        kept = variable in MATCHED.get(name, ())
        methods = used.get(variable, {"search"})
        for pattern in _in(getattr(module, variable, None)):
            yield Found(name, variable, pattern, not kept and not methods <= {"match", "fullmatch"})


def _assigned(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else ()
        yield from (each.id for each in targets if isinstance(each, ast.Name))
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def _methods(tree: ast.Module) -> dict[str, set[str]]:
    """Which methods of each name are used in the module."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.setdefault(node.value.id, set()).add(node.attr)
    return {name: kinds - {"pattern", "flags"} or {"search"} for name, kinds in found.items()}


def _in(value: Any) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, Failure):
        yield from _in(value.patterns)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _in(each)
    elif isinstance(value, tuple | list) and not isinstance(value, ModuleType):
        for each in value:
            yield from _in(each)
