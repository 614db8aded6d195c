"""Which UDP entries of conntrack are kept: few of many, for a table may have a million."""

import re
import socket
from typing import Dict, List, Set, Tuple

MOST_CLIENTS = 8
"""Entries that are kept of those with one destination and one backend."""

_ENTRY = re.compile(
    rb" src=(\S+) dst=(\S+) sport=\d+ dport=(\d+)(?: .*?src=(\S+) dst=\S+ sport=(\d+))?"
)

Route = Tuple[bytes, bytes, bytes, bytes]
"""Address and port of the destination, and of the backend."""


class UdpEntries:
    """Takes the output of `conntrack -L` in pieces, and returns the lines to keep.

    These are one for each client of a DNS Service with each backend, and of all other entries
    those that are translated to another destination.
    """

    def __init__(self, dns: List[str]) -> None:
        self._dns = {_packed(each) for each in dns} - {b""}
        self._clients: Set[Tuple[bytes, Route]] = set()
        self._routes: Dict[Route, int] = {}
        self._rest = b""

    def kept(self, part: bytes) -> bytes:
        """The lines to keep among those that this piece completes."""
        *lines, self._rest = (self._rest + part).split(b"\n")
        return b"".join(line + b"\n" for line in lines if self._keeps(line))

    def last(self) -> bytes:
        """The end of an output that ends within a line."""
        return self._rest

    def _keeps(self, line: bytes) -> bool:
        entry = _ENTRY.search(line)
        if not entry:
            return bool(line)  # malformed: for the reader to report
        client, to, port, backend, backend_port = entry.groups()
        route = (to, port, backend, backend_port)
        if _packed(to.decode("ascii", "replace")) in self._dns:
            is_new = (client, route) not in self._clients
            self._clients.add((client, route))
            return is_new
        if backend is None or (to, port) == (backend, backend_port):
            return False
        self._routes[route] = self._routes.get(route, 0) + 1
        return self._routes[route] <= MOST_CLIENTS


def _packed(address: str) -> bytes:
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    except (OSError, ValueError):  # ValueError: it has a null character
        return b""
