"""A run's folder is its owner's alone; a collector of another uid reads it if it is admitted."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.needs import need
from tests.snapshots import healthy, written
from wirecheck.cli.main import main
from wirecheck.run.report_mode import read_mode

COLLECTOR = 54321


def folder_of_a_run(tmp_path: Path, *words: str) -> Path:
    snapshot = written(tmp_path / "seen", healthy())
    reports = tmp_path / "reports"
    with pytest.raises(SystemExit):
        main(["run", "--snapshot", str(snapshot), "--report-dir", str(reports), *words])
    (folder,) = (each for each in reports.iterdir() if each.is_dir())
    return folder


def modes(folder: Path) -> tuple[set[int], set[int]]:
    """The modes of all folders, and of all files."""
    found: tuple[set[int], set[int]] = (set(), set())
    for each in (folder, *folder.rglob("*")):
        found[each.is_file()].add(stat.S_IMODE(each.stat().st_mode))
    return found


def can_read(folder: Path, uid: int, gid: int) -> bool:
    """Whether a process of this user can read every file below the folder."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            for each in sorted(folder.rglob("*")):
                if each.is_file():
                    each.read_bytes()
            status = 0 if any(folder.iterdir()) else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_report_is_private(tmp_path: Path) -> None:
    assert modes(folder_of_a_run(tmp_path)) == ({0o700}, {0o600})


def test_a_snapshot_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        snapshot = written(tmp_path / "new" / "seen", healthy())
    finally:
        os.umask(before)
    assert modes(snapshot) == ({0o700}, {0o600})


def test_a_named_file_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        folder_of_a_run(tmp_path, "-o", f"junit={tmp_path}/out.xml")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.xml").stat().st_mode) == 0o640


def test_a_collector_of_the_group_is_admitted(tmp_path: Path) -> None:
    """As the CronJob does: --report-mode=0750, and readers have the group of the volume."""
    folder = folder_of_a_run(tmp_path, "--report-mode", "0750")
    assert modes(folder) == ({0o750}, {0o640})


@pytest.mark.parametrize("has_snapshot", [True, False], ids=["a snapshot", "results only"])
def test_a_merged_report_admits_the_same_readers(tmp_path: Path, has_snapshot: bool) -> None:
    """As the Indexed Job does; its shards, which are removed, stay private."""
    folder = folder_of_a_run(tmp_path)
    part = tmp_path / "seen" if has_snapshot else folder
    merged = tmp_path / "merged"
    with pytest.raises(SystemExit):
        main(["merge", str(part), "--report-dir", str(merged), "--report-mode", "0750"])
    (report,) = (each for each in merged.iterdir() if each.is_dir())

    assert modes(report) == ({0o750}, {0o640})
    assert modes(folder) == ({0o700}, {0o600})


@pytest.mark.parametrize(
    ("mode", "in_group", "admitted"),
    [("0700", True, False), ("0750", True, True), ("0750", False, False), ("0755", False, True)],
)
def test_a_reader_of_another_uid(tmp_path: Path, mode: str, in_group: bool, admitted: bool) -> None:
    need("root")
    folder = folder_of_a_run(tmp_path, "--report-mode", mode)
    for each in (folder, *folder.rglob("*")):
        os.chown(each, 65532, 65532)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    gid = 65532 if in_group else COLLECTOR
    assert can_read(folder, COLLECTOR, gid) is admitted


def test_what_sonobuoy_collects_can_be_read_by_its_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker has another uid, and no group in common: the files follow the umask."""
    before = os.umask(0o022)
    try:
        place = tmp_path / "results"
        folder_of_a_run(tmp_path, "-o", f"sonobuoy={place}")
    finally:
        os.umask(before)
    found = {each.name: stat.S_IMODE(each.stat().st_mode) for each in place.iterdir()}
    assert found == {"done": 0o644, "sonobuoy_results.yaml": 0o644}


@pytest.mark.parametrize("text", ["", "0600", "1777", "07", "888", "rwx", "0o750", "7" * 1000])
def test_a_mode_that_locks_the_owner_out_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="octal"):
        read_mode(text)
