"""Runs a local process with a time limit, and ends it with everything that it started."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL to a process group."""

MOST_ERROR_BYTES = 64 << 10
"""Of standard error: only a failure is read from it, so half of each end is enough."""

SLICE = 0.25
"""Seconds between checks whether the wait was called off."""


class OutOfTimeError(Exception):
    """The process was ended because its time limit had passed."""


class CalledOffError(Exception):
    """The process was ended because nobody waits for it any more."""


class TooMuchOutputError(Exception):
    """The process was ended because its output exceeded the bound."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a process ended."""

    status: int
    stdout: bytes
    stderr: bytes
    """At most MOST_ERROR_BYTES: the beginning and the end of a longer output."""


def run_bounded(
    argv: Sequence[str | bytes],
    *,
    seconds: float,
    most_bytes: int,
    called_off: threading.Event,
    has_lifeline: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Finished:
    """Run `argv` to its end, with `environment` beside what is set here, which it may replace.

    With a lifeline the process gets one line, and its standard input stays open until this
    program stops waiting or is killed. Without one its standard input is empty.

    Raises OutOfTimeError, TooMuchOutputError or CalledOffError after ending it, and OSError
    if it cannot be started.
    """
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE if has_lifeline else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Its messages are matched by patterns, so they must be English.
        env={**os.environ, "LC_ALL": "C", **(environment or {})},
        start_new_session=True,
    )
    try:
        if process.stdin:
            with contextlib.suppress(BrokenPipeError):
                os.write(process.stdin.fileno(), b"\n")
        return _collected(process, time.monotonic() + seconds, most_bytes, called_off)
    except BaseException:
        _end_group(process)
        raise
    finally:
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()


def _collected(
    process: subprocess.Popen[bytes], end: float, most_bytes: int, called_off: threading.Event
) -> Finished:
    assert process.stdout
    assert process.stderr
    output: list[bytes] = []
    errors = b""
    size = 0
    with selectors.DefaultSelector() as selector:
        for pipe in (process.stdout, process.stderr):
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            if called_off.is_set():
                raise CalledOffError
            left = end - time.monotonic()
            if left <= 0:
                raise OutOfTimeError
            # Polled before the pipes are read, so that the last output is not missed.
            is_over = process.poll() is not None
            ready = selector.select(min(SLICE, left))
            for key, _ in ready:
                part = os.read(key.fd, 1 << 18)
                if not part:
                    selector.unregister(key.fileobj)
                if key.fileobj is process.stdout:
                    output.append(part)
                else:
                    errors = _both_ends(errors + part)
                size += len(part)
                if size > most_bytes:
                    raise TooMuchOutputError
            # A shared ssh connection outlives its first user and may keep the pipes open.
            if not ready and is_over:
                break
    return Finished(_status(process, end), b"".join(output), errors)


def _both_ends(errors: bytes) -> bytes:
    half = MOST_ERROR_BYTES // 2
    return errors if len(errors) <= MOST_ERROR_BYTES else errors[:half] + errors[-half:]


def _status(process: subprocess.Popen[bytes], end: float) -> int:
    try:
        return process.wait(max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise OutOfTimeError from None


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM first, so that the processes can clean up; then SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
