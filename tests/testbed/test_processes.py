import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import processes

WORDS = ("wc-test", "mark")


@pytest.fixture
def foreign() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "wc-test"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def ours() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", *WORDS])
    # Between fork and exec it still has its parent's arguments.
    limit = time.monotonic() + 60
    while not processes.is_ours(process.pid, WORDS) and time.monotonic() < limit:
        time.sleep(0.01)
    yield process
    process.kill()
    process.wait()


def test_a_foreign_process_is_left_alone(tmp_path: Path, foreign: subprocess.Popen[bytes]) -> None:
    pid_file = tmp_path / "pid"
    pid_file.write_text(str(foreign.pid))
    processes.end(pid_file, WORDS)
    assert foreign.poll() is None
    assert not pid_file.exists()


def test_our_process_is_known_by_all_its_words(ours: subprocess.Popen[bytes]) -> None:
    assert processes.is_ours(ours.pid, WORDS)
    assert not processes.is_ours(ours.pid, (*WORDS, "other"))
    assert not processes.is_ours(ours.pid, ("mar",))


def test_no_process_is_ours_without_words() -> None:
    assert not processes.is_ours(os.getpid(), ())


def test_our_process_is_ended(tmp_path: Path, ours: subprocess.Popen[bytes]) -> None:
    pid_file = tmp_path / "pid"
    pid_file.write_text(f"{ours.pid}\n")
    processes.end(pid_file, WORDS)
    assert ours.wait(timeout=60) != 0
    assert not pid_file.exists()


@pytest.mark.parametrize("text", ["", "x", "0", "1", "-1", "4194305"])
def test_a_useless_pid_file_names_no_process(tmp_path: Path, text: str) -> None:
    pid_file = tmp_path / "pid"
    pid_file.write_text(text)
    assert processes.recorded(pid_file, WORDS) is None
    processes.end(pid_file, WORDS)
    assert not pid_file.exists()


def test_no_pid_file_means_no_process(tmp_path: Path) -> None:
    assert processes.recorded(tmp_path / "pid", WORDS) is None
