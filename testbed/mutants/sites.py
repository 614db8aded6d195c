"""Where source code can be mutated, and how: cosmic-ray's operators, less what means nothing.

A site is one place and one family of operators. `+` can be replaced in eleven ways and `not` in
one; drawing sites first keeps arithmetic from being most of what is drawn.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache

import msgspec
import parso
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names

Position = tuple[int, int]
"""Line, from 1, and column in characters, from 0."""

INDISTINCT = {
    "core/ReplaceComparisonOperator_Eq_Is",
    "core/ReplaceComparisonOperator_NotEq_IsNot",
    "core/ReplaceComparisonOperator_Is_Eq",
    "core/ReplaceComparisonOperator_IsNot_NotEq",
}
"""Operators whose mutants do the same with None, enums and small numbers."""

STORAGE = {"frozen", "slots", "kw_only", "gc", "weakref", "cache_hash"}
"""Options that say how a record is stored. mypy checks what they forbid; tests cannot see it."""

_PUNCTUATION = set("()[]{},:.=;@") | {"->", "...", ":="}


class Site(msgspec.Struct, frozen=True, order=True):
    """One place in a file and one family of operators that apply there."""

    file: str
    start: Position
    end: Position
    family: str
    variants: tuple[tuple[str, int], ...]
    """Names of operators, each with the number of the occurrence in the file."""


def sites_of(file: str, source: str) -> list[Site]:
    """Return every site of a file, in the order of the text."""
    exempt = list(_exempt(ast.parse(source), source.splitlines()))
    nodes = [node for node in ast_nodes(get_ast(source)) if not _is_idle(node)]
    found: dict[tuple[Position, Position, str], list[tuple[str, int]]] = defaultdict(list)
    for name, operator in _operators().items():
        family = name.rpartition("/")[2].partition("_")[0]
        positions = (
            (node, start, end) for node in nodes for start, end in operator.mutation_positions(node)
        )
        for occurrence, (node, start, end) in enumerate(positions):
            if not _marks_parameters(node) and not any(a <= start < b for a, b in exempt):
                found[start, end, family].append((name, occurrence))
    return sorted(
        Site(file, start, end, family, tuple(variants))
        for (start, end, family), variants in found.items()
    )


def mutated(source: str, operator: str, occurrence: int) -> str | None:
    """Return the mutated source, or None if it is not valid Python or means the same."""
    try:
        text: str | None = mutate_code(source, _operators()[operator], occurrence)
    except AttributeError:
        # The exception replacer writes into a name's `value`, which `except a.B` does not have.
        return None
    if text is None:
        return None
    try:
        compile(text, "mutant", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
    return None if ast.dump(ast.parse(text)) == ast.dump(ast.parse(source)) else text


@cache
def _operators() -> dict[str, Operator]:
    """Return cosmic-ray's operators by name, without those that need arguments."""
    classes = {name: get_operator(name) for name in sorted(operator_names())}
    return {
        name: each()
        for name, each in classes.items()
        if not each.arguments() and name not in INDISTINCT
    }


def _is_idle(node: parso.tree.NodeOrLeaf) -> bool:
    """Whether no operator can apply: saves most of the time that the search takes."""
    if node.type in ("newline", "string", "endmarker"):
        return True
    return node.type == "operator" and getattr(node, "value", "") in _PUNCTUATION


def _marks_parameters(node: parso.tree.NodeOrLeaf) -> bool:
    """Whether it is a star or slash of a signature, which cosmic-ray takes for arithmetic."""
    parent = node.parent.type if node.parent else ""
    return node.type == "operator" and parent in ("parameters", "param", "lambdef")


def _exempt(tree: ast.Module, lines: list[str]) -> Iterator[tuple[Position, Position]]:
    """Yield the ranges of a file that only mypy reads, or that say how a record is stored."""
    for node in ast.walk(tree):
        for each in _unevaluated(node):
            yield (
                _position(lines, each.lineno, each.col_offset),
                _position(lines, each.end_lineno or each.lineno, each.end_col_offset or 0),
            )


def _unevaluated(node: ast.AST) -> Iterator[ast.expr | ast.stmt | ast.keyword]:
    if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation:
        yield node.annotation
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns:
        yield node.returns
    elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        yield node
    elif isinstance(node, ast.ClassDef):
        keywords = list(node.keywords)
        keywords += [k for d in node.decorator_list if isinstance(d, ast.Call) for k in d.keywords]
        yield from (each for each in keywords if each.arg in STORAGE)


def _position(lines: list[str], line: int, offset: int) -> Position:
    """Return the position in characters: ast counts bytes."""
    return line, len(lines[line - 1].encode()[:offset].decode())
