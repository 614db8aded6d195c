"""Every command in the documentation works: run here, or by CI on the test cluster."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from testbed.documented import (
    COMPLETION,
    PAGES,
    commands_of,
    is_target,
    needs_no_cluster,
)
from tests.needs import need
from tests.run.test_merge_snapshots import part_of
from tests.served_cluster import Listener
from wirecheck.catalogue.profiles import PROFILES
from wirecheck.cli.demo import recorded
from wirecheck.inventory import reference as inventory_reference
from wirecheck.run.reported_run import perform
from wirecheck.run.request import Request
from wirecheck.snapshot.folder import Snapshot

ROOT = Path(__file__).parent.parent
MAKE = re.compile(r"`make ([a-z-]+)")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN = {"", "console", "text", "yaml", "python"}

COMMANDS = sorted({command for page in PAGES for command in commands_of(page)})
OFFLINE = [command for command in COMMANDS if needs_no_cluster(command)]


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, str]:
    """What the documentation's placeholders stand for."""
    folder = tmp_path_factory.mktemp("parts")
    whole = Snapshot.open(recorded("healthy"))
    _, broken = perform(Request(snapshot=recorded("broken"), report_dir=folder), (), Listener())
    return {
        "results.jsonl": str(broken / "results.jsonl"),
        "FOLDER": str(recorded("healthy")),
        "policies.yaml": str(_written(folder / "policies.yaml", ROOT / "docs" / "policy.md")),
        "PART-1": str(part_of(whole, folder / "1", {"wc-w1"}).path),
        "PART-2": str(part_of(whole, folder / "2", {"wc-cp", "wc-w2"}).path),
    }


def _written(file: Path, page: Path) -> Path:
    """The first block of YAML on the page, as a file."""
    _, block = next(each for each in FENCE.findall(page.read_text()) if each[0] == "yaml")
    file.write_text(block)
    return file


def test_there_are_commands_to_try():
    assert len(OFFLINE) >= 15
    assert len(COMMANDS) > len(OFFLINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_can_be_typed_is_marked_as_such(page: Path):
    """So that it is run: a command in any other block would be one that nobody tries."""
    for language, block in FENCE.findall(page.read_text()):
        assert language in SHOWN, block
        if language != "console":
            typed = re.findall(r"(?m)^(?:\$ |wirecheck (?!\d)|pytest ).*", block)
            assert typed == []


@pytest.mark.parametrize("command", OFFLINE)
def test_a_command_without_a_cluster_works(command: str, tmp_path: Path, places: dict[str, str]):
    environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    if shell := re.search(rf"{COMPLETION}=(\w+) wirecheck", command):
        words = ["wirecheck"]
        environment[COMPLETION] = shell[1]
    else:
        words = [places.get(word, word) for word in shlex.split(command, comments=True)]

    program = [sys.executable, "-c", "from wirecheck.cli.main import main; main()"]
    if words[0] == "jq":
        need("jq")
        program = ["jq"]
    ended = subprocess.run(
        [*program, *words[1:]],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    # The exit status of `trace` is its answer, and recordings of an older program leave it open.
    is_answer = words[1:2] == ["trace"] and ended.returncode == 2 and not ended.stderr
    # Nagios wants 1 for a warning: the recorded network enforces no policies.
    is_answer |= "nagios" in words and ended.returncode == 1
    assert ended.returncode == 0 or is_answer, ended.stderr
    assert ended.stdout


def test_all_other_commands_are_run_on_the_test_cluster():
    recipe = (ROOT / "Makefile").read_text().partition("check-cluster:")[2].partition("\n\n")[0]

    assert "-m testbed.documented" in recipe
    assert "check-cluster" in (ROOT / ".ci/run").read_text()


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_has_a_recipe(profile: str):
    page = ROOT / "docs/recipes.md"

    assert f"\n## {profile}: " in page.read_text()
    assert any(f"--profile {profile}" in command for command in commands_of(page))


def test_the_reference_of_the_inventory_is_that_of_its_types():
    remedy = "run `python -m wirecheck.inventory.reference`"

    assert inventory_reference.page() == inventory_reference.PAGE.read_text(), remedy
    assert inventory_reference.schema_text() == inventory_reference.SCHEMA.read_text(), remedy


@pytest.mark.parametrize(
    "file", sorted((ROOT / "inventories").glob("*.yaml")), ids=lambda p: p.name
)
def test_the_examples_are_inventories_by_the_schema(file: Path):
    validator = Draft202012Validator(inventory_reference.schema())

    assert not list(validator.iter_errors(yaml.safe_load(file.read_text())))
    assert list(validator.iter_errors({"nodes": [{"nam": "*"}]}))


def test_the_report_in_the_readme_is_what_the_recorded_cluster_gives(tmp_path: Path):
    shown = (ROOT / "README.md").read_text().partition("```text\n")[2].partition("```")[0]
    said = subprocess.run(
        [sys.executable, "-m", "wirecheck", "demo", "broken"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout.replace(str(ROOT / "wirecheck"), "…")
    lines = [line for line in shown.splitlines() if line not in ("", "…")]

    assert len(lines) > 5
    # The last line but one has the seconds that the evaluation took.
    assert [line for line in lines if line.partition(" rounds (")[0] not in said] == []


def test_every_make_target_that_is_named_exists():
    makefile = (ROOT / "Makefile").read_text()
    named = {name for page in PAGES for name in MAKE.findall(page.read_text())}
    named |= {each.split()[1] for each in COMMANDS if is_target(each)}

    assert named
    assert not [name for name in named if f"\n{name}:" not in makefile]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    broken = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]

    assert not broken
