"""A place of its own for each referee that runs on this machine: addresses, names, a folder."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed.commands import TestbedError, run
from testbed.layout import Range
from testbed.state import State

SLOTS = 8
BRIDGES = "wcr"
RANGES = ("10.213.251.0/24", "172.30.251.0/24", "192.168.251.0/24")
"""Where the API servers listen: the first that nothing on this machine uses."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One of the places; everything in it is named by its number."""

    number: int
    folder: Path
    range: Range

    @property
    def bridge(self) -> str:
        return f"{BRIDGES}{self.number}"

    @property
    def link(self) -> str:
        """This machine's end of the cable into the node's netns."""
        return f"wcr{self.number}n"

    @property
    def netns(self) -> str:
        return f"wc-referee-{self.number}"

    @property
    def address(self) -> str:
        """Where the API server listens."""
        return str(self.range[16 * self.number + 1])

    @property
    def node_address(self) -> str:
        """Where the node's netns is reached from here."""
        return str(self.range[16 * self.number + 2])

    def pid_file(self, name: str) -> Path:
        return self.folder / f"{name}.pid"


@contextmanager
def free_slot(here: State) -> Iterator[Slot]:
    """A slot that nobody else uses as long as the context lasts."""
    for number in range(SLOTS):
        folder = here.root / "referee" / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield Slot(number, folder, _unused_range())
            return
    raise TestbedError(f"{SLOTS} referees run already: wait for one of them to end")


def _unused_range() -> Range:
    """The same for all slots: what the others use of it does not count."""
    routes = json.loads(run(["ip", "-json", "-4", "route", "show"]) or "[]")
    used = [
        Range(route["dst"], strict=False)
        for route in routes
        if route["dst"] != "default" and not route.get("dev", "").startswith(BRIDGES)
    ]
    for text in RANGES:
        if not any(each.overlaps(Range(text)) for each in used):
            return Range(text)
    raise TestbedError(f"all of {', '.join(RANGES)} are in use: name another in slot.py")
