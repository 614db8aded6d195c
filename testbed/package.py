"""`python -m testbed.package`: the wheel alone, in an empty environment, is the whole tool."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import click

from testbed import installers
from testbed.commands import Ended, TestbedError, attempt, run
from testbed.proof import conclude
from testbed.state import state
from testbed.steps import step

PROJECT = Path(__file__).parents[1]
EXAMPLE = PROJECT / "examples/more-checks"
TYPED = """
from wirecheck.catalogue.registry import Check, load
from wirecheck.snapshot.folder import Snapshot

checks: tuple[Check, ...] = load()
wrong: int = Snapshot.open
"""
"""One error is in it: untyped packages give none, or another one."""


@click.command()
def main() -> None:
    """Build the wheel, install it into an empty environment, and use all of it there."""
    conclude(_prove, holds="the wheel is the whole tool", fails="the wheel is NOT the whole tool")


def _prove() -> list[str]:
    installers.need_kubectl()
    with tempfile.TemporaryDirectory(prefix="wirecheck-package-") as folder:
        return _wrong_with_the_wheel_in(Path(folder))


def _wrong_with_the_wheel_in(folder: Path) -> list[str]:
    with step("build"):
        pip = [sys.executable, "-m", "pip", "--quiet"]
        run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(PROJECT)], timeout=600)
        (wheel,) = folder.glob("*.whl")
        wrong = missing_or_foreign(wheel)
    place = Place(folder)
    with step("install"):
        place.install(str(wheel))
    with step("use"):
        wrong += _uses(place)
    with step("types"):
        wrong += _types(place)
    with step("checks of another package"):
        wrong += _other_checks(place)
    with step("pipx run"):
        place.install("pipx", "uv")
        ended = place.call("pipx", "run", "--spec", str(wheel), "wirecheck", "demo", "healthy")
        if ended.status:
            wrong.append(f"pipx run ended with {ended.status}: {ended.stderr[-300:]}")
    return wrong + _by_each_installer(place, wheel, folder)


def _by_each_installer(place: Place, wheel: Path, folder: Path) -> list[str]:
    """What does not work after pip, pipx, uv and krew; each has a home of its own."""
    programs = place.python.parent
    wrong = installers.problems(
        installers.Installed("pip", programs, programs.parent), folder / "home-pip"
    )
    with step("pipx install"):
        home = folder / "home-pipx"
        installed = installers.with_pipx(programs / "pipx", wheel, home)
        wrong += installers.problems(installed, home)
    with step("uv tool install"):
        home = folder / "home-uv"
        installed = installers.with_uv(programs / "uv", wheel, home)
        wrong += installers.problems(installed, home)
    with step("kubectl krew install"):
        home = folder / "home-krew"
        installed = installers.with_krew(state(), wheel, home)
        wrong += installers.problems(installed, home)
    return wrong


class Place:
    """An environment with nothing in it, and a working directory without a file."""

    def __init__(self, folder: Path) -> None:
        self.python = folder / "env/bin/python"
        self.work = folder / "work"
        self.work.mkdir()
        venv.create(folder / "env", with_pip=True, symlinks=True)
        self._environment = {
            "HOME": str(self.work),
            "PATH": f"{folder}/env/bin:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": "",
            "KUBECONFIG": "",
            "PIPX_HOME": str(folder / "pipx"),
        }

    def install(self, *what: str) -> None:
        """Install with the pip of the environment."""
        self.must("python", "-m", "pip", "install", "--quiet", *what)

    def call(self, program: str, *arguments: str) -> Ended:
        """Run one of its programs."""
        path = self.python.with_name(program)
        return attempt([str(path), *arguments], timeout=600, cwd=self.work, env=self._environment)

    def must(self, program: str, *arguments: str) -> str:
        """Its output; TestbedError where it fails."""
        ended = self.call(program, *arguments)
        if ended.status:
            said = (ended.stderr or ended.stdout)[-600:]
            raise TestbedError(f"{program} {' '.join(arguments)} ended with {ended.status}: {said}")
        return ended.stdout


def missing_or_foreign(wheel: Path) -> list[str]:
    """Return what the wheel lacks, and what it brings that does not belong there, as sentences."""
    names = zipfile.ZipFile(wheel).namelist()
    wanted = [
        "wirecheck/py.typed",
        "wirecheck/checks/pods.py",
        "wirecheck/checks/dns/answers.py",
        "wirecheck/snapshot/schema.json",
        "wirecheck/recorded/healthy/snapshot.json",
        "licenses/LICENSE",
        "share/man/man1/wirecheck-run.1",
    ]
    wrong = [f"the wheel lacks {each}" for each in wanted if not _has(names, each)]
    tops = {name.partition("/")[0] for name in names}
    ours = {each for each in tops if each.startswith("wirecheck-")}  # its metadata and man pages
    return wrong + [f"the wheel brings {top}" for top in sorted(tops - ours - {"wirecheck"})]


def _has(names: Sequence[str], wanted: str) -> bool:
    return any(name == wanted or name.endswith(f"/{wanted}") for name in names)


def _uses(place: Place) -> list[str]:
    wrong = []
    listed = json.loads(place.must("wirecheck", "list", "-o", "json"))
    if len(listed) < len(list((PROJECT / "checks").rglob("*.py"))):
        wrong.append(f"wirecheck list shows {len(listed)} checks")
    place.must("wirecheck", "explain", listed[0]["id"])
    place.must("wirecheck", "node-commands")
    for cluster in ("healthy", "broken"):
        place.must("wirecheck", "demo", cluster, "--report-dir", cluster)
    snapshot = f"--snapshot={_recorded(place)}"
    ended = place.call("wirecheck", "run", snapshot, "--report-dir", "again")
    if ended.status:
        wrong.append(f"wirecheck run ended with {ended.status}: {ended.stderr[-300:]}")
    listing = ("--collect-only", "-q", snapshot, "--pyargs", "wirecheck.checks")
    collected = place.must("pytest", *listing)
    for file in ("pods.py", "dns/answers.py"):
        if f"checks/{file}::" not in collected:
            wrong.append(f"pytest --pyargs wirecheck.checks collects nothing of {file}")
    return wrong


def _recorded(place: Place) -> str:
    """The folder of the healthy cluster that the package brings."""
    program = "from wirecheck.cli.demo import recorded; print(recorded('healthy'))"
    return place.must("python", "-c", program).strip()


def _types(place: Place) -> list[str]:
    """mypy sees the types: of two lines it objects to the one that is wrong."""
    file = place.work / "typed.py"
    file.write_text(TYPED)
    ended = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(place.python), file],
        capture_output=True,
        text=True,
        cwd=place.work,
        timeout=600,
        check=False,
    )
    errors = [line for line in ended.stdout.splitlines() if ": error:" in line]
    if len(errors) != 1 or "Incompatible types in assignment" not in errors[0]:
        return [f"mypy says of the installed package: {ended.stdout[-400:]}"]
    return []


def _other_checks(place: Place) -> list[str]:
    place.install(str(EXAMPLE))
    identity = "house_rules.nodes_have_a_zone"
    listed = json.loads(place.must("wirecheck", "list", "-o", "json"))
    if identity not in {each["id"] for each in listed}:
        return [f"wirecheck list lacks {identity} of {EXAMPLE.name}"]
    ended = place.call("wirecheck", "run", f"--snapshot={_recorded(place)}", "--check", identity)
    if ended.status:
        return [f"{identity} ended with {ended.status}: {ended.stdout[-300:]}"]
    return []


if __name__ == "__main__":
    main()
