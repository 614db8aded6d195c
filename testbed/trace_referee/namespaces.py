"""The network namespaces of a world, entered by the thread that sends and reads."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from testbed.trace_referee.world import World

NEW_NETWORK = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Netns:
    """A network namespace of a world."""

    node: str
    pod: str
    """Empty for the node's own."""
    file: int = field(compare=False)

    @property
    def label(self) -> str:
        """As a trace names it."""
        return f"pod world/{self.pod}" if self.pod else "the node"

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """The thread is in this netns during the block, and so are processes that it starts."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(self.file)
            yield
        finally:
            _enter(own)
            os.close(own)


def _enter(file: int) -> None:
    if LIBC.setns(file, NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "A network namespace of the world cannot be entered")


@contextlib.contextmanager
def opened(worlds: Iterable[World], further: Iterable[str] = ()) -> Iterator[tuple[Netns, ...]]:
    """The netns of nodes and their pods, and further ones by name, during the block."""
    found: list[Netns] = []
    try:
        for world in worlds:
            own = Path("/proc", str(world.pid))
            paths = {"": own / "ns/net"}
            names = (*(each.name for each in world.placed.pods), *further)
            paths |= {name: own / "root/run/netns" / name for name in names}
            for pod, path in paths.items():
                file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                found.append(Netns(world.placed.name, pod, file))
        yield tuple(found)
    finally:
        for each in found:
            os.close(each.file)
