"""Waiting for other threads in short waits, so that Ctrl-C is heeded at once.

Python runs a signal's handler between two instructions of the main thread. A signal that arrives
just before the thread waits for a lock is handled only when that wait ends.
"""

from __future__ import annotations

import math
import queue
import time
from collections.abc import Collection
from concurrent.futures import Future, wait
from typing import TypeVar

T = TypeVar("T")

ONE_WAIT = 0.5
"""Seconds of one wait."""


def next_of(parts: queue.Queue[T], until: float = math.inf) -> T:
    """Return the next part. Raises TimeoutError at `until` on the monotonic clock.

    What has arrived in time counts, however late it is fetched.
    """
    while True:
        left = until - time.monotonic()
        try:
            return parts.get(timeout=min(max(0.0, left), ONE_WAIT))
        except queue.Empty:
            if left <= 0:
                raise TimeoutError("the time limit has passed") from None


def results_of(futures: Collection[Future[T]]) -> list[T]:
    """Return the results in the order of the futures, once all of them have one."""
    while wait(futures, timeout=ONE_WAIT).not_done:
        pass
    return [future.result() for future in futures]
