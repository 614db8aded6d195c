"""Running other programs: bounded in time, ended together, failing with a sentence."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TAIL = 600
"""Characters of a program's last words that an error quotes."""


class TestbedError(Exception):
    """The test cluster cannot do what was asked: one sentence with cause and next step."""

    __test__ = False


class StoppedByUserError(TestbedError):
    """Somebody asked to stop: no further program is started."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What a program that ended left behind."""

    status: int
    stdout: str
    stderr: str


class _Children:
    """The programs that run now, so that a signal can end all of them at once.

    A signal handler uses it in the middle of anything: hence the lock that its own thread may
    take twice, and no exception from the handler.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._shielded = False
        self.stopped = False

    @contextmanager
    def start(self, argv: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        with self._lock:
            if self.stopped:
                raise StoppedByUserError("interrupted")
            try:
                child = subprocess.Popen(argv, start_new_session=True, **options)
            except OSError as error:
                raise TestbedError(f"cannot run {argv[0]}: {error.strerror}") from None
            self._running.add(child)
        try:
            if self.stopped:
                raise StoppedByUserError("interrupted")
            yield child
        finally:
            _end_group(child)
            with self._lock:
                self._running.discard(child)

    def stop(self) -> None:
        with self._lock:
            if self._shielded:
                return
            # Whoever asks twice does not want to wait.
            number = signal.SIGKILL if self.stopped else signal.SIGTERM
            self.stopped = True
            for child in self._running:
                _signal_group(child, number)

    def shield(self) -> None:
        with self._lock:
            self.stopped = False
            self._shielded = True


_children = _Children()


def stop_all() -> None:
    """End every program that runs now and start no further one; may be called by a signal."""
    _children.stop()


def shield() -> None:
    """From now on run every program to its end, whatever signals come: for cleaning up."""
    _children.shield()


def run(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    timeout: float = 60,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | None = None,
) -> str:
    """The standard output of a program that succeeds; TestbedError where it does not.

    With `log`, both its outputs go to that file (which is begun anew) and "" is returned.
    `env` is added to the environment; `timeout` is in seconds.
    """
    ended = attempt(argv, stdin=stdin, timeout=timeout, env=env, cwd=cwd, log=log)
    if ended.status == 0:
        return ended.stdout
    said = (ended.stderr or ended.stdout).strip()[-_TAIL:]
    where = f"; its log is {log}" if log else ""
    raise TestbedError(f"`{_shown(argv)}` ended with {ended.status}: {said}{where}")


def attempt(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    timeout: float = 60,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | None = None,
) -> Ended:
    """How a program ended, whatever its status; TestbedError only if it cannot run to its end."""
    everything = {**os.environ, **(env or {})}
    source = subprocess.DEVNULL if stdin is None else subprocess.PIPE
    given = None if stdin is None else stdin.encode()
    options: dict[str, Any] = {"stdin": source, "env": everything, "cwd": cwd}
    if log is None:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return _finish(argv, given, timeout, options)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as sink:
        ended = _finish(argv, given, timeout, options | {"stdout": sink, "stderr": sink})
    return Ended(ended.status, "", log.read_text(errors="replace")[-_TAIL:])


def _finish(
    argv: Sequence[str], given: bytes | None, timeout: float, options: Mapping[str, Any]
) -> Ended:
    with _children.start(argv, **options) as child:
        try:
            out, err = child.communicate(given, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise TestbedError(f"`{_shown(argv)}` took longer than {timeout:.0f} s") from None
    if _children.stopped:
        raise StoppedByUserError("interrupted")
    return Ended(child.returncode, _text(out), _text(err))


def _text(output: bytes | None) -> str:
    return (output or b"").decode(errors="replace")


def _shown(argv: Sequence[str]) -> str:
    line = shlex.join(argv)
    return line if len(line) <= 160 else line[:157] + "..."


def _signal_group(child: subprocess.Popen[bytes], number: int) -> None:
    if child.poll() is not None:
        return
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Make sure that the program and what it started has ended."""
    _signal_group(child, signal.SIGTERM)
    try:
        child.wait(timeout=10)
    except subprocess.TimeoutExpired:
        _signal_group(child, signal.SIGKILL)
        child.wait()
