"""The node program as one command line: its modules and its plan, compressed.

Between the quotes are only characters that no shell interprets, because several shells may
parse the line in turn (sudo, ssh, docker exec).
"""

from __future__ import annotations

import ast
import base64
import hashlib
import io
import json
import re
import tokenize
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources

PACKAGE = "wirecheck.collect.on_node"
ENTRY = "visit"
"""The module whose `main` runs the visit: the last one that the program loads."""

TOO_OLD = 69
"""Exit status if the node's Python is older than 3.6."""

OTHER_PROGRAM = 67
"""Exit status of an agent whose image contains another version of the program."""

NOT_LET_IN = 66
"""Exit status of an agent that is not allowed to enter the node's namespaces."""

LONGEST = 100_000
"""Bytes. Linux limits an argument to 128 KiB, and quoting needs some of it."""

# Creates the modules from their text under their own names, so that they can import each other.
_LOADER = """
import sys, types
def load(package, sources, plan):
    parts = package.split(".")
    for end in range(1, len(parts) + 1):
        name = ".".join(parts[:end])
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = []
    for name, source in zip(sources[::2], sources[1::2]):
        module = types.ModuleType(package + "." + name)
        sys.modules[module.__name__] = module
        setattr(sys.modules[package], name, module)
        exec(compile(source, name + ".py", "exec"), module.__dict__)
    module.main(plan)
"""
_START = (
    "import sys,zlib,base64,json;"
    f"sys.version_info<(3,6)and sys.exit({TOO_OLD});"
    "p,q=[zlib.decompress(base64.b64decode(a)).decode()for a in sys.argv[1:]];"
    "p=p.split(chr(0));"
    "exec(p[0]);load(p[1],p[2:],json.loads(q))"
)


_TYPES = re.compile(r"^from typing import ([\w, ]+)\n", re.MULTILINE)
_INDENTED = re.compile(r"^(?: {4})+")


_LAYOUT = (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_WORDS = re.compile(r"\w[\w\"']")


class PlanTooLargeError(ValueError):
    """The plan does not fit on a command line."""


@cache
def modules() -> Mapping[str, str]:
    """The text of each module by name, ordered so that imports come before their users."""
    folder = resources.files(PACKAGE)
    texts = {
        file.name.removesuffix(".py"): file.read_text("utf-8")
        for file in sorted(folder.iterdir(), key=lambda each: each.name)
        if file.name.endswith(".py") and file.name != "__init__.py"
    }
    ordered: dict[str, str] = {}

    def add(name: str) -> None:
        if name not in ordered:
            for used in _imported(texts[name]):
                add(used)
            ordered[name] = texts[name]

    for name in [ENTRY, *texts]:
        add(name)
    ordered[ENTRY] = ordered.pop(ENTRY)
    return ordered


def _imported(text: str) -> Iterator[str]:
    """The modules of the program that a module imports."""
    yield from re.findall(rf"^from {re.escape(PACKAGE)}\.(\w+) import", text, re.MULTILINE)
    for names in re.findall(
        rf"^from {re.escape(PACKAGE)} import (?:\(([^)]*)\)|(.*))", text, re.MULTILINE
    ):
        yield from re.findall(r"\w+", "".join(names))


def stripped(text: str) -> str:
    """The source without docstrings, annotations of functions and comments, indented by one space.

    The node does not need more, and the command line is short. Every statement keeps its line
    number.
    """
    lines = text.splitlines()
    tree = ast.parse(text)
    for line, start, end in sorted(_annotations(tree, lines), reverse=True):
        lines[line] = lines[line][:start] + lines[line][end:]
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and len(body) > 1:
            for each in filter(_is_docstring, body):
                lines[each.lineno - 1 : each.end_lineno] = [""] * (
                    each.end_lineno - each.lineno + 1
                )
    tokens = list(tokenize.generate_tokens(io.StringIO("\n".join(lines)).readline))
    comments = [each.start for each in tokens if each.type == tokenize.COMMENT]
    for line, column in comments:
        lines[line - 1] = lines[line - 1][:column].rstrip()
    texts = [each for each in tokens if each.type == tokenize.STRING]
    inside = {line for each in texts for line in range(each.start[0], each.end[0])}
    return _without_unused_types(
        "".join(
            f"{line if number in inside else _INDENTED.sub(_one_space_each, line)}\n"
            for number, line in enumerate(lines)
        )
    )


def _without_unused_types(text: str) -> str:
    """The source without the names of `typing` that only removed annotations used."""
    found = _TYPES.search(text)
    if not found:
        return text
    names = found[1].split(", ")
    used = [each for each in names if len(re.findall(rf"\b{each}\b", text)) > 1]
    return text.replace(found[0], f"from typing import {', '.join(used or names[:1])}\n", 1)


def compact(text: str) -> str:
    """The source without spaces that separate nothing; every token keeps its line.

    A space stays between words and before a string, which a word in front of it could prefix.
    """
    found = ""
    row, column, depth = 1, 0, 0
    for each in tokenize.generate_tokens(io.StringIO(text).readline):
        if each.type in _LAYOUT or not each.string:
            continue
        if each.start[0] > row:
            found += "\n" * (each.start[0] - row)
            found += "" if depth else each.line[: each.start[1]]
        elif each.start[1] > column and _WORDS.fullmatch(found[-1:] + each.string[0]):
            found += " "
        found += each.string
        row, column = each.end
        depth += (each.string in _OPENING) - (each.string in _CLOSING)
    return found + "\n"


def _one_space_each(indentation: re.Match[str]) -> str:
    return " " * (len(indentation[0]) // 4)


def _annotations(tree: ast.AST, lines: list[str]) -> Iterator[tuple[int, int, int]]:
    """Line, start and end of each annotation of a function that stands in one line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and (wanted := node.annotation):
            start = node.col_offset + len(node.arg)
        elif isinstance(node, ast.FunctionDef) and (wanted := node.returns):
            start = lines[wanted.lineno - 1].rfind(" ->", 0, wanted.col_offset)
        else:
            continue
        # Positions are bytes, and a line with other characters has more of them.
        is_in_one_line = wanted.lineno == wanted.end_lineno and start >= 0
        if is_in_one_line and lines[wanted.lineno - 1].isascii():
            yield wanted.lineno - 1, start, wanted.end_col_offset or start


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


@cache
def _program() -> str:
    sources = [part for name, text in modules().items() for part in (name, compact(stripped(text)))]
    return _packed("\0".join([_LOADER, PACKAGE, *sources]).encode())


@cache
def digest() -> str:
    """What identifies the program: the same text of its modules gives the same digest."""
    text = json.dumps([_LOADER, PACKAGE, list(modules().items())])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _packed(data: bytes) -> str:
    compressor = zlib.compressobj(9, memLevel=9)
    return base64.b64encode(compressor.compress(data) + compressor.flush()).decode()


def agent_command_line(plan: bytes) -> str:
    """The command for an agent pod. Its image has the program, so only the plan is sent."""
    line = f"wirecheck-agent visit {digest()} {_packed(plan)}"
    if len(line) > LONGEST:
        raise PlanTooLargeError(f"The plan takes {len(line):,} bytes.")
    return line


def command_line(plan: bytes) -> str:
    """The command for a node; `plan` is JSON. Raises PlanTooLargeError if it does not fit."""
    # -I: neither the environment nor the working directory affects what is imported.
    line = f'python3 -I -S -c "{_START}" {_program()} {_packed(plan)}'
    if len(line) > LONGEST:
        raise PlanTooLargeError(f"The plan takes {len(line) - len(_program()):,} bytes.")
    return line
