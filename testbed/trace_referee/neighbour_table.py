"""Neighbour entries of a netns, read and forgotten by rtnetlink: each packet asks again."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from testbed.trace_referee.namespaces import Netns

NEW, DELETE, GET = 28, 29, 30
"""RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH."""
REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
DONE, ERROR = 3, 2
DESTINATION = 1
INCOMPLETE, FAILED, NOARP, PERMANENT = 0x01, 0x20, 0x40, 0x80
MILLISECONDS = "60"
HEADER, NEIGHBOUR, ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=B3xiHBB"), "=HH"


class Entry(NamedTuple):
    """A neighbour entry."""

    family: int
    device: int
    state: int
    address: bytes

    @property
    def is_learned(self) -> bool:
        return not self.state & (NOARP | PERMANENT)

    @property
    def is_silent(self) -> bool:
        """Whether nobody answered."""
        return bool(self.state & (INCOMPLETE | FAILED))


class NeighbourTable:
    """The table of one netns."""

    def __init__(self, netns: Netns) -> None:
        with netns.entered():
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.settimeout(10)

    def close(self) -> None:
        """Close the socket, which keeps the netns."""
        self._socket.close()

    def forget(self) -> None:
        """Delete what was learned."""
        for each in self.entries():
            if each.is_learned:
                body = NEIGHBOUR.pack(each.family, each.device, 0, 0, 0)
                size = struct.calcsize(ATTRIBUTE) + len(each.address)
                body += struct.pack(ATTRIBUTE, size, DESTINATION) + each.address
                [*self._asked(DELETE, REQUEST | ACK, body)]

    def entries(self) -> list[Entry]:
        """All entries of both families."""
        found = (
            _entry(data)
            for family in (socket.AF_INET, socket.AF_INET6)
            for data in self._asked(GET, REQUEST | DUMP, NEIGHBOUR.pack(family, 0, 0, 0, 0))
        )
        return [each for each in found if each is not None]

    def _asked(self, kind: int, flags: int, body: bytes) -> Iterator[bytes]:
        self._socket.send(HEADER.pack(HEADER.size + len(body), kind, flags, 1, 0) + body)
        while True:
            data = self._socket.recv(1 << 16)
            while len(data) >= HEADER.size:
                size, answer, *_ = HEADER.unpack_from(data)
                if answer in (DONE, ERROR):
                    return  # An entry that has gone meanwhile is as good as deleted.
                yield data[HEADER.size : size]
                data = data[size + 3 & ~3 :]


def _entry(data: bytes) -> Entry | None:
    family, index, state, _, _ = NEIGHBOUR.unpack_from(data)
    rest = data[NEIGHBOUR.size :]
    while len(rest) >= struct.calcsize(ATTRIBUTE):
        size, kind = struct.unpack_from(ATTRIBUTE, rest)
        if kind == DESTINATION:
            return Entry(family, index, state, rest[4:size])
        rest = rest[max(size, 4) + 3 & ~3 :]
    return None


def hasten(netns: Netns) -> None:
    """Ask at short intervals, so that it is soon known that nobody answers."""
    with netns.entered():
        for each in Path("/proc/sys/net").glob("ipv[46]/neigh/*/retrans_time_ms"):
            each.write_text(MILLISECONDS)
