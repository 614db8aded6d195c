"""Runs work in a child process with a time limit.

Opening a file may never return, as on a FUSE mount that does not respond. Then the child is
killed, and the visit continues.
"""

import json
import os
import select
import signal
import time
from typing import Any, Callable, List, Tuple

from wirecheck.collect.on_node.deadline import kill, kill_with_me, starting
from wirecheck.collect.on_node.regular_file import RefusedError

MOST_BYTES = 64 << 20
LONGEST = 1000
MOST_MEMBERS = 20000

Send = Callable[[Any], None]


def results(work: Callable[[Send], None], pause: float, end: float) -> Tuple[List[Any], bool]:
    """What `work` sends from a child process, and whether it came to its end.

    The child is killed if it sends nothing for `pause` seconds, at the time `end`, and if it sends
    more than MOST_BYTES.
    """
    reader, writer = os.pipe()
    with starting():
        child = os.fork()
        if child:
            os.setpgid(child, child)
            kill_with_me(child)
    if child == 0:
        os.close(reader)
        _be_child(work, writer)
    os.close(writer)
    poll = select.poll()  # select() refuses descriptors above 1,023
    poll.register(reader, select.POLLIN)
    parts = []
    left = MOST_BYTES
    is_over = False
    while left > 0 and not is_over:
        seconds = min(pause, end - time.monotonic())
        if not poll.poll(max(0.0, seconds * 1000)):
            break
        parts.append(os.read(reader, 1 << 16))
        left -= len(parts[-1])
        is_over = not parts[-1]
    os.close(reader)
    kill(child)
    # In uninterruptible sleep it does not react to signals.
    os.waitpid(child, 0 if is_over else os.WNOHANG)
    lines = b"".join(parts).split(b"\n")[:-1]
    return [json.loads(line.decode("ascii")) for line in lines], is_over


def result(work: Callable[[], Any], seconds: float) -> Any:
    """What `work` returns, with long texts and lists cut. Raises RefusedError if it failed."""

    def send_result(send: Send) -> None:
        try:
            send({"result": cut(work())})
        except Exception as error:
            why = str(error) if isinstance(error, RefusedError) else repr(error)
            send({"error": cut(why)})

    found, _ = results(send_result, seconds, time.monotonic() + seconds)
    if not found:
        raise RefusedError("no answer within %.0f s" % seconds)
    if "error" in found[0]:
        raise RefusedError(found[0]["error"])
    return found[0]["result"]


def cut(value: Any) -> Any:
    """The value with long texts, lists and maps cut: files can contain anything."""
    if isinstance(value, str):
        return value if len(value) <= LONGEST else value[: LONGEST - 1] + "\u2026"
    if isinstance(value, list):
        return [cut(each) for each in value[:MOST_MEMBERS]]
    if isinstance(value, dict):
        return {cut(key): cut(value[key]) for key in list(value)[:MOST_MEMBERS]}
    return value


def _be_child(work: Callable[[Send], None], writer: int) -> None:
    def send(value: Any) -> None:
        data = (json.dumps(value) + "\n").encode("ascii")
        while data:
            data = data[os.write(writer, data) :]

    try:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        work(send)
    finally:
        os._exit(0)
