"""One packet and its answer: every socket of a world is in this process, so nothing is waited for
but the kernel.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from testbed.trace_referee.namespaces import Netns
from testbed.trace_referee.neighbour_table import NeighbourTable
from testbed.trace_referee.taps import Sighting, Tap

PORTS = (8080, 9090)
FIRST_PORT = 40_000
"""Of the senders' ports: each packet has its own, so that no connection is known before."""
RESETS = struct.pack("ii", 1, 0)
"""SO_LINGER: what is closed leaves no packets on their way."""
IP_PKTINFO = 8
"""Absent from `socket` before Python 3.14."""
FLUSH = Path("/proc/sys/net/ipv4/route/flush")


@dataclass(frozen=True)
class Packet:
    """What is sent."""

    netns: Netns
    address: str
    port: int
    protocol: str = "tcp"
    size: int = 1
    """Of the payload in bytes: only datagrams have one."""

    @property
    def family(self) -> int:
        return 6 if ":" in self.address else 4


@dataclass(frozen=True)
class Arrival:
    """How a packet came to a socket."""

    netns: Netns
    source: str
    source_port: int
    address: str
    port: int


@dataclass(frozen=True)
class Observed:
    """What became of a packet."""

    is_made: bool
    """Whether the answer came back."""
    arrivals: frozenset[Arrival]
    seen: frozenset[Sighting]
    source_port: int


class Exchange:
    """The sockets of all netns of a world."""

    def __init__(self, every: Sequence[Netns]) -> None:
        self.every = every
        self._taps = [Tap(each) for each in every]
        self.neighbours = {each: NeighbourTable(each) for each in every}
        self._selector = selectors.DefaultSelector()
        self._next = FIRST_PORT
        self._arrivals: set[Arrival] = set()
        self._accepted: list[socket.socket] = []
        for each in every:
            self._listen(each)

    def close(self) -> None:
        """Close every socket: an open one keeps its netns."""
        for key in [*self._selector.get_map().values()]:
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()
        for each in self._taps:
            each.socket.close()
        for table in self.neighbours.values():
            table.close()

    def forget(self) -> None:
        """Forget what earlier packets have taught: neighbours, and the MTU of paths."""
        for each in self.every:
            self.neighbours[each].forget()
            with each.entered():
                FLUSH.write_text("0")

    def observed(self, sent: Packet, limit: float) -> Observed:
        """What becomes of the packet within so many seconds."""
        self._next += 1
        own = self._next
        self._arrivals.clear()
        self._sightings(0)
        is_made = self._is_made(sent, own, limit)
        self._serve(0)
        for each in self._accepted:  # A reset before would look like a refusal.
            each.close()
        self._accepted.clear()
        found = frozenset(each for each in self._arrivals if each.source_port == own)
        return Observed(is_made, found, self._sightings(own), own)

    def _sightings(self, port: int) -> frozenset[Sighting]:
        return frozenset(found for each in self._taps for found in each.sightings(port))

    def _is_made(self, sent: Packet, port: int, limit: float) -> bool:
        kind = socket.SOCK_STREAM if sent.protocol == "tcp" else socket.SOCK_DGRAM
        family = socket.AF_INET if sent.family == 4 else socket.AF_INET6
        with sent.netns.entered():
            own = socket.socket(family, kind)
        with contextlib.closing(own):
            own.setblocking(False)
            own.bind(("", port))
            try:
                return self._is_answered(own, sent, time.monotonic() + limit)
            except OSError:
                return False

    def _is_answered(self, own: socket.socket, sent: Packet, end: float) -> bool:
        with contextlib.suppress(BlockingIOError):
            own.connect((sent.address, sent.port))
        wanted = selectors.EVENT_WRITE
        if sent.protocol == "tcp":
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETS)
        else:
            own.send(b"x" * sent.size)
            wanted = selectors.EVENT_READ
        done: list[bool] = []
        self._selector.register(own, wanted, partial(_finish, own, sent.protocol, done))
        try:
            while not done and (left := end - time.monotonic()) > 0:
                self._serve(left)
        finally:
            self._selector.unregister(own)
        return bool(done) and done[0]

    def _serve(self, limit: float) -> None:
        for key, _ in self._selector.select(limit):
            serve: Callable[[], None] = key.data
            serve()

    def _listen(self, netns: Netns) -> None:
        with netns.entered():
            for family, where in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                for port in PORTS:
                    self._add(netns, _bound(family, socket.SOCK_STREAM, where, port), self._accept)
                    self._add(netns, _bound(family, socket.SOCK_DGRAM, where, port), self._answer)

    def _add(
        self, netns: Netns, own: socket.socket, serve: Callable[[Netns, socket.socket], None]
    ) -> None:
        self._selector.register(own, selectors.EVENT_READ, partial(serve, netns, own))

    def _accept(self, netns: Netns, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, peer = listener.accept()
            self._accepted.append(connection)
            own = connection.getsockname()
            self._arrivals.add(Arrival(netns, peer[0], peer[1], own[0], own[1]))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETS)

    def _answer(self, netns: Netns, server: socket.socket) -> None:
        """Return a datagram to its sender, from the address that it was sent to."""
        with contextlib.suppress(OSError):
            data, ancillary, _, client = server.recvmsg(4096, 128)
            ((level, kind, where),) = ancillary
            if level == socket.SOL_IP:
                address, asked = where[8:12], bytes(4) + where[8:12] + bytes(4)
            else:
                address, asked = where[:16], where[:16] + bytes(4)
            family = server.family
            own = socket.inet_ntop(family, address)
            self._arrivals.add(Arrival(netns, client[0], client[1], own, server.getsockname()[1]))
            server.sendmsg([data], [(level, kind, asked)], 0, client)


def _finish(own: socket.socket, protocol: str, done: list[bool]) -> None:
    if protocol == "tcp":
        done.append(own.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0)
        return
    try:
        own.recv(4096)
        done.append(True)
    except OSError:
        done.append(False)


def _bound(family: int, kind: int, where: str, port: int) -> socket.socket:
    own = socket.socket(family, kind)
    own.setblocking(False)
    if family == socket.AF_INET6:
        own.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        own.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        own.setsockopt(socket.SOL_IP, IP_PKTINFO, 1)
    own.bind((where, port))
    if kind == socket.SOCK_STREAM:
        own.listen()
    return own


@contextlib.contextmanager
def exchange(every: Sequence[Netns]) -> Iterator[Exchange]:
    """The sockets, during the block."""
    found = Exchange(every)
    try:
        yield found
    finally:
        found.close()
