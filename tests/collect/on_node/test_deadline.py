"""A signal ends the program together with what it started, whenever it arrives."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.ended_processes import goes_away
from wirecheck.collect.on_node.deadline import RAN_OUT

START = """
import os, signal, subprocess, sys
from wirecheck.collect.on_node import deadline

ends = deadline.Deadline(60.0)
ends.has_stage = True
with deadline.starting():
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    print(child.pid, flush=True)
    os.kill(os.getpid(), signal.{signal})
    deadline.kill_with_me(child.pid)
{after}
print("still here", flush=True)
"""
RINGS_AGAIN = """
try:
    os.kill(os.getpid(), signal.SIGALRM)
except deadline.HungError:
    deadline.kill_all()
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT", "SIGPIPE"])
def test_a_process_that_is_being_started_ends_with_the_program(name: str) -> None:
    script = START.format(signal=name, after="")
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, timeout=60, check=False
    )

    assert done.returncode == RAN_OUT
    (pid,) = done.stdout.split()
    assert goes_away(int(pid))


def test_the_alarm_waits_until_the_process_can_be_ended() -> None:
    script = START.format(signal="SIGALRM", after=RINGS_AGAIN)
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout.split()[1:]) == (0, ["still", "here"])
    pid = int(done.stdout.split()[0])
    assert goes_away(pid)
