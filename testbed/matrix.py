"""`python -m testbed.matrix`: run the tests on every supported Python that this machine has.

Each version has an environment of its own in the cache. 3.11 is required; the others are skipped,
with the reason, where no interpreter is found.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import click

from testbed.commands import TestbedError, attempt

ROOT = Path(__file__).parents[1]
REQUIRED = "3.11"
VERSIONS = (REQUIRED, "3.12", "3.13", "3.14")
EVERYTHING = ("tests", "-n", "2", "--dist", "worksteal")


class Outcome(Enum):
    """What became of one version."""

    PASSED = "passed"
    FAILED = "FAILED"
    SKIPPED = "skipped"
    MISSING = "MISSING"


@dataclass(frozen=True, slots=True)
class Result:
    """One version's outcome, and what there is to say about it."""

    version: str
    outcome: Outcome
    detail: str


Find = Callable[[str], Path | None]
Try = Callable[[str, Path], tuple[bool, str]]


def results(versions: Sequence[str], find: Find, run_tests: Try) -> Iterator[Result]:
    """Yield the result of each version, in order."""
    for version in versions:
        interpreter = find(version)
        if interpreter is None:
            outcome = Outcome.MISSING if version == REQUIRED else Outcome.SKIPPED
            yield Result(version, outcome, f"no Python {version} on PATH, in pyenv or in uv")
            continue
        passed, detail = run_tests(version, interpreter)
        yield Result(version, Outcome.PASSED if passed else Outcome.FAILED, detail)


def find_interpreter(version: str) -> Path | None:
    """Return an interpreter of that version, or None.

    A program of the right name proves nothing: pyenv puts one on PATH for each version that it
    has, and most of them end with an error.
    """
    return next((each for each in _candidates(version) if _is_version(each, version)), None)


def _candidates(version: str) -> Iterator[Path]:
    name = f"python{version}"
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if (path := Path(folder) / name).is_file():
            yield path
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(root.glob(f"versions/{version}.*/bin/{name}"), reverse=True)
    try:
        found = attempt(["uv", "python", "find", "--no-python-downloads", version])
    except TestbedError:
        return
    if found.status == 0:
        yield Path(found.stdout.strip())


def _is_version(path: Path, version: str) -> bool:
    program = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    try:
        ended = attempt([str(path), "-c", program])
    except TestbedError:
        return False
    return ended.status == 0 and ended.stdout.strip() == version


def environment(version: str, interpreter: Path) -> Path:
    """Return the Python of the version's own environment, which is set up where it is missing."""
    place = _cache() / f"{version}-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:10]}"
    python = place / "bin/python"
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    stamp = place / ".installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for words in (
        [str(interpreter), "-m", "venv", str(place)],
        [*pip, "--upgrade", "pip>=25.1"],
        [*pip, "--editable", str(ROOT), "--group", f"{ROOT / 'pyproject.toml'}:dev"],
    ):
        ended = attempt(words, timeout=1800)
        if ended.status:
            raise TestbedError(f"Python {version}: {ended.stderr.strip()[-600:]}")
    stamp.write_text(wanted)
    return python


def _cache() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "wirecheck/matrix"


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--python", "versions", multiple=True, type=click.Choice(VERSIONS), help="Only this.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def main(versions: tuple[str, ...], arguments: tuple[str, ...]) -> None:
    """Run pytest with ARGUMENTS (all tests by default) on every supported Python."""

    def run_tests(version: str, interpreter: Path) -> tuple[bool, str]:
        click.echo(f"=== Python {version}: {interpreter}")
        began = time.monotonic()
        try:
            python = environment(version, interpreter)
        except TestbedError as error:
            return False, str(error)
        words = [str(python), "-m", "pytest", *(arguments or EVERYTHING)]
        status = subprocess.run(words, cwd=ROOT, check=False).returncode
        return status == 0, f"{time.monotonic() - began:.0f} s, pytest ended with {status}"

    found = list(results(versions or VERSIONS, find_interpreter, run_tests))
    for each in found:
        click.echo(f"Python {each.version}: {each.outcome.value} ({each.detail})")
    sys.exit(any(each.outcome in (Outcome.FAILED, Outcome.MISSING) for each in found))


if __name__ == "__main__":
    main()
