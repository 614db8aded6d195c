"""`kubectl wirecheck`: help shows what the user typed, and kubectl completes its arguments."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from wirecheck.cli import kubectl_plugin
from wirecheck.cli.demo import recorded
from wirecheck.cli.kubectl_plugin import FILES, NO_FILES, completions
from wirecheck.cli.main import COMMANDS

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
PROGRAMS = ("kubectl-wirecheck", "kubectl_complete-wirecheck")


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """An environment with the plugin's programs on PATH, as an installation makes them."""
    for name in PROGRAMS:
        module, _, function = PROJECT["scripts"][name].partition(":")
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!{sys.executable}\nfrom {module} import {function}\n{function}()\n")
        program.chmod(0o755)
    folders = f"{tmp_path}/bin:{os.environ['PATH']}"
    return {**os.environ, "PATH": folders, "PYTHONPATH": str(Path.cwd()), "HOME": str(tmp_path)}


def kubectl(installed: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["kubectl", *words],
        env=installed,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.needs("kubectl")
def test_kubectl_finds_the_plugin(installed: dict[str, str]) -> None:
    listed = kubectl(installed, "plugin", "list", "--name-only").stdout.split("\n")
    helped = kubectl(installed, "wirecheck", "run", "--help")
    refused = kubectl(installed, "wirecheck", "run", "--unknown")

    assert "kubectl-wirecheck" in listed
    assert (helped.returncode, refused.returncode) == (0, 4)
    assert helped.stdout.startswith("Usage: kubectl wirecheck run [OPTIONS]\n")
    assert "Try 'kubectl wirecheck run --help' for help." in refused.stderr


@pytest.mark.needs("kubectl")
def test_kubectl_passes_on_what_the_plugin_prints_and_its_status(
    installed: dict[str, str], tmp_path: Path
) -> None:
    snapshot = f"--snapshot={recorded('broken')}"

    ended = kubectl(
        *(installed, "wirecheck", "run", snapshot, "-k", "pods", f"--report-dir={tmp_path}/reports")
    )

    assert ended.returncode == 1
    assert "FAIL pods.ip_on_interface" in ended.stdout


def test_completion_is_a_program_of_its_own(installed: dict[str, str]) -> None:
    """kubectl before 1.26 does not call it, so this test does."""
    ended = subprocess.run(
        ["kubectl_complete-wirecheck", "exp"],
        env=installed,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert ended.stdout == f"explain\t{COMMANDS['explain'].sentence}\n:{NO_FILES}\n"


@pytest.mark.parametrize(
    ("words", "directive"),
    [
        (["run", "--snapshot", ""], FILES),
        (["run", "--report-dir", ""], FILES),
        (["run", "--profile", ""], NO_FILES),
        ([""], NO_FILES),
        ([], NO_FILES),
    ],
    ids=str,
)
def test_the_shell_offers_files_where_an_option_takes_one(words: list[str], directive: int) -> None:
    assert list(completions(words))[-1] == f":{directive}"


def test_what_is_offered_begins_with_what_is_typed() -> None:
    *offered, _ = completions(["run", "-k", "pods.have_"])

    assert {each.partition("\t")[0] for each in offered} == {"pods.have_ip", "pods.have_netns"}
    assert all(each.partition("\t")[2] for each in offered)


def test_every_command_is_offered() -> None:
    *offered, _ = completions([""])

    assert [each.partition("\t")[0] for each in offered] == list(COMMANDS)


def test_the_programs_are_the_functions_of_the_module() -> None:
    for name in PROGRAMS:
        module, _, function = PROJECT["scripts"][name].partition(":")
        assert module == kubectl_plugin.__name__
        assert callable(getattr(kubectl_plugin, function))
