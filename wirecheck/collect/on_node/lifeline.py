"""Ends the program when its standard input closes, because then nobody waits for its document.

Neither `docker exec` nor ssh without a terminal ends the remote command when it ends itself.
"""

import fcntl
import os
import select
import signal
import stat
from types import FrameType
from typing import Optional

from wirecheck.collect.on_node.deadline import give_up

_INPUT = 0
_holds = False


def hold_on() -> None:
    """From now on, end the program as soon as its standard input reaches its end.

    This applies only after a byte has arrived: without a lifeline, standard input may be
    anything, and is usually at its end already.
    """
    mode = os.fstat(_INPUT).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return
    signal.signal(signal.SIGIO, _check)
    fcntl.fcntl(_INPUT, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(_INPUT, fcntl.F_SETFL, fcntl.fcntl(_INPUT, fcntl.F_GETFL) | os.O_ASYNC)
    _check()


def _check(_number: int = 0, _frame: Optional[FrameType] = None) -> None:
    global _holds  # noqa: PLW0603 - a signal handler has no other place
    poll = select.poll()
    poll.register(_INPUT, select.POLLIN)
    while poll.poll(0):
        if os.read(_INPUT, 64):
            _holds = True
            continue
        if _holds:
            give_up()
        return
