from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.ended_processes import goes_away, is_gone
from wirecheck.collect.transport.bounded_process import (
    SLICE,
    CalledOffError,
    Finished,
    OutOfTimeError,
    TooMuchOutputError,
    run_bounded,
)


def run(
    line: str, *, seconds: float = 60, most: int = 1 << 20, off: threading.Event | None = None
) -> Finished:
    return run_bounded(
        ["/bin/sh", "-c", line],
        seconds=seconds,
        most_bytes=most,
        called_off=off or threading.Event(),
    )


def test_raw_output_and_status() -> None:
    assert run(r"printf '\377\000'; echo no >&2; exit 3") == Finished(3, b"\xff\x00", b"no\n")


def test_what_is_written_just_before_the_end_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take this process off the processor between any two of its steps."""
    poll = subprocess.Popen.poll

    def late(process: subprocess.Popen[bytes]) -> int | None:
        time.sleep(2 * SLICE)
        return poll(process)

    monkeypatch.setattr(subprocess.Popen, "poll", late)

    assert run(f"sleep {1.5 * SLICE}; echo the document").stdout == b"the document\n"


def test_standard_input_is_empty() -> None:
    assert run("cat").stdout == b""


def test_the_whole_group_ends_at_the_limit(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    line = f"trap '' TERM; sleep 1000 & echo $! >> {pids}; echo $$ >> {pids}; wait; sleep 1000"

    with pytest.raises(OutOfTimeError):
        run(line, seconds=1)

    assert all(goes_away(int(pid)) for pid in pids.read_text().split())


def test_it_may_tidy_up_before_it_ends(tmp_path: Path) -> None:
    line = f"trap 'touch {tmp_path}/tidy; exit' TERM; sleep 1000 & wait"

    with pytest.raises(OutOfTimeError):
        run(line, seconds=1)

    assert (tmp_path / "tidy").exists()


def test_a_process_that_closed_its_output_has_the_same_limit() -> None:
    with pytest.raises(OutOfTimeError):
        run("exec >&- 2>&-; exec sleep 1000", seconds=1)


def test_output_has_a_bound() -> None:
    with pytest.raises(TooMuchOutputError):
        run("yes", most=100_000)


@pytest.mark.needs("setsid")
def test_nobody_waits_for_what_is_left_behind(tmp_path: Path) -> None:
    # As a shared ssh connection does: it keeps the pipes of its first user open.
    finished = run(f"setsid sleep 300 & echo $! > {tmp_path}/pid; echo done")

    assert finished.stdout == b"done\n"
    pid = int((tmp_path / "pid").read_text())
    assert not is_gone(pid)
    os.kill(pid, signal.SIGKILL)


def test_can_be_called_off() -> None:
    off = threading.Event()
    threading.Timer(0.3, off.set).start()

    with pytest.raises(CalledOffError):
        run("sleep 1000", off=off)


def test_a_lifeline_is_one_line_and_stays_open(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    finished = run_bounded(
        ["/bin/sh", "-c", f"read line; echo got; (cat; touch {ended}) >/dev/null 2>&1 & exit 0"],
        seconds=60,
        most_bytes=1 << 20,
        called_off=threading.Event(),
        has_lifeline=True,
    )

    assert finished == Finished(0, b"got\n", b"")
    deadline = time.monotonic() + 30
    while not ended.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
