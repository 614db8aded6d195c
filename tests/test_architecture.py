"""Imports go one way, as docs/architecture.md says: collecting and evaluating never meet.

The test reads the imports of every file, so that the diagram cannot drift from the code.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIBRARY = sorted((ROOT / "wirecheck").rglob("*.py"))
CATALOGUE = sorted((ROOT / "checks").rglob("*.py"))

TOP = {"addresses", "text", "whole_file"}
"""The modules at the top of `wirecheck/`: at most six, without `__init__` and `__main__`."""

FACTS = TOP | {"catalogue"}
DATA = FACTS | {"snapshot"}
BELOW_MODEL = DATA | {"parse", "api_index", "dataplane", "network", "node", "policy", "paths"}
EVALUATED = BELOW_MODEL | {"model"}
ALL_RESULTS = EVALUATED | {"results", "evaluation"}

MAY_IMPORT: Mapping[str, set[str]] = {
    **dict.fromkeys(TOP, TOP),
    "catalogue": TOP,
    "snapshot": FACTS,
    "parse": DATA,
    "api_index": DATA | {"parse"},
    "dataplane": DATA | {"parse", "api_index"},
    "network": DATA | {"parse", "api_index", "dataplane"},
    "node": DATA | {"parse", "api_index", "dataplane", "network"},
    "policy": DATA | {"parse", "api_index", "dataplane", "network", "node"},
    "paths": DATA | {"parse", "api_index", "dataplane", "network", "node", "policy"},
    "model": BELOW_MODEL,
    "checks": TOP | {"catalogue", "api_index", "dataplane", "network", "node", "model"},
    "results": FACTS | {"snapshot"},
    "evaluation": EVALUATED | {"results"},
    "report": FACTS | {"results"},
    "inventory": DATA,
    "collect": DATA | {"inventory", "api_index", "network"},
    "inspect": ALL_RESULTS | {"report"},
    "run": ALL_RESULTS | {"report", "inspect", "inventory", "collect"},
    "cli": ALL_RESULTS | {"report", "inspect", "inventory", "collect", "run"},
    "mcp": ALL_RESULTS | {"report", "inspect", "inventory", "collect", "run", "cli"},
    "pytest_plugin": ALL_RESULTS | {"report", "inspect", "inventory", "collect", "run"},
    "__main__": {"cli"},
    "wirecheck": set(),
}
"""What each package may import beside itself; everybody may ask for `wirecheck.__version__`."""

IO = {
    "socket",
    "subprocess",
    "shutil",
    "tempfile",
    "threading",
    "time",
    "random",
    "urllib.request",
    "kubernetes",
    "testinfra",
    "requests",
    "urllib3",
}
WITHOUT_IO = (
    "wirecheck.catalogue",
    "wirecheck.parse",
    "wirecheck.api_index",
    "wirecheck.dataplane",
    "wirecheck.network",
    "wirecheck.node",
    "wirecheck.policy",
    "wirecheck.paths",
    "wirecheck.model",
    "wirecheck.evaluation",
    "wirecheck.collect.plan",
    "checks",
)


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package(name: str) -> str:
    """`dataplane` for `wirecheck.dataplane.rules.steps`, `checks` for `checks.pods`."""
    first, _, rest = name.partition(".")
    return first if first == "checks" or not rest else rest.partition(".")[0]


MODULES = {module(path): path for path in [*LIBRARY, *CATALOGUE]}


def imports(path: Path) -> Iterator[str]:
    """Every module that the file imports; for names taken from a package, with the name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute, so that they can be checked"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)


@cache
def every_import() -> dict[str, list[str]]:
    """What each module imports. Reading them takes seconds, so only these tests do."""
    return {name: sorted(set(imports(path))) for name, path in MODULES.items()}


@cache
def own_imports() -> dict[str, list[str]]:
    return {
        name: [used for used in found if used in MODULES and used != name]
        for name, found in every_import().items()
    }


def within(name: str, *packages: str) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in packages)


def offenders(users: list[str], *forbidden: str) -> set[tuple[str, str]]:
    return {
        (user, used) for user in users for used in every_import()[user] if within(used, *forbidden)
    }


def part(*packages: str) -> list[str]:
    return [name for name in MODULES if within(name, *packages)]


def docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def circles(graph: Mapping[str, list[str]]) -> list[set[str]]:
    """The strongly connected components of more than one file, by Tarjan's algorithm."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for used in graph[name]:
            if used not in order:
                visit(used)
                low[name] = min(low[name], low[used])
            elif used in stack:
                low[name] = min(low[name], order[used])
        if low[name] == order[name]:
            at = stack.index(name)
            circle = set(stack[at:])
            del stack[at:]
            if len(circle) > 1:
                found.append(circle)

    for name in graph:
        if name not in order:
            visit(name)
    return found


def test_a_package_imports_only_what_is_below_it():
    wrong = {
        (user, package(used))
        for user, found in own_imports().items()
        for used in found
        if used != "wirecheck"
        and package(used) != package(user)
        and package(used) not in MAY_IMPORT[package(user)]
    }

    assert wrong == set()


def test_no_files_import_each_other_in_a_circle():
    assert circles(own_imports()) == []


def test_a_circle_is_found():
    assert circles({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]}) == [{"a", "b", "c"}]


def test_few_modules_are_at_the_top():
    top = {path.stem for path in (ROOT / "wirecheck").glob("*.py")} - {"__init__", "__main__"}

    assert top == TOP
    assert len(top) <= 6


def test_every_package_says_what_it_is_for():
    silent = {
        name
        for name, path in MODULES.items()
        if path.name == "__init__.py" and len(docstring(path)) < 40
    }

    assert silent == set()


@pytest.mark.parametrize(
    ("library", "owner"),
    [("kubernetes", "wirecheck.collect.api"), ("testinfra", "wirecheck.collect.transport")],
)
def test_a_library_for_access_is_known_to_one_package(library, owner):
    users = {user for user, _ in offenders(list(MODULES), library)}

    assert users
    assert all(within(user, owner) for user in users), users


def test_evaluating_does_no_io():
    assert offenders(part(*WITHOUT_IO), *IO) == set()


def test_a_check_imports_little_else():
    allowed = {"wirecheck", "collections", "dataclasses", "functools", "ipaddress", "itertools"}
    used = {name.partition(".")[0] for user in part("checks") for name in every_import()[user]}

    assert used - {"__future__", "enum", "typing"} <= allowed


def test_pure_code_opens_no_file():
    opened = {
        (name, node.func.id if isinstance(node.func, ast.Name) else node.func.attr)
        for name in part(*WITHOUT_IO)
        for node in ast.walk(ast.parse(MODULES[name].read_text()))
        if isinstance(node, ast.Call)
        and (
            (isinstance(node.func, ast.Name) and node.func.id in {"open", "print", "eval", "exec"})
            or (
                isinstance(node.func, ast.Attribute)
                and node.func.attr in {"read_text", "read_bytes", "now", "today", "utcnow"}
            )
        )
    }

    assert opened == set()
