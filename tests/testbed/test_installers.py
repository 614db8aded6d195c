"""What the proof of the package asks of an installation, with programs that only print."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from testbed.installers import KREW, MAN_PAGE, Installed, problems
from testbed.state import SOURCE

WORKS = {
    "wirecheck": "#!/bin/sh\necho Healthy.\n",
    "kubectl": '#!/bin/sh\necho "Usage: kubectl wirecheck [OPTIONS]"\n',
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def installed(home: Path) -> Installed:
    programs = home / "bin"
    programs.mkdir()
    for name, text in WORKS.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (home / MAN_PAGE).parent.mkdir(parents=True)
    (home / MAN_PAGE).touch()
    return Installed("pipx", programs, home)


def test_an_installation_that_works(installed: Installed, home: Path) -> None:
    assert problems(installed, home) == []


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "wirecheck",
            "#!/bin/sh\necho broken >&2; exit 3\n",
            "wirecheck demo ended with 3: broken",
        ),
        ("wirecheck", "#!/bin/sh\necho Flaky.\n", "wirecheck demo ended with 0: Flaky."),
        ("kubectl", "#!/bin/sh\necho 'Usage: kubectl [flags]'\n", "kubectl wirecheck ended with 0"),
        ("kubectl", "#!/bin/sh\nexit 1\n", "kubectl wirecheck ended with 1"),
    ],
)
def test_a_program_that_does_not_work(
    installed: Installed, home: Path, name: str, text: str, said: str
) -> None:
    (installed.programs / name).write_text(text)

    (problem,) = problems(installed, home)

    assert problem.startswith(f"pipx: {said}")


def test_a_manual_page_that_is_missing(installed: Installed, home: Path) -> None:
    (home / MAN_PAGE).unlink()

    assert problems(installed, home) == [f"pipx: there is no {MAN_PAGE} in {home}"]


def test_krew_brings_the_plugin_alone(installed: Installed, home: Path) -> None:
    (installed.programs / "wirecheck").unlink()
    (home / MAN_PAGE).unlink()

    assert problems(replace(installed, only_plugin=True, pages=None), home) == []


def test_krew_is_built_from_a_release() -> None:
    module = (SOURCE / "components" / KREW.module / "go.mod").read_text()

    assert "require sigs.k8s.io/krew v" in module
    assert f"tool {KREW.package}\n" in module
