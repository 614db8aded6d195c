"""All mutants of one draw: two at a time, within a time limit, resumed where it ended."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from testbed.mutants.draw import Mutant, diff_of
from testbed.mutants.pytest_run import StoppedError
from testbed.mutants.trial import Outcome, Result, Trial


@dataclass(frozen=True, slots=True)
class Log:
    """The results of a draw, one JSON document per line, in a file that only grows."""

    file: Path

    def read(self) -> list[Result]:
        """Return the results so far. A line that a killed run cut off does not count."""
        if not self.file.exists():
            return []
        content = self.file.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            self.file.write_bytes(whole)
        return [msgspec.json.decode(line, type=Result) for line in whole.splitlines()]

    def append(self, result: Result) -> None:
        """Add one result."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("ab") as file:
            file.write(msgspec.json.encode(result) + b"\n")


class Deadline:
    """The end of all work: a time, or somebody who asks to stop."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._asked = threading.Event()

    @property
    def left(self) -> float:
        """Seconds until then."""
        return max(0.0, self._end - time.monotonic())

    def stop(self) -> None:
        """End the work now."""
        self._asked.set()

    def is_over(self) -> bool:
        """Whether no further work may be done."""
        return self._asked.is_set() or self.left == 0


def still_killed(
    mutants: Sequence[Mutant],
    previous: Sequence[Result],
    sources: Mapping[str, str],
    tests: Collection[str],
) -> list[Result]:
    """Return the results of an earlier state that need not be repeated.

    The mutant is drawn again and is the same change in the same surroundings, and the test that
    killed it still passes on the original.
    """
    drawn = set(mutants)
    return [
        each
        for each in previous
        if each.outcome is Outcome.KILLED
        and each.killer in tests
        and each.mutant in drawn
        and each.diff == diff_of(each.mutant, sources[each.mutant.file])
    ]


def run_all(
    mutants: Sequence[Mutant],
    trials: Sequence[Trial],
    log: Log,
    deadline: Deadline,
    say: Callable[[Result, int], None],
) -> list[Result]:
    """Run every mutant that has no result yet, and return all results, in the order of the draw."""
    known = {each.mutant.id: each for each in log.read()}
    waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    for mutant in mutants:
        if mutant.id not in known:
            waiting.put(mutant)
    lock = threading.Lock()
    failures: list[BaseException] = []

    def work(trial: Trial) -> None:
        try:
            while not deadline.is_over():
                result = trial.run(waiting.get_nowait())
                with lock:
                    log.append(result)
                    known[result.mutant.id] = result
                    say(result, len(known))
        except (queue.Empty, StoppedError):
            return
        except BaseException as error:
            failures.append(error)
            deadline.stop()

    threads = [threading.Thread(target=work, args=(trial,)) for trial in trials]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        deadline.stop()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
    return [known[mutant.id] for mutant in mutants if mutant.id in known]
