"""Netlink sockets: sends requests to the kernel, and parses its messages."""

import errno
import os
import socket
import struct
from typing import Dict, Iterator, List, Optional, Tuple

REQUEST, DUMP, DUMP_INTERRUPTED = 0x1, 0x300, 0x10
ERROR, DONE = 2, 3
HEADER = struct.Struct("=IHHII")
ATTRIBUTE = struct.Struct("=HH")
TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
SECONDS = 10
MOST_DUMPS = 5
MOST_MESSAGES = 1000000
"""Of all dumps of a socket."""


class Netlink:
    """A socket, usually to rtnetlink; it stays in the netns in which it was made."""

    def __init__(self, protocol: int = 0, most: int = MOST_MESSAGES) -> None:
        self._most = most
        self.received = 0
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        self._socket.settimeout(SECONDS)
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def dump(self, kind: int, body: bytes) -> List[bytes]:
        """All answers to a dump request, without their headers. Raises OSError for too many.

        The kernel marks a dump during which the table changed; it is requested again. If the
        table keeps changing, the last dump is used.
        """
        for _ in range(MOST_DUMPS):
            payloads = []
            interrupted = False
            for flags, payload in self.answers(kind, REQUEST | DUMP, body):
                interrupted = interrupted or bool(flags & DUMP_INTERRUPTED)
                payloads.append(payload)
                if self.received + len(payloads) > self._most:
                    raise OSError(errno.E2BIG, "it has more entries than are read")
            if not interrupted:
                break
        self.received += len(payloads)
        return payloads

    def ask(self, kind: int, body: bytes) -> Optional[bytes]:
        """The one answer to a request."""
        for _, payload in self.answers(kind, REQUEST, body):
            return payload
        return None

    def answers(self, kind: int, flags: int, body: bytes) -> Iterator[Tuple[int, bytes]]:
        """(flags, payload) of each answer to a request, as they arrive."""
        self._sequence += 1
        size = HEADER.size + len(body)
        self._socket.send(HEADER.pack(size, kind, flags, self._sequence, 0) + body)
        while True:
            data = self._socket.recv(1 << 18)
            for kind_, flags_, sequence, payload in messages(data):
                if sequence != self._sequence:
                    continue  # left over from an abandoned request
                if kind_ == DONE:
                    return
                if kind_ == ERROR:
                    code = -struct.unpack_from("=i", payload)[0]
                    if code:
                        raise OSError(code, os.strerror(code))
                    return
                yield flags_, payload
                if not flags & DUMP:
                    return


def messages(data: bytes) -> Iterator[Tuple[int, int, int, bytes]]:
    """(type, flags, sequence, payload) of each message in what one read returned."""
    offset = 0
    while offset + HEADER.size <= len(data):
        size, kind, flags, sequence, _ = HEADER.unpack_from(data, offset)
        if size < HEADER.size or offset + size > len(data):
            raise OSError(errno.EBADMSG, "a netlink message was cut off")
        yield kind, flags, sequence, data[offset + HEADER.size : offset + size]
        offset += (size + 3) & ~3


def attributes(data: bytes, offset: int = 0) -> Dict[int, bytes]:
    """The attributes from `offset` on, by type; the last one if a type is repeated."""
    found = {}
    while offset + ATTRIBUTE.size <= len(data):
        size, kind = ATTRIBUTE.unpack_from(data, offset)
        if size < ATTRIBUTE.size or offset + size > len(data):
            raise OSError(errno.EBADMSG, "a netlink attribute was cut off")
        found[kind & TYPE_MASK] = data[offset + ATTRIBUTE.size : offset + size]
        offset += (size + 3) & ~3
    return found


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, encoded for a request."""
    padding = b"\0" * (-len(value) % 4)
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value + padding


def number(value: bytes) -> int:
    """An unsigned number of any width in the machine's byte order."""
    return int.from_bytes(value, "little" if struct.pack("=H", 1)[0] else "big")


def text(value: bytes) -> str:
    """A string that ends at its zero byte; names of interfaces may hold any other byte."""
    return value.split(b"\0")[0].decode("utf-8", "replace")
