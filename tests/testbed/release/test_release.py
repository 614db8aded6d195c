"""A release of a small repository: what is refused, what is built, and of which files."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from testbed.commands import TestbedError
from testbed.release import __main__ as command
from testbed.release.artefacts import Artefacts, not_reproduced, write_sums
from testbed.release.building import Job
from testbed.release.source import export, read_published, read_source

DIGEST = "debian:trixie-slim@sha256:" + 64 * "a"
FILES = {
    "publishing.toml": (
        'placeholders = true\nrepository = "https://git.example/o/wirecheck"\n'
        'image = "registry.example/wirecheck"\nbase_image = "debian:trixie-slim"\n'
    ),
    "pyproject.toml": '[project]\nname = "wirecheck"\nversion = "0.2.0"\n',
    "wirecheck/__init__.py": '"""One line."""\n\n__version__ = "0.2.0"\n',
    "CHANGELOG.md": "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-11-30\n",
}
REAL = {
    "placeholders = true": "placeholders = false",
    '"debian:trixie-slim"': f'"{DIGEST}"',
}


def git(repository: Path, *words: str) -> str:
    names = ("-c", "user.name=A", "-c", "user.email=a@a.test", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", "-C", str(repository), *names, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(folder.parent, "init", "--quiet", str(folder))
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "One")
    return folder


@pytest.fixture
def publishable(repository: Path) -> Path:
    path = repository / "publishing.toml"
    text = path.read_text()
    for old, new in REAL.items():
        text = text.replace(old, new)
    path.write_text(text)
    git(repository, "commit", "--quiet", "--all", "--message", "Two")
    git(repository, "tag", "v0.2.0")
    return repository


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Job, Path]]:
    """The jobs that would be built: building takes minutes and a registry."""
    found: list[tuple[Job, Path]] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(command, "build_all", lambda job, folder: found.append((job, folder)))
    monkeypatch.setattr(command, "tools", lambda _: tmp_path)
    monkeypatch.setattr(command, "docker_answers", lambda: True)
    return found


pytestmark = pytest.mark.needs("git")


def test_a_tag_a_clean_tree_real_names_and_a_digest_are_built(
    publishable: Path, built: list[tuple[Job, Path]]
) -> None:
    folder = command.release(publishable, rehearse=False, base_image=None, without_image=False)

    ((job, target),) = built
    assert (job.version, job.base, job.rehearsal) == ("0.2.0", DIGEST, False)
    assert target == folder
    assert folder.name == job.source.commit[:12]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda path: (path / "README.md").write_text("new"), "README.md"),
        (lambda path: (path / "CHANGELOG.md").write_text("changed"), "CHANGELOG.md"),
        (lambda path: git(path, "tag", "--delete", "v0.2.0"), "exactly one tag"),
        (lambda path: git(path, "commit", "--allow-empty", "-qm", "Three"), "exactly one tag"),
    ],
    ids=["an untracked file", "a changed file", "no tag", "a commit after the tag"],
)
def test_each_reason_ends_a_release_before_anything_is_built(
    publishable: Path, built: list[tuple[Job, Path]], change, reason: str
) -> None:
    change(publishable)

    with pytest.raises(TestbedError, match=reason):
        command.release(publishable, rehearse=False, base_image=None, without_image=False)
    assert built == []


def test_placeholders_and_a_tag_as_base_are_refused_together(
    repository: Path, built: list[tuple[Job, Path]]
) -> None:
    git(repository, "tag", "v0.2.0")

    with pytest.raises(TestbedError) as raised:
        command.release(repository, rehearse=False, base_image=None, without_image=False)

    assert "placeholders" in str(raised.value)
    assert "debian:trixie-slim is not named by its digest" in str(raised.value)
    assert built == []


def test_a_release_with_an_image_needs_docker(
    publishable: Path, built: list[tuple[Job, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "docker_answers", lambda: False)

    with pytest.raises(TestbedError, match="--without-image"):
        command.release(publishable, rehearse=False, base_image=None, without_image=False)
    command.release(publishable, rehearse=False, base_image=None, without_image=True)

    assert [job.base for job, _ in built] == [None]


def test_a_commit_with_a_chart_needs_helm(
    publishable: Path,
    built: list[tuple[Job, Path]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(command, "helm", lambda _: None)
    command.release(publishable, rehearse=False, base_image=None, without_image=True)
    chart = publishable / "deploy/chart/Chart.yaml"
    chart.parent.mkdir(parents=True)
    chart.write_text("name: wirecheck\n")
    git(publishable, "add", ".")
    git(publishable, "commit", "--quiet", "--amend", "--no-edit")
    git(publishable, "tag", "--force", "v0.2.0")

    with pytest.raises(TestbedError, match="helm is not installed"):
        command.release(publishable, rehearse=False, base_image=None, without_image=True)
    command.release(publishable, rehearse=True, base_image=None, without_image=True)
    monkeypatch.setattr(command, "helm", lambda _: "/usr/bin/helm")
    command.release(publishable, rehearse=False, base_image=None, without_image=True)

    assert [job.helm for job, _ in built] == [None, None, "/usr/bin/helm"]


def test_helm_may_be_the_one_that_the_test_cluster_has_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert command.helm(tmp_path) is None

    (tmp_path / "helm").write_text("#!/bin/sh\n")
    (tmp_path / "helm").chmod(0o755)
    assert command.helm(tmp_path) == str(tmp_path / "helm")


def test_a_rehearsal_builds_and_reports_what_a_release_would_refuse(
    repository: Path, built: list[tuple[Job, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "README.md").write_text("new")
    monkeypatch.setattr(command, "PROJECT", repository)

    ended = CliRunner().invoke(command.main, ["--rehearse"])

    assert ended.exit_code == 0, ended.output
    reported = [line for line in ended.output.splitlines() if "would be refused" in line]
    assert len(reported) == 4
    ((job, folder),) = built
    assert (job.version, job.base, job.rehearsal) == ("0.2.0", "debian:trixie-slim", True)
    assert folder.name == "rehearsal"


def test_a_refusal_ends_the_command_with_its_reasons(
    repository: Path, built: list[tuple[Job, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "PROJECT", repository)

    ended = CliRunner().invoke(command.main, [])

    assert ended.exit_code == 1
    assert "nothing is released" in ended.output
    assert built == []


def test_only_files_of_the_commit_are_released(repository: Path, tmp_path: Path) -> None:
    (repository / "secret.pem").write_text("key")
    (repository / "CHANGELOG.md").write_text("changed")
    tree = tmp_path / "tree"
    export(repository, read_source(repository).commit, tree)

    files = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    assert files == set(FILES)
    assert read_published(tree).changelog == ("Unreleased", "0.2.0")


def test_a_folder_that_is_not_a_checkout_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match="git"):
        read_source(tmp_path)


def test_every_file_has_its_checksum(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"2")
    (tmp_path / "a").write_bytes(b"1")
    write_sums(tmp_path)
    # Of a file that is there already, nothing of its old content counts.
    text = write_sums(tmp_path).read_text()

    expected = [f"{hashlib.sha256(data).hexdigest()}  {name}" for data, name in
                ((b"1", "a"), (b"2", "b"))]  # fmt: skip
    assert text.splitlines() == expected


def test_a_build_with_other_bytes_is_reported(tmp_path: Path) -> None:
    first, again = (Artefacts(tmp_path / name, "0.2.0") for name in ("first", "again"))
    for made in (first, again):
        made.folder.mkdir()
        made.wheel.write_bytes(b"same")
        made.sdist.write_bytes(b"same")
    assert not_reproduced(first, again) == []

    again.sdist.write_bytes(b"other")
    assert not_reproduced(first, again) == [
        "wirecheck-0.2.0.tar.gz has other bytes when it is built again"
    ]
