"""Imports go one way, as docs/architecture.md says: looking and judging never meet."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIBRARY = sorted((ROOT / "wirecheck").rglob("*.py"))
CATALOGUE = sorted((ROOT / "checks").glob("*.py"))

DRIVERS = (
    "look",
    "live",
    "helpers_wanted",
    "replay",
    "request",
    "run",
    "record",
    "baseline",
    "cli_gates",
    "cli_catalogue",
    "cli_clean",
    "cli_diff",
    "cli_outputs",
    "cli_trend",
    "outputs",
    "webhook",
    "waiting",
    "report_folder",
    "report_retention",
    "selection",
    "interrupt",
    "intervals",
    "console",
    "demo",
    "doctor",
    "snapshot_summary",
    "inspect.commands",
    "inspect.subject",
    "inspect.selector",
    "cli_snapshot",
    "cli_merge",
    "merging",
    "merging_results",
    "inventory_reference",
    "sonobuoy_progress",
    "cli",
    "__main__",
    "plugin",
    "pytest_bench",
    "pytest_options",
    "pytest_session",
    "pytest_text",
)
"""The modules above the stages. Between them only `ENTRANCES` are out of bounds."""

ENTRANCES = {"wirecheck.cli", "wirecheck.plugin"}
WITHOUT_IO = ("wirecheck.model", "wirecheck.dataplane", "wirecheck.parse", "checks")
PURE = ("wirecheck.judge", "wirecheck.verdict", "wirecheck.findings", "wirecheck.catalogue")
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


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Every module that the file imports, with the names taken from it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute, so that they can be checked"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, *packages: str) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in packages)


def offenders(files: list[Path], *forbidden: str) -> set[tuple[str, str]]:
    return {
        (module(path), name) for path in files for name in imports(path) if within(name, *forbidden)
    }


def part(*packages: str) -> list[Path]:
    found = [path for path in LIBRARY + CATALOGUE if within(module(path), *packages)]
    assert found, f"there is no {packages} any more"
    return found


@pytest.mark.parametrize(
    ("library", "owner"),
    [("kubernetes", "wirecheck.collect.api"), ("testinfra", "wirecheck.collect.transport")],
)
def test_a_library_that_looks_has_one_module_that_knows_it(library, owner):
    users = {user for user, _ in offenders(LIBRARY + CATALOGUE, library)}

    assert users == {owner}


def test_nothing_imports_the_drivers_but_drivers():
    stages = [path for path in LIBRARY if module(path) not in {f"wirecheck.{d}" for d in DRIVERS}]
    drivers = [f"wirecheck.{driver}" for driver in DRIVERS]

    assert offenders(stages + CATALOGUE, *drivers) == set()


def test_the_entrances_are_imported_by_nothing():
    others = [path for path in LIBRARY if module(path) != "wirecheck.__main__"]

    assert offenders(others, *ENTRANCES) == set()


def test_looking_does_not_judge():
    judging = ("wirecheck.model", "wirecheck.judge", "wirecheck.report", "wirecheck.dataplane")

    assert offenders(part("wirecheck.collect"), *judging, "wirecheck.checks", "checks") == set()


def test_judging_does_not_look():
    assert offenders(part(*WITHOUT_IO, *PURE), "wirecheck.collect", *IO) == set()


def test_parsing_knows_neither_the_model_nor_the_checks():
    above = ("wirecheck.model", "wirecheck.dataplane", "wirecheck.judge", "checks")

    assert offenders(part("wirecheck.parse"), *above) == set()


def test_the_dataplane_knows_no_check():
    assert offenders(part("wirecheck.dataplane"), "wirecheck.judge", "checks") == set()


def test_a_check_speaks_the_models_words_only():
    allowed = (
        "wirecheck.addresses",
        "wirecheck.catalogue",
        "wirecheck.dataplane",
        "wirecheck.facts",
        "wirecheck.findings",
        "wirecheck.model",
        "collections",
        "dataclasses",
        "functools",
        "ipaddress",
        "itertools",
    )
    used = {(module(path), name) for path in CATALOGUE for name in imports(path)}

    assert {(user, name) for user, name in used if not within(name, *allowed)} == set()


def test_reports_render_and_never_decide():
    deciding = ("wirecheck.judge", "wirecheck.verdict", "wirecheck.model", "wirecheck.collect")

    assert offenders(part("wirecheck.report"), *deciding) == set()


def test_pure_code_opens_no_file():
    opened = {
        (module(path), node.func.id if isinstance(node.func, ast.Name) else node.func.attr)
        for path in part(*WITHOUT_IO)
        for node in ast.walk(ast.parse(path.read_text()))
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
