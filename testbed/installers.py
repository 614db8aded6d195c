"""The ways to install the wheel that docs/installing.md names, each in a home of its own.

Of every one the same is asked: `wirecheck` runs, kubectl finds its plugin, man finds the pages.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed import krew
from testbed.commands import Ended, TestbedError, attempt, run
from testbed.components import Component, build
from testbed.release.lock import OF_IMAGE
from testbed.state import State

KREW = Component("krew", "krew", "sigs.k8s.io/krew/cmd/krew")
MACHINES = {machine: each for each, machine in krew.MACHINES.items()}
"""krew's names of architectures, by the kernel's."""

SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MAN_PAGE = "share/man/man1/wirecheck-run.1"
LIMIT = 900.0


@dataclass(frozen=True, slots=True)
class Installed:
    """Where an installer has put the programs, and where its manual pages are if man finds them."""

    installer: str
    programs: Path
    pages: Path | None = None
    only_plugin: bool = False


def with_pipx(program: Path, wheel: Path, home: Path) -> Installed:
    """Install with pipx, which links the manual pages as well."""
    local = home / ".local"
    _install([str(program), "install", "--python", sys.executable, str(wheel)], home)
    return Installed("pipx", local / "bin", local)


def with_uv(program: Path, wheel: Path, home: Path) -> Installed:
    """Install with uv, which keeps the manual pages in the tool's environment."""
    _install([str(program), "tool", "install", "--python", sys.executable, str(wheel)], home)
    return Installed("uv", home / ".local/bin", home / ".local/share/uv/tools/wirecheck")


def with_krew(here: State, wheel: Path, home: Path) -> Installed:
    """Install the archive for this machine by its manifest, with a real krew."""
    program = build(KREW, here)
    home.mkdir()
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    machine = MACHINES[platform.machine()]
    archive = krew.archive(wheel, OF_IMAGE, machine, home / "archives", pythons=[python])
    manifest = home / "archives/wirecheck.yaml"
    # The archive of another machine is named, too, but not read.
    manifest.write_text(krew.manifest(dict.fromkeys(krew.MACHINES, archive)))
    words = [str(program), "install", f"--manifest={manifest}", f"--archive={archive}"]
    _install(words, home)
    return Installed("krew", home / ".krew/bin", only_plugin=True)


def _install(words: Sequence[str], home: Path) -> None:
    run(list(words), timeout=LIMIT, env=_environment(home, None), cwd=home.parent)


def problems(installed: Installed, home: Path) -> list[str]:
    """What does not work of what was installed, as sentences."""
    wrong = []
    environment = _environment(home, installed.programs)

    def call(*words: str) -> Ended:
        return attempt(list(words), timeout=LIMIT, env=environment, cwd=home)

    if not installed.only_plugin:
        wrong += _unexpected(call("wirecheck", "demo", "healthy"), "Healthy", "wirecheck demo")
    wrong += _unexpected(
        call("kubectl", "wirecheck", "--help"), "Usage: kubectl wirecheck ", "kubectl wirecheck"
    )
    if installed.pages and not (installed.pages / MAN_PAGE).exists():
        wrong.append(f"there is no {MAN_PAGE} in {installed.pages}")
    return [f"{installed.installer}: {each}" for each in wrong]


def _unexpected(ended: Ended, wanted: str, command: str) -> list[str]:
    if ended.status == 0 and wanted in ended.stdout:
        return []
    return [f"{command} ended with {ended.status}: {(ended.stderr or ended.stdout)[-300:]}"]


def _environment(home: Path, programs: Path | None) -> Mapping[str, str]:
    """No variable of whoever runs this chooses other folders or another cluster."""
    home.mkdir(exist_ok=True)
    folders = [str(programs)] if programs else []
    return {
        "HOME": str(home),
        # python3 is the one that the archive for krew was made for.
        "PATH": ":".join([*folders, str(_python3(home)), SYSTEM]),
        "KREW_ROOT": str(home / ".krew"),
        "PIPX_HOME": str(home / ".local/pipx"),
        "PIPX_BIN_DIR": str(home / ".local/bin"),
        "PIPX_MAN_DIR": str(home / ".local/share/man"),
        "UV_TOOL_DIR": str(home / ".local/share/uv/tools"),
        "UV_TOOL_BIN_DIR": str(home / ".local/bin"),
        "UV_CACHE_DIR": str(home / ".cache/uv"),
        "KUBECONFIG": "",
        "PYTHONPATH": "",
    }


def _python3(home: Path) -> Path:
    folder = home / "python"
    folder.mkdir(exist_ok=True)
    link = folder / "python3"
    if not link.is_symlink():
        link.symlink_to(os.path.realpath(sys.executable))
    return folder


def need_kubectl() -> None:
    """TestbedError unless kubectl is on the system's PATH."""
    if shutil.which("kubectl", path=SYSTEM) is None:
        raise TestbedError(
            "there is no `kubectl` to try the plugin with: install kubernetes-client"
        )
