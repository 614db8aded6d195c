"""What runs in an agent pod, as far as that shows without one; the test cluster shows the rest."""

from __future__ import annotations

import subprocess
import sys

import pytest

from wirecheck.collect.node_program import (
    NOT_LET_IN,
    OTHER_PROGRAM,
    agent_command_line,
    digest,
)

PLAN = b'{"program": "x", "deadline": 1}'


def agent(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wirecheck.collect.pods.agent", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_request_carries_the_plan_and_no_program() -> None:
    line = agent_command_line(PLAN)

    assert line.startswith(f"wirecheck-agent visit {digest()} ")
    assert len(line) < 120


def test_another_program_than_the_images_is_refused() -> None:
    assert agent("visit", "0" * 16, "").returncode == OTHER_PROGRAM


@pytest.mark.needs("root")
def test_whoever_is_not_in_the_nodes_pid_namespace_is_not_let_in() -> None:
    """Here, as in a pod without hostPID, process 1 is in the mount namespace of the agent."""
    plan = agent_command_line(PLAN).split()[-1]
    ended = agent("visit", digest(), plan)

    assert ended.returncode == NOT_LET_IN
    assert "hostPID" in ended.stderr or "/proc/1/ns" in ended.stderr


def test_it_waits_no_longer_than_it_should() -> None:
    assert agent("wait", "0.1").returncode == 0


def test_what_it_is_not_asked_for_it_says() -> None:
    assert "usage" in agent("dig").stderr
