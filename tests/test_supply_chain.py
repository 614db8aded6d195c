"""What the page about releases promises of the repository, and of the files of a release."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from testbed.release.artefacts import SUMS, Artefacts
from testbed.release.lock import SOURCES
from wirecheck import __version__

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/releasing.md").read_text()
DEPENDABOT = ROOT / ".github/dependabot.yml"
WORKFLOWS = sorted(
    [*(ROOT / "ci").glob("github*.yml"), *(ROOT / ".github/workflows").glob("*.y*ml")]
)
SCORECARD = {
    "Binary-Artifacts",
    "Branch-Protection",
    "CI-Tests",
    "CII-Best-Practices",
    "Code-Review",
    "Contributors",
    "Dangerous-Workflow",
    "Dependency-Update-Tool",
    "Fuzzing",
    "License",
    "Maintained",
    "Packaging",
    "Pinned-Dependencies",
    "SAST",
    "SBOM",
    "Security-Policy",
    "Signed-Releases",
    "Token-Permissions",
    "Vulnerabilities",
    "Webhooks",
}
EXECUTABLE = (
    b"\x7fELF",
    b"MZ",
    b"\xca\xfe\xba\xbe",
    b"\xcf\xfa\xed\xfe",
    b"PK\x03\x04",
    b"!<arch>",
)
"""How programs, libraries and archives of them begin."""


def rows(heading: str) -> list[str]:
    """The first cells of the table below a line that begins like this."""
    table = PAGE.partition(f"\n{heading}")[2].partition("\n\n|")[2].partition("\n\n")[0]
    return [line.strip("| ").partition(" |")[0] for line in f"|{table}".splitlines()[2:]]


def test_every_check_of_scorecard_is_named_once() -> None:
    named = [
        name
        for heading in ("In the repository", "For the owner")
        for cell in rows(heading)
        for name in cell.split(", ")
    ]

    assert len(named) == len(set(named))
    assert set(named) == SCORECARD


def test_every_file_of_a_release_is_described() -> None:
    made = Artefacts(Path("folder"), __version__)
    files = {value.name for name in dir(made) if isinstance(value := getattr(made, name), Path)}
    files -= {"folder"}

    described = {cell.strip("`") for cell in rows("## What a release consists of")}
    assert described == {*files, SUMS, f"{SUMS}.sigstore.json"}


def refused(file: Path) -> str:
    """What check-jsonschema says against a configuration of Dependabot."""
    ended = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.dependabot", file],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return ended.stdout + ended.stderr if ended.returncode else ""


def test_dependabot_would_take_its_configuration(tmp_path: Path) -> None:
    broken = tmp_path / "dependabot.yml"
    broken.write_text(DEPENDABOT.read_text().replace("monthly", "sometimes"))

    assert refused(DEPENDABOT) == ""
    assert refused(broken)


def test_dependabot_renews_the_actions_and_every_lock() -> None:
    folders: dict[str, list[str]] = {}
    for update in yaml.safe_load(DEPENDABOT.read_text())["updates"]:
        folders.setdefault(update["package-ecosystem"], []).extend(update["directories"])

    assert folders["pip"] == [f"/{path.parent.relative_to(ROOT)}" for path in SOURCES]
    # The root stands for .github/workflows and for an action of the repository's own.
    assert {path.parent for path in WORKFLOWS} <= {
        ROOT / ".github/workflows",
        *(ROOT / each.strip("/") for each in folders["github-actions"]),
    }


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_text_of_an_event_enters_a_script(path: Path) -> None:
    """Whoever opens a pull request chooses its title, its branch and its files."""
    workflow = yaml.safe_load(path.read_text())
    scripts = [
        step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step
    ]

    assert [each for each in scripts if "${{" in each] == []
    # YAML reads the key `on` as true.
    assert not {"pull_request_target", "workflow_run"} & set(workflow[True])


def test_the_repository_has_no_executables() -> None:
    found = [
        str(path.relative_to(ROOT))
        for folder in ("wirecheck", "checks", "deploy", "ci", "docs", "examples", "testbed")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc" and path.read_bytes()[:8].startswith(EXECUTABLE)
    ]

    assert found == []


def test_permissions_of_workflows_are_to_read() -> None:
    for path in WORKFLOWS:
        assert yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"}, path.name


def test_links_of_the_page_to_advice_are_https() -> None:
    assert re.findall(r"\]\((http:[^)]*)\)", PAGE) == []
