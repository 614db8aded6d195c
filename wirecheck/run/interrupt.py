"""SIGTERM and SIGHUP are handled like Ctrl-C: the run reports what it has seen so far."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ending_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt, and restore the handlers afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread receives signals
        return
    # nohup ignores SIGHUP, so it stays ignored.
    heeded = [each for each in ENDING if signal.getsignal(each) != signal.SIG_IGN]
    before = {each: signal.signal(each, _interrupt) for each in heeded}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
