"""What a report directory loses: folders of killed runs, and reports that are too old."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from wirecheck.cli.demo import CLUSTERS, recorded
from wirecheck.cli.main import wirecheck
from wirecheck.run.report_folder import ReportFolder
from wirecheck.run.report_retention import hold, prune, remove_abandoned

ENOUGH = 1_764_000_000.0
HOLDS = """
import sys
from pathlib import Path
from wirecheck.run.report_folder import ReportFolder
folder = ReportFolder.create(Path(sys.argv[1]), 1764000000.0)
(folder.snapshot / "look-1").mkdir(parents=True)
print(folder.part.name, flush=True)
sys.stdin.read()
"""


@contextmanager
def a_run(parent: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """Another process whose run goes on, and the folder that it fills."""
    words = [sys.executable, "-c", HOLDS, str(parent)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        yield parent / process.stdout.readline().strip(), process
        process.kill()


def test_the_folder_of_a_killed_run_goes_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    with a_run(tmp_path) as (living, _), a_run(tmp_path) as (left, killed):
        killed.send_signal(signal.SIGKILL)
        killed.wait()

        assert remove_abandoned(tmp_path) == [left]

        assert living.is_dir()
        assert not left.exists()


def test_the_next_run_removes_it(tmp_path: Path) -> None:
    with a_run(tmp_path) as (left, killed):
        killed.send_signal(signal.SIGKILL)
        killed.wait()

        folder = ReportFolder.create(tmp_path, ENOUGH + 60)

    assert not left.exists()
    assert folder.part.is_dir()
    folder.abandon()


def test_clean_removes_it_though_no_cluster_answers(tmp_path: Path) -> None:
    with a_run(tmp_path) as (left, killed):
        killed.send_signal(signal.SIGKILL)
        killed.wait()

        done = CliRunner().invoke(
            wirecheck, ["clean", "--report-dir", str(tmp_path), "--kubeconfig", "/nowhere"]
        )

    assert f"removed {left}\n" in done.output
    assert not left.exists()


def test_what_only_looks_like_one_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / ".2026-11-23T00-00-00Z.part").symlink_to(target)
    (tmp_path / ".notes.part").write_text("mine")

    assert remove_abandoned(tmp_path) == []
    assert target.is_dir()


def test_a_folder_that_went_before_it_was_held(tmp_path: Path) -> None:
    assert hold(tmp_path / "gone") is None


def reports(parent: Path, *names: str) -> None:
    for name in names:
        (parent / name / "snapshot").mkdir(parents=True)


def names(parent: Path) -> list[str]:
    return sorted(each.name for each in parent.iterdir())


HOURS = [f"2026-11-23T{hour:02}-17-00Z" for hour in range(12)]


def test_the_newest_stay(tmp_path: Path) -> None:
    reports(tmp_path, *HOURS)

    prune(tmp_path, 3)

    assert names(tmp_path) == HOURS[-3:]


def test_of_runs_within_a_second_the_later_number_is_newer(tmp_path: Path) -> None:
    within = [HOURS[0], *(f"{HOURS[0]}-{number}" for number in range(2, 12))]
    reports(tmp_path, *within)

    prune(tmp_path, 2)

    assert names(tmp_path) == [f"{HOURS[0]}-10", f"{HOURS[0]}-11"]


def test_what_was_given_up_is_counted_apart(tmp_path: Path) -> None:
    given_up = [f".{name}.kept" for name in HOURS]
    reports(tmp_path, *HOURS[:2], *given_up)

    prune(tmp_path, 2)

    assert names(tmp_path) == [*given_up[-2:], *HOURS[:2]]


def test_nothing_but_reports_goes(tmp_path: Path) -> None:
    others = ["2026-11-23", "baseline", "history.jsonl", f"{HOURS[0]}.old", "shares"]
    reports(tmp_path, *others)
    elsewhere = tmp_path / "elsewhere"
    reports(elsewhere, "snapshot")
    (tmp_path / HOURS[0]).symlink_to(elsewhere)

    prune(tmp_path, 0)

    assert names(tmp_path) == sorted([*others, "elsewhere", HOURS[0]])


@pytest.mark.parametrize("part", ["", "results.jsonl", "snapshot/snapshot.json"])
def test_the_baseline_stays(tmp_path: Path, part: str) -> None:
    reports(tmp_path, *HOURS)

    prune(tmp_path, 1, tmp_path / HOURS[0] / part)

    assert names(tmp_path) == [HOURS[0], HOURS[-1]]


def test_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    prune(tmp_path / "none", 1)

    assert remove_abandoned(tmp_path / "none") == []


def test_a_run_keeps_as_many_as_it_was_told(tmp_path: Path) -> None:
    reports(tmp_path, *HOURS)
    snapshot = recorded(CLUSTERS[0])
    words = ["run", "--snapshot", str(snapshot), "--report-dir", str(tmp_path), "--keep", "4"]

    done = CliRunner().invoke(wirecheck, words)

    assert done.exception is None, done.output
    assert names(tmp_path)[:3] == HOURS[-3:]
    assert len(names(tmp_path)) == 4
