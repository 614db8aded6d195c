"""A run that is told to end: its reports are valid, and no process of it is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.served_cluster import ServedCluster
from tests.snapshots import healthy
from wirecheck.results.jsonl import read_results
from wirecheck.snapshot.folder import Snapshot

SECONDS = 60.0

HANGING_SSH = """#!/bin/sh
trap '' TERM INT
echo $$ > "$PIDS/$$"
sleep 1000 &
echo $! > "$PIDS/$!"
wait
"""


@pytest.fixture
def pids(tmp_path) -> Path:
    """Where each process that an ssh became has a file named by its number."""
    folder = tmp_path / "pids"
    folder.mkdir()
    return folder


@pytest.fixture
def run(server, kubeconfig, tmp_path, pids) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a program that visits n1 by an ssh that hangs, and that ignores being asked to end."""
    ServedCluster(server).serve(healthy())
    (tmp_path / "bin").mkdir()
    ssh = tmp_path / "bin" / "ssh"
    ssh.write_text(HANGING_SSH)
    ssh.chmod(0o755)
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text("nodes: [{name: n1, access: 'ssh://root@{address}'}]\n")
    options = (f"--inventory={inventory}", f"--kubeconfig={kubeconfig}", "--report-dir=reports")
    started = []

    def run(*program: str) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", *program, *options],
                cwd=tmp_path,
                env={
                    **os.environ,
                    "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
                    "HOME": str(tmp_path),
                    "PIDS": str(pids),
                },
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()
    for left in running(pids):
        os.kill(left, signal.SIGKILL)


def running(pids: Path) -> list[int]:
    """The processes that still run; a zombie does not."""
    found = []
    for file in pids.iterdir():
        stat = Path("/proc") / file.name / "stat"
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
            found.append(int(file.name))
    return found


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("program", ["wirecheck", "pytest"])
def test_it_reports_what_it_has_and_leaves_nothing_behind(run, pids, tmp_path, number, program):
    process = run("wirecheck", "run") if program == "wirecheck" else run("pytest")
    wait_for(lambda: len(running(pids)) == 2)

    process.send_signal(number)
    out, err = process.communicate(timeout=SECONDS)

    assert process.returncode == 2, err
    assert running(pids) == []
    assert "Traceback" not in out + err
    (folder,) = (tmp_path / "reports").iterdir()
    results = read_results(folder / "results.jsonl")
    assert results.ended.interrupted
    assert results.ended.status == 2
    visit = Snapshot.open(folder / "snapshot").index.looks[0].visits["n1"]
    assert "interrupted" in visit.reason
    assert ET.parse(folder / "junit.xml").getroot().tag == "testsuites"
    assert "</html>" in (folder / "report.html").read_text()
