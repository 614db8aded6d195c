"""Ctrl-C and SIGTERM at every stage of a run: whole results or a sentence, nothing by halves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.collect.conftest import Answer, ApiServer
from tests.served_cluster import ServedCluster
from tests.snapshots import healthy
from wirecheck.cli.demo import recorded
from wirecheck.results.jsonl import read_results
from wirecheck.results.records import Results
from wirecheck.snapshot.folder import Snapshot

SECONDS = 60.0
PODS = "/api/v1/pods"
NO_PATIENCE = (
    "import wirecheck.collect.api.connection as c; c.SILENCE_SECONDS = c.ANSWER_SECONDS = 1e4"
)
AGAIN = "import wirecheck.run.session as s; s.concerned = lambda *_: frozenset({'n1', ''})"

# Runs wirecheck, and stops for good at the call of a function, after saying so with a file.
DRIVER = """
import importlib, pathlib, signal, sys, time
# The tests may run below nohup, or in the background of a shell that ignores Ctrl-C there.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
spot, call, reached, more = sys.argv[1:5]
exec(more)
sleep = time.sleep
def stop(*_, **__):
    global calls
    calls += 1
    if calls < int(call):
        return original(*_, **__)
    pathlib.Path(reached).touch()
    while True:
        sleep(1000)
calls = 0
if spot:
    module, _, name = spot.partition(":")
    owner = importlib.import_module(module)
    *path, name = name.split(".")
    for each in path:
        owner = getattr(owner, each)
    original = getattr(owner, name)
    setattr(owner, name, stop)
from wirecheck.cli.main import main
main(sys.argv[5:])
"""


@dataclass
class Ended:
    """What an interrupted run left."""

    err: str
    reports: Path

    @property
    def folders(self) -> list[Path]:
        return sorted(each for each in self.reports.glob("*") if each.is_dir())

    @property
    def results(self) -> Results:
        """Of the folder with its final name, every report of which is whole."""
        (folder,) = self.folders
        assert not folder.name.startswith(".")
        assert ET.parse(folder / "junit.xml").getroot().tag == "testsuites"
        assert "</html>" in (folder / "report.html").read_text()
        return read_results(folder / "results.jsonl")


Interrupt = Callable[..., Ended]


@pytest.fixture
def interrupt(server: ApiServer, kubeconfig: Path, tmp_path: Path) -> Iterator[Interrupt]:
    """Run until the named place, or until `reached` says so, send the signal, and wait."""
    ServedCluster(server).serve(healthy())
    started: list[subprocess.Popen[str]] = []

    def interrupt(
        spot: str = "",
        *options: str,
        call: int = 1,
        more: str = "pass",
        reached: Callable[[], object] | None = None,
        number: signal.Signals = signal.SIGINT,
    ) -> Ended:
        marker = tmp_path / "reached"
        command = [sys.executable, "-c", DRIVER, spot, str(call), str(marker), more, "run"]
        command += [f"--kubeconfig={kubeconfig}", "--report-dir=reports", *options]
        (tmp_path / "empty").mkdir(exist_ok=True)
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, "PATH": str(tmp_path / "empty"), "HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        wait_for(reached or marker.exists, process)
        process.send_signal(number)
        out, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 2, err
        assert "Traceback" not in out + err
        reports = tmp_path / "reports"
        assert [each for each in reports.rglob("*.part") if not each.is_dir()] == []
        return Ended(err, reports)

    yield interrupt
    for process in started:
        process.kill()
        process.communicate()


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


def is_silent(server: ApiServer, number: int) -> Callable[[], bool]:
    """Let the server fall silent at the list of pods of that number, and tell whether it has."""

    def whole(request) -> Answer:
        return Answer(body=server.page(request))

    silence = Answer(body=b'{"items": [', stays=True)
    server.script(PODS, *[whole] * (number - 1), silence)
    return lambda: not server.scripted[PODS]


def test_while_the_api_is_listed(interrupt: Interrupt, server: ApiServer) -> None:
    ended = interrupt(more=NO_PATIENCE, reached=is_silent(server, 1))

    assert "Interrupted before anything could be reported." in ended.err
    assert ended.folders == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_while_it_is_found_out_what_changed(
    interrupt: Interrupt, server: ApiServer, number: signal.Signals
) -> None:
    ended = interrupt(more=NO_PATIENCE, reached=is_silent(server, 2), number=number)

    assert ended.results.ended.interrupted
    assert any("interrupted" in note for note in ended.results.started.notes)


def test_in_the_pause_before_the_second_look(interrupt: Interrupt) -> None:
    ended = interrupt("wirecheck.run.session:time.sleep", more=AGAIN)

    assert (ended.results.ended.interrupted, ended.results.ended.looks) == (True, 1)
    assert ended.results.items


def test_while_the_api_is_listed_for_the_second_look(
    interrupt: Interrupt, server: ApiServer
) -> None:
    more = f"{NO_PATIENCE}\n{AGAIN}"
    ended = interrupt("", "--round-intervals=0", more=more, reached=is_silent(server, 3))

    assert (ended.results.ended.interrupted, ended.results.ended.looks) == (True, 1)


def test_in_the_second_look(interrupt: Interrupt) -> None:
    ended = interrupt("wirecheck.run.round:visit_all", "--round-intervals=0", call=2, more=AGAIN)

    assert (ended.results.ended.interrupted, ended.results.ended.looks) == (True, 2)


@pytest.mark.parametrize("judging", ["Evaluation.node", "Evaluation.cluster"])
def test_while_it_judges(interrupt: Interrupt, judging: str) -> None:
    ended = interrupt(f"wirecheck.evaluation.evaluate:{judging}")

    assert ended.results.ended.interrupted
    assert "interrupted" in ended.results.ended.verdict.lower()


@pytest.mark.parametrize(
    "spot",
    [
        "wirecheck.run.session:results_of",
        "wirecheck.results.jsonl:render",
        "wirecheck.report.html:render",
    ],
)
def test_while_the_reports_are_made(interrupt: Interrupt, spot: str) -> None:
    ended = interrupt(spot)

    (folder,) = ended.folders
    assert folder.name.startswith(".")
    assert f"The snapshot up to then is in reports/{folder.name}" in ended.err
    assert len(Snapshot.open(folder / "snapshot").index.looks) == 1


def test_while_a_further_report_is_written(interrupt: Interrupt, tmp_path: Path) -> None:
    file = tmp_path / "more.jsonl"
    file.write_text("the report of yesterday\n")
    ended = interrupt("wirecheck.report.format:write_whole", "-o", f"jsonl={file}")

    (folder,) = ended.folders
    assert not ended.results.ended.interrupted
    assert f"reports/{folder.name}" in ended.err
    assert "before anything could be reported" not in ended.err
    assert file.read_text() == "the report of yesterday\n"


def test_while_a_snapshot_is_judged(interrupt: Interrupt, tmp_path: Path) -> None:
    snapshot = recorded("healthy")
    more = "sys.argv = [each for each in sys.argv if not each.startswith('--kubeconfig')]"
    ended = interrupt(
        "wirecheck.run.session:Evaluation.cluster", f"--snapshot={snapshot}", more=more
    )

    assert ended.results.ended.interrupted
    assert ended.results.items
