"""Which Python versions the tests run on, and what is said about the others."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from testbed import matrix
from testbed.matrix import VERSIONS, Outcome, Result, find_interpreter, results

ROOT = Path(__file__).parents[2]
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without any Python."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    (tmp_path / "bin").mkdir()
    return tmp_path


def put(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)
    return path


def test_a_version_without_an_interpreter_is_skipped_with_the_reason_unless_it_is_required():
    passing = results(
        VERSIONS, lambda v: Path(v) if v == "3.12" else None, lambda *_: (True, "1 s")
    )
    reason = "on PATH, in pyenv or in uv"

    assert list(passing) == [
        Result("3.11", Outcome.MISSING, f"no Python 3.11 {reason}"),
        Result("3.12", Outcome.PASSED, "1 s"),
        Result("3.13", Outcome.SKIPPED, f"no Python 3.13 {reason}"),
        Result("3.14", Outcome.SKIPPED, f"no Python 3.14 {reason}"),
    ]


def test_a_version_whose_tests_fail_has_failed():
    (result,) = results(["3.12"], Path, lambda *_: (False, "2 failed"))

    assert result == Result("3.12", Outcome.FAILED, "2 failed")


def test_an_interpreter_is_found_on_the_path_in_pyenv_and_in_uv(nowhere: Path):
    assert find_interpreter(HERE) is None

    said = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
    asked = put(nowhere / "bin/uv", f"#!/bin/sh\necho {nowhere}/by-uv/python\n")
    by_uv = put(nowhere / "by-uv/python", said)
    assert find_interpreter(HERE) == by_uv
    asked.unlink()

    in_pyenv = put(nowhere / f"pyenv/versions/{HERE}.1/bin/python{HERE}", said)
    assert find_interpreter(HERE) == in_pyenv

    on_path = put(nowhere / f"bin/python{HERE}", said)
    assert find_interpreter(HERE) == on_path


@pytest.mark.parametrize(
    "script",
    ["#!/bin/sh\necho 'pyenv: command not found' >&2; exit 127\n", "#!/bin/sh\necho 3.9\n"],
)
def test_a_program_of_the_right_name_that_is_not_that_version_does_not_count(
    nowhere: Path, script: str
):
    put(nowhere / f"bin/python{HERE}", script)

    assert find_interpreter(HERE) is None


def test_the_required_version_is_the_oldest_that_the_package_admits():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project["requires-python"] == f">={matrix.REQUIRED}"
    assert VERSIONS[0] == matrix.REQUIRED
