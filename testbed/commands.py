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

_TAIL = 600
"""Characters of a program's last words that an error quotes."""


class TestbedError(Exception):
    """The test cluster cannot do what was asked: one sentence with cause and next step."""

    __test__ = False


class InterruptedByUser(TestbedError):
    """Somebody asked to stop: no further program is started."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What a program that ended left behind."""

    status: int
    stdout: str
    stderr: str


class _Children:
    """The programs that run now, so that a signal can end all of them at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    @contextmanager
    def start(
        self, argv: Sequence[str], **options: object
    ) -> Iterator[subprocess.Popen[bytes]]:
        with self._lock:
            if self._stopped:
                raise InterruptedByUser("interrupted")
            try:
                child = subprocess.Popen(argv, start_new_session=True, **options)  # type: ignore[call-overload]
            except OSError as error:
                raise TestbedError(f"cannot run {argv[0]}: {error.strerror}") from None
            self._running.add(child)
        try:
            yield child
        finally:
            _end_group(child)
            with self._lock:
                self._running.discard(child)

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            for child in self._running:
                _signal_group(child, signal.SIGTERM)

    def allow(self) -> None:
        with self._lock:
            self._stopped = False


_children = _Children()


def stop_all() -> None:
    """End every program that runs now, and start no further one until `resume`."""
    _children.stop()


def resume() -> None:
    """Allow programs to be started again, after `stop_all`."""
    _children.allow()


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
    if log is None:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return _finish(argv, given, timeout, stdin=source, env=everything, cwd=cwd, **options)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as sink:
        options = {"stdout": sink, "stderr": subprocess.STDOUT}  # type: ignore[dict-item]
        ended = _finish(argv, given, timeout, stdin=source, env=everything, cwd=cwd, **options)
    return Ended(ended.status, "", log.read_text(errors="replace")[-_TAIL:])


def _finish(
    argv: Sequence[str], given: bytes | None, timeout: float, **options: object
) -> Ended:
    with _children.start(argv, **options) as child:
        try:
            out, err = child.communicate(given, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise TestbedError(f"`{_shown(argv)}` took longer than {timeout:.0f} s") from None
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
