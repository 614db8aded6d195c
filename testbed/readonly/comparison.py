"""What differs between two states of the nodes; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

State = Mapping[str, Mapping[str, str]]
"""Of one node: section → what → value."""

Place = tuple[str, str, str]
"""Node, section, what."""


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """One thing on one node that is not as it was; empty where it is not there."""

    node: str
    section: str
    what: str
    was: str
    is_now: str

    @property
    def place(self) -> Place:
        return self.node, self.section, self.what

    def __str__(self) -> str:
        if not self.was:
            return f"{self.node}: {self.section}: new: {self.what} ({self.is_now})"
        if not self.is_now:
            return f"{self.node}: {self.section}: gone: {self.what} ({self.was})"
        return f"{self.node}: {self.section}: {self.what}: was {self.was}, is {self.is_now}"


def differences(before: Mapping[str, State], after: Mapping[str, State]) -> frozenset[Difference]:
    """Everything that was added, is gone or has changed."""
    return frozenset(
        Difference(node, section, what, was, is_now)
        for node in {*before, *after}
        for section in {*before.get(node, {}), *after.get(node, {})}
        for what, was, is_now in _entries(
            before.get(node, {}).get(section, {}), after.get(node, {}).get(section, {})
        )
        if was != is_now
    )


def is_of_an_exec(difference: Difference) -> bool:
    """Whether the container runtime does so itself for any command that is run in a pod.

    containerd keeps the ends of its pipes in folders of its own; runc hands over what is to be
    run in a file of /tmp that it removes at once, by which the folder's time alone changes.
    """
    if difference.section != "files":
        return False
    return difference.what.startswith("/run/containerd/") or difference.what == "/tmp/."


def _entries(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for what in {*before, *after}:
        yield what, _told(before.get(what)), _told(after.get(what))


def _told(value: str | None) -> str:
    return "" if value is None else value.strip()[:200] or "empty"


def sizes(states: Mapping[str, State]) -> Iterator[str]:
    """How much was compared, a line for each node."""
    for node, state in sorted(states.items()):
        counts = ", ".join(f"{len(entries):,} {name}" for name, entries in sorted(state.items()))
        yield f"{node}: {counts}"
