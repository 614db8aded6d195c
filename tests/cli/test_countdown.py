"""The pause before a further round: a countdown on a terminal, one line elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from wirecheck.cli import countdown
from wirecheck.cli.console import ConsoleProgress
from wirecheck.cli.countdown import count_down
from wirecheck.run.progress import CountsDown, Silence


@pytest.fixture
def clock(monkeypatch):
    """A clock that only sleeping moves on."""
    now = [100.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(countdown.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(countdown.time, "sleep", sleep)
    return now


def test_a_terminal_shows_the_seconds_that_are_left(clock, monkeypatch):
    shown: list[str] = []
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    status = console.status("")
    monkeypatch.setattr(status, "update", lambda text: shown.append(str(text)))
    monkeypatch.setattr(console, "status", lambda _: status)

    count_down(console, 2.5, "Possibly transient; checking 1 node again")

    assert shown == [f"Possibly transient; checking 1 node again in {n} s" for n in (3, 2, 1)]
    assert clock[0] == 102.5


def test_elsewhere_the_session_says_it_in_one_line():
    progress = ConsoleProgress()

    assert isinstance(progress, CountsDown)
    assert progress.counts_down(5.0, "why") is False
    assert not isinstance(Silence(), CountsDown)
