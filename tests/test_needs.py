"""A test whose tool is missing is skipped and counted, and fails where nothing may be missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.needs import ALL_TOOLS, PROGRAMS, need, python

TESTS = """
import pytest
from tests.needs import need

@pytest.mark.needs("jq")
@pytest.mark.parametrize("number", [1, 2])
def test_with_a_marker(number):
    raise AssertionError("it must not run")

@pytest.fixture(scope="session")
def client():
    need("ssh")

def test_with_a_fixture(client):
    raise AssertionError("it must not run")

def test_without_a_tool():
    pass
"""
PROJECT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _tools_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ALL_TOOLS, raising=False)


@pytest.fixture
def nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")


def run(folder: Path, *options: str, **environment: str) -> tuple[int, str]:
    """Run the sample above where no tool is on PATH; return the status and the output."""
    (folder / "test_sample.py").write_text(TESTS)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.needs", "-p", "no:cacheprovider", *options,
         "--strict-markers", "--rootdir", str(folder), str(folder)],
        cwd=PROJECT, env={**os.environ, "PATH": "/nowhere", **environment},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return ended.returncode, ended.stdout


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_skipped_tests_are_counted_by_what_is_missing(tmp_path: Path, workers: tuple[str]) -> None:
    status, output = run(tmp_path, *workers)

    assert status == 0
    assert "1 passed, 3 skipped" in output
    summary = output.partition("something is missing on this machine")[2].splitlines()
    assert summary[1:4] == ["jq: 2 tests", "ssh: 1 test", "in all: 3"]


def test_where_nothing_may_be_missing_they_fail(tmp_path: Path) -> None:
    status, output = run(tmp_path, **{ALL_TOOLS: "1"})

    assert status == 1
    assert "needs jq, which is not installed; with WIRECHECK_ALL_TOOLS set" in output
    assert "needs ssh, which is not installed; with WIRECHECK_ALL_TOOLS set" in output
    assert "it must not run" not in output


@pytest.mark.parametrize("name", sorted({*PROGRAMS} - {"/usr/bin/python3", "sshd"}))
@pytest.mark.usefixtures("nothing_is_installed")
def test_a_tool_that_is_not_installed(name: str) -> None:
    with pytest.raises(pytest.skip.Exception, match=f"needs {name}, which is not installed"):
        need(name)


def test_one_of_two_programs_is_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program = tmp_path / "google-chrome"
    program.touch(0o755)

    need("browser")


def test_all_programs_of_a_tool_are_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "groovy").touch(0o755)

    with pytest.raises(pytest.skip.Exception, match="needs groovy, "):
        need("groovy")


def test_an_ordinary_user_is_not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(pytest.skip.Exception, match="needs root, but runs as user 1000"):
        need("root")


def test_an_old_python_may_be_missing_in_ci_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(ALL_TOOLS, "1")

    with pytest.raises(pytest.skip.Exception, match=r"needs python, version 3\.6"):
        python("3.6")


@pytest.mark.usefixtures("nothing_is_installed")
def test_a_tool_that_is_not_in_the_table_is_an_error() -> None:
    with pytest.raises(KeyError):
        need("no-such-tool")
