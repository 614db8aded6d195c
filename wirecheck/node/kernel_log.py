"""Events in a node's kernel log: lines of one pattern, summarised."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from wirecheck.catalogue.findings import Since
from wirecheck.parse.kernel_log import PATTERNS, pattern_of
from wirecheck.snapshot.node_document import KernelLine


@dataclass(frozen=True)
class LogEvent:
    """The lines of one pattern, by the last of them."""

    pattern: str
    text: str
    when: str
    times: int
    age_minutes: float
    since: Since

    def __str__(self) -> str:
        """The last line, its time and the number of lines of the pattern."""
        return f"{self.text!r} at {self.when}, {self.times} times in the log"


def genuine(lines: Iterable[KernelLine]) -> Iterator[KernelLine]:
    """Yield the lines that are messages of the kernel about the network.

    Older versions of the node program matched words anywhere in a line. They can be the name of a
    process: `NETDEV WATCHDOG[4242]: segfault at 0`.
    """
    for line in lines:
        found = pattern_of(line.text)
        if found and (line.pattern == found or line.pattern not in PATTERNS):
            yield line


def log_events(lines: Iterable[KernelLine], now: float) -> Iterator[LogEvent]:
    """Yield one event for each pattern. `now` is the time of the visit by the node's clock."""
    by_pattern: dict[str, list[KernelLine]] = {}
    for line in lines:
        by_pattern.setdefault(line.pattern, []).append(line)
    for pattern, found in sorted(by_pattern.items()):
        last = max(found, key=lambda line: line.time)
        yield LogEvent(
            pattern=pattern,
            text=last.text,
            when=datetime.fromtimestamp(last.time, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            times=len(found),
            age_minutes=(now - last.time) / 60,
            since=Since(min(line.time for line in found), "the first such line in the kernel log"),
        )
