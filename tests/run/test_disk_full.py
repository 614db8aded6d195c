"""A disk that is full costs what was to be on it, and one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.needs import lacking, need
from tests.served_cluster import ServedCluster
from tests.snapshots import healthy
from wirecheck.cli.demo import recorded
from wirecheck.results.jsonl import read_results

PAGE = 4096
SNAPSHOT = recorded("healthy")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    need("root", "mount")
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)], check=False
    )
    if made.returncode:
        lacking("mount", "and no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def leave(disk: Path, room: int) -> None:
    """Fill it but for so many bytes."""
    filler = disk / "filler"
    filler.write_bytes(b"")
    free = os.statvfs(disk).f_bavail * PAGE
    with filler.open("wb") as file:
        file.write(b"\0" * (free - room))


def wirecheck(*arguments: str, **streams: object) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [sys.executable, "-m", "wirecheck", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PATH": "/nowhere"},
        **{"stdout": subprocess.PIPE, **streams},  # type: ignore[call-overload]
    )
    assert "Traceback" not in ended.stderr + (ended.stdout or "")
    assert "itself failed" not in ended.stderr
    return ended


def last_sentence(ended: subprocess.CompletedProcess[str]) -> str:
    return ended.stderr.splitlines()[-1]


def test_no_room_for_the_folder_of_a_replay(small_disk: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.jsonl"
    leave(small_disk, 0)

    ended = wirecheck("demo", "healthy", "--report-dir", str(small_disk))
    assert "No space left on device; name another folder with --report-dir." in ended.stderr
    assert ended.returncode == 4

    ended = wirecheck(
        *("run", "--snapshot", str(SNAPSHOT), "--report-dir", str(small_disk / "reports")),
        *("-o", f"jsonl={elsewhere}"),
    )
    assert ended.returncode == 4
    assert "name another folder with --report-dir" in last_sentence(ended)
    assert [each.name for each in small_disk.iterdir() if each.name != "filler"] in (
        [],
        ["reports"],
    )


def test_no_room_for_the_page_keeps_what_goes_elsewhere(small_disk: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.jsonl"
    leave(small_disk, 12 * PAGE)

    ended = wirecheck(
        *("run", "--snapshot", str(SNAPSHOT), "--report-dir", str(small_disk / "reports")),
        *("-o", f"jsonl={elsewhere}"),
    )

    assert ended.returncode == 4
    assert "No space left on device" in last_sentence(ended)
    assert read_results(elsewhere).ended.verdict in ended.stdout
    assert list((small_disk / "reports").iterdir()) == []


def test_no_room_for_a_further_report(small_disk: Path, tmp_path: Path) -> None:
    further = small_disk / "further.html"
    further.write_text("the page of yesterday")
    leave(small_disk, PAGE)

    ended = wirecheck(
        *("run", "--snapshot", str(SNAPSHOT), "--report-dir", str(tmp_path / "reports")),
        *("-o", f"html={further}", "-o", f"junit={tmp_path / 'further.xml'}"),
    )

    assert ended.returncode == 0
    assert f"The html report was not written: No space left on device: {further}" in ended.stderr
    assert further.read_text() == "the page of yesterday"
    assert (tmp_path / "further.xml").exists()
    (folder,) = (tmp_path / "reports").glob("2*")
    assert (folder / "report.html").exists()


def test_no_room_for_what_a_live_run_sees(small_disk: Path, server, kubeconfig) -> None:
    ServedCluster(server).serve(healthy())
    leave(small_disk, 0)

    ended = wirecheck("run", f"--kubeconfig={kubeconfig}", "--report-dir", str(small_disk / "r"))

    assert ended.returncode in (2, 4)
    assert "No space left on device" in last_sentence(ended)


def test_no_room_for_the_screen(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ended = wirecheck("demo", "healthy", "--report-dir", str(tmp_path), stdout=full)

    assert "Standard output cannot be written to: No space left on device; the reports are" in (
        ended.stderr
    )
    (folder,) = tmp_path.glob("2*")
    assert (folder / "report.html").exists()
