"""The time limit of the visit, and the processes that have to end with it."""

import os
import signal
import time
from contextlib import contextmanager
from types import FrameType
from typing import Iterator, Optional, Set

RAN_OUT = 71
GRACE = 3.0
"""Seconds after the deadline in which a stage ends by itself."""
INTERVAL = 1.0
"""Seconds until the alarm rings again: the code that it interrupts may ignore it once."""
MOST_ALARMS = 5

_started: Set[int] = set()
_starting = False
_gives_up = False


class HungError(BaseException):
    """The alarm rang during a stage. No stage may take it for an error of its own."""


class Deadline:
    """Each stage checks how much time is left; an alarm ends a stage that hangs."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._alarms = 0
        self.has_stage = False
        """Whether a stage runs, which the alarm ends; otherwise it has no effect."""
        for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
            signal.signal(each, give_up)
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, seconds + GRACE, INTERVAL)

    def left(self) -> float:
        """Seconds until the end, never below zero."""
        return max(0.0, self._end - time.monotonic())

    def _ring(self, _number: int = 0, _frame: Optional[FrameType] = None) -> None:
        if self.has_stage:
            self._alarms += 1
            if _starting and self._alarms == 1:
                return
            if self._alarms > MOST_ALARMS:
                give_up()
            raise HungError


@contextmanager
def starting() -> Iterator[None]:
    """A process is started and remembered: a signal in between takes effect afterwards.

    Otherwise the process would outlive the program.
    """
    global _starting  # noqa: PLW0603 - a signal handler has no other place
    _starting = True
    try:
        yield
    finally:
        _starting = False
        if _gives_up:
            give_up()


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


def kill_all() -> None:
    """End everything that the program started."""
    for group in list(_started):
        kill(group)


def has_ended(group: int) -> None:
    """Forget a process group: the kernel may soon reuse its id."""
    _started.discard(group)


def give_up(_number: int = 0, _frame: Optional[FrameType] = None) -> None:
    """End the program at once, with everything that it started; a signal handler, too."""
    global _gives_up  # noqa: PLW0603 - a signal handler has no other place
    _gives_up = True
    if _starting:
        return
    kill_all()
    os._exit(RAN_OUT)
