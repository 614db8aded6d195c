"""Every command in the documentation works: run here, or by the CI script on the test cluster."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "inventories/README.md"]
PLACEHOLDER = re.compile(r"reports/TIME/snapshot|\bFOLDER\b")
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
MAKE = re.compile(r"`make ([a-z-]+)")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def commands() -> list[str]:
    found = [
        line.removeprefix("$ ")
        for page in PAGES
        for block in CONSOLE.findall(page.read_text())
        for line in block.splitlines()
        if line.startswith("$ ")
    ]
    return sorted(set(found))


def is_live(command: str) -> bool:
    """Whether it looks at a live cluster; `make check-cluster` runs those, with an inventory."""
    return "--inventory" in command or command.startswith("make ")


OFFLINE = [command for command in commands() if not is_live(command)]


def test_there_are_commands_to_try():
    assert len(OFFLINE) >= 5
    assert len(commands()) > len(OFFLINE)


@pytest.mark.parametrize("command", OFFLINE)
def test_a_command_without_a_cluster_works(command: str, tmp_path: Path):
    recorded = str(ROOT / "wirecheck/recorded/healthy")
    words = shlex.split(PLACEHOLDER.sub(recorded, command), comments=True)
    assert words[0] == "wirecheck", command

    ended = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout


@pytest.mark.parametrize("command", [each for each in commands() if "--inventory" in each])
def test_a_command_with_an_inventory_is_run_on_the_test_cluster(command: str):
    recipe = (ROOT / "Makefile").read_text().partition("check-cluster:")[2].partition("\n\n")[0]
    verb = command.partition(" --inventory")[0]

    assert f"/{verb} --inventory" in recipe
    assert "check-cluster" in (ROOT / ".ci/run").read_text()


def test_the_report_in_the_readme_is_what_the_recorded_cluster_gives(tmp_path: Path):
    shown = (ROOT / "README.md").read_text().partition("```text\n")[2].partition("```")[0]
    said = subprocess.run(
        [sys.executable, "-m", "wirecheck", "demo", "broken"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    lines = [line for line in shown.splitlines() if line not in ("", "…")]

    assert len(lines) > 5
    # The last line but one ends with the seconds that judging took.
    assert [line for line in lines if line.partition(" looks, ")[0] not in said] == []


def test_every_make_target_that_is_named_exists():
    makefile = (ROOT / "Makefile").read_text()
    named = {name for page in PAGES for name in MAKE.findall(page.read_text())}
    named |= {each.split()[1] for each in commands() if each.startswith("make ")}

    assert named
    assert not [name for name in named if f"\n{name}:" not in makefile]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    broken = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]

    assert not broken
