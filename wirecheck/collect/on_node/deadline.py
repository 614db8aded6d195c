"""The time limit of the visit, and the processes that have to end with it."""

import os
import signal
import time
from types import FrameType
from typing import Optional, Set

RAN_OUT = 71
GRACE = 3.0
"""Seconds in which a program that has reached its deadline still sends its document."""

_started: Set[int] = set()


class Deadline:
    """Each stage checks how much time is left; an alarm ends the program if a stage hangs."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        for each in (signal.SIGALRM, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
            signal.signal(each, give_up)
        signal.setitimer(signal.ITIMER_REAL, seconds + GRACE)

    def left(self) -> float:
        """Seconds until the end, never below zero."""
        return max(0.0, self._end - time.monotonic())


def kill_with_me(group: int) -> None:
    """Remember a process group, so that it does not outlive the program."""
    _started.add(group)


def kill(group: int) -> None:
    """End a process group that the program started."""
    _started.discard(group)
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass


def has_ended(group: int) -> None:
    """Forget a process group: the kernel may soon reuse its id."""
    _started.discard(group)


def give_up(_number: int = 0, _frame: Optional[FrameType] = None) -> None:
    """End the program at once, with everything that it started; a signal handler, too."""
    for group in list(_started):
        kill(group)
    os._exit(RAN_OUT)
