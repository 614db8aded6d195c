"""docs/writing-a-check.md shows real source, and its steps add the check in three files."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tests.checks.test_links as cases
from tests.checks.small_cluster import SmallCluster
from wirecheck.catalogue.registry import load

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/writing-a-check.md"
FUNCTION, CASE = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
CHECK = "links.equal_mtu"
FILES = ("checks/links/pairs.py", "tests/checks/test_links.py", f"docs/checks/{CHECK}.md")


@pytest.mark.parametrize(("file", "shown"), [(FILES[0], FUNCTION), (FILES[1], CASE)])
def test_the_page_shows_the_source(file, shown):
    assert f"\n\n\n{shown}\n\n" in (ROOT / file).read_text()


def test_the_page_names_the_three_files():
    assert [file for file in FILES if f"`{file}`" not in PAGE.read_text()] == []


def test_what_the_page_says_about_names_is_true():
    named = set(re.findall(r"`(\w+)=", PAGE.read_text()))

    assert named == {"settles", "only_proven", "level", "inconclusive"}
    assert "python -m wirecheck.inventory.reference" in PAGE.read_text()


def test_the_case_passes_with_the_check_and_fails_without_it(monkeypatch):
    names = dict(vars(cases))
    exec(compile(CASE, FILES[1], "exec"), names)
    names["test_unequal_mtu_is_found"](SmallCluster())

    (check,) = [each for each in load() if each.id == CHECK]
    assert check.sentence in FUNCTION
    monkeypatch.setattr("tests.checks.small_cluster.load", lambda: ())
    with pytest.raises((KeyError, StopIteration, ValueError, IndexError)):
        names["test_unequal_mtu_is_found"](SmallCluster())


def test_the_steps_add_the_check_in_three_files(tmp_path: Path):
    """From a copy without the check: insert the function, insert the case, write the pages."""
    for name in ("checks", "docs/checks"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "tests/checks").mkdir(parents=True)
    shutil.copy(ROOT / FILES[1], tmp_path / FILES[1])
    (tmp_path / "wirecheck").symlink_to(ROOT / "wirecheck")
    for file, name in ((FILES[0], "equal_mtu"), (FILES[1], "test_unequal_mtu_is_found")):
        remove(tmp_path / file, name)
    write_pages(tmp_path)
    assert not (tmp_path / FILES[2]).exists()
    before = content(tmp_path)

    for file, shown in ((FILES[0], FUNCTION), (FILES[1], CASE)):
        with (tmp_path / file).open("a") as stream:
            stream.write(f"\n\n{shown}")
    write_pages(tmp_path)

    after = content(tmp_path)
    changed = {file for file in before | after if before.get(file) != after.get(file)}
    assert changed == set(FILES)
    assert after[FILES[2]] == (ROOT / FILES[2]).read_text()


def write_pages(folder: Path) -> None:
    """Run the command of the page, with the checks of the copy."""
    command = [sys.executable, "-m", "wirecheck.catalogue.pages", "docs/checks"]
    assert " ".join(["python", *command[1:]]) in " ".join(PAGE.read_text().split())
    subprocess.run(command, cwd=folder, check=True, timeout=60)


def remove(file: Path, name: str) -> None:
    """Take a function and its decorators out of a file."""
    text = file.read_text()
    (found,) = (
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    )
    first = min([found.lineno, *(each.lineno for each in found.decorator_list)])
    lines = text.splitlines(keepends=True)
    file.write_text("".join(lines[: first - 1] + lines[found.end_lineno :]))


def content(folder: Path) -> dict[str, str]:
    """The text of every file of the copy, by its path in the repository."""
    files = [
        path
        for part in ("checks", "docs", "tests")
        for path in (folder / part).rglob("*.*")
        if path.suffix in (".py", ".md")
    ]
    return {str(path.relative_to(folder)): path.read_text() for path in files}
