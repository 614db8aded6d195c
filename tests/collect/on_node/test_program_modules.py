"""What holds for the program's text, whatever it does."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from wirecheck.catalogue.node_commands import NODE_COMMANDS
from wirecheck.collect import on_node
from wirecheck.collect.node_program import (
    LONGEST,
    TOO_OLD,
    command_line,
    compact,
    modules,
    stripped,
)
from wirecheck.collect.on_node import commands

FOLDER = Path(on_node.__file__).parent
SOURCES = sorted(FOLDER.glob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_is_python_3_6(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 6))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_imports_the_standard_library_and_itself_alone(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            own = name.startswith("wirecheck.collect.on_node")
            assert own or name.split(".")[0] in sys.stdlib_module_names, name


def test_every_module_is_sent() -> None:
    assert {path.stem for path in SOURCES} - {"__init__"} == set(modules())


def test_a_module_comes_after_those_that_it_imports_and_the_entry_last() -> None:
    order = list(modules())

    for name, text in modules().items():
        used = set(re.findall(r"^from wirecheck\.collect\.on_node\.(\w+) import", text, re.M))
        assert used <= set(order[: order.index(name)]), name
    assert order[-1] == "visit"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_what_is_sent_is_the_module_without_its_texts(path: Path) -> None:
    sent = stripped(path.read_text())

    compile(sent, path.name, "exec")
    assert all(
        len(body) == 1
        for node in ast.walk(ast.parse(sent))
        for body in [getattr(node, "body", None)]
        if isinstance(body, list)
        for each in body
        if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)
    )
    assert not [line for line in sent.splitlines() if line.strip().startswith("#")]
    assert statements(sent) == statements(path.read_text())


def statements(text: str) -> list[tuple[str, int]]:
    """Each statement that does something, with its line."""
    return [
        (type(node).__name__, node.lineno)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.stmt)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]


def test_the_command_line_means_itself_in_any_shell() -> None:
    line = command_line(b'{"plan": 1}')

    assert len(line) < LONGEST * 0.6, "the rest is for the plan"
    head, code, rest = line.split('"')
    assert re.fullmatch(r"[A-Za-z0-9+/= .-]+", head + rest)
    assert not set(code) & set("\"'`$\\!\n")


def test_an_old_python_is_told_by_its_status() -> None:
    code = command_line(b"{}").split('"')[1].replace("sys.version_info", "(3,5)")

    assert (
        subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == TOO_OLD
    )


def test_the_printed_table_is_the_one_that_is_run() -> None:
    assert {each.id: each.argv for each in NODE_COMMANDS} == commands.TABLE
    assert all(each.why and each.when for each in NODE_COMMANDS)


def test_no_command_changes_anything() -> None:
    reading = {"-L", "-S", "list", "save", "--save", "--version"}
    for each in NODE_COMMANDS:
        assert each.argv[0].endswith("-save") or reading & set(each.argv), each
        assert not {"-D", "-F", "-A", "-I", "-X", "-j", "add", "flush", "delete"} & (
            set(each.argv) - ({"-j"} if each.argv[0] == "nft" else set())
        )


def test_commands_are_started_from_the_table_alone() -> None:
    starters = [
        (path.stem, node.attr)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in ("Popen", "system", "popen", "run", "execv")
        and isinstance(node.value, ast.Name)
        and node.value.id in ("subprocess", "os")
    ]

    assert starters == [("commands", "Popen")]


def test_annotations_of_functions_and_indentation_are_not_sent() -> None:
    text = (
        'def f(a: "List[int]", *rest: str, b: int = 3) -> Dict[str, int]:\n'
        '    """A text."""\n'
        "    kept: int = 1  # a comment\n"
        '    return {"→": """\n'
        '        as it is -> here""", "a: int": b}\n'
    )

    assert stripped(text) == (
        "def f(a, *rest, b = 3):\n"
        "\n"
        " kept: int = 1\n"
        ' return {"→": """\n'
        '        as it is -> here""", "a: int": b}\n'
    )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_what_is_sent_has_the_same_statements_without_spaces(path: Path) -> None:
    before = stripped(path.read_text())
    sent = compact(before)

    assert ast.dump(ast.parse(sent)) == ast.dump(ast.parse(before))
    ast.parse(sent, feature_version=(3, 6))
    assert statements(sent) == statements(before)


def test_spaces_stay_where_they_separate() -> None:
    text = 'if a in (1, 2):\n  return  b"x" if not c else -1\nd = [\n    "a  b",\n    e - 1]\n'

    assert compact(text) == ('if a in(1,2):\n  return b"x"if not c else-1\nd=[\n"a  b",\ne-1]\n')


def test_an_annotation_in_several_lines_stays() -> None:
    text = "def f(\n    a: Dict[\n        str, int\n    ],\n) -> None:\n    pass\n"

    assert stripped(text) == "def f(\n a: Dict[\n  str, int\n ],\n):\n pass\n"
