"""A signal that arrives before a wait begins is handled soon after."""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Future

import pytest

from wirecheck.collect import interruptible
from wirecheck.collect.interruptible import next_of, results_of


def test_what_has_arrived_counts_even_after_the_time():
    parts: queue.Queue[str] = queue.Queue()
    parts.put("late")

    assert next_of(parts, time.monotonic() - 1) == "late"
    with pytest.raises(TimeoutError, match="the time limit has passed"):
        next_of(parts, time.monotonic() - 1)


def test_it_waits_until_the_time_and_no_longer(monkeypatch):
    monkeypatch.setattr(interruptible, "ONE_WAIT", 0.01)
    until = time.monotonic() + 0.05

    with pytest.raises(TimeoutError):
        next_of(queue.Queue(), until)

    assert time.monotonic() >= until


def test_no_wait_is_long(monkeypatch):
    asked: list[float] = []
    parts: queue.Queue[str] = queue.Queue()

    def get(*, timeout: float) -> str:
        asked.append(timeout)
        if len(asked) < 3:
            raise queue.Empty
        return "here"

    monkeypatch.setattr(parts, "get", get)

    assert next_of(parts) == "here"
    assert asked == [interruptible.ONE_WAIT] * 3


def test_results_are_awaited_in_short_waits_and_keep_their_order(monkeypatch):
    monkeypatch.setattr(interruptible, "ONE_WAIT", 0.01)
    first: Future[int] = Future()
    second: Future[int] = Future()
    second.set_result(2)
    threading.Timer(0.1, first.set_result, [1]).start()

    assert results_of([first, second]) == [1, 2]


def test_an_exception_is_raised_where_the_result_is_taken():
    failed: Future[int] = Future()
    failed.set_exception(ValueError("refused"))

    with pytest.raises(ValueError, match="refused"):
        results_of([failed])
