"""Reads the listening TCP sockets of the node and of every pod's netns, without sending anything.

sock_diag is asked where it is loaded already: it returns listening sockets alone, and whether an
IPv6 socket accepts IPv4 too. Otherwise /proc/PID/net lists them first, before all others.
"""

import os
import socket
import struct
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

from wirecheck.collect.on_node.commands import can_be_there, legacy_tables
from wirecheck.collect.on_node.netlink import DUMP, REQUEST, Netlink, attributes
from wirecheck.collect.on_node.nf_tables import table_names
from wirecheck.collect.on_node.visit_state import VisitState

JsonObject = Dict[str, Any]
Found = Tuple[str, int, Optional[bool]]
"""Address, port, and whether an IPv6 socket accepts IPv6 only; None if that is unknown."""

NETLINK_SOCK_DIAG, BY_FAMILY = 4, 20
QUESTION = struct.Struct("=BBBxI48x")  # inet_diag_req_v2
SOCKET = struct.Struct("=BBxx2s2x16s16x32x")  # inet_diag_msg
V6ONLY = 11
TCP_LISTEN, NEW_REQUEST = 10, 3
FAMILIES = ((socket.AF_INET, 4), (socket.AF_INET6, 16))

MOST_SOCKETS = 1000
MOST_IN_ALL = 200000
MOST_LINES = 20000
MOST_TABLES = 20


def read_all(visit: VisitState) -> None:
    """Add `listeners` to each netns in which a pod may listen, and `filters` to those of pods."""
    has_diag, has_nft = can_be_asked(), can_be_there("nf_tables")
    host = visit.namespaces.host
    wanted = {host, *visit.netns.values()}
    left = MOST_IN_ALL
    for record in visit.document.get("namespaces", ()):
        inode = record["inode"]
        if inode in wanted and inode in visit.namespaces.descriptors:
            pids = visit.processes.pids.get(inode, [])
            with visit.namespaces.inside(inode):
                if left > 0:
                    found = _described(_by_netlink()) if has_diag else {}
                    record.update(found or _described(_by_files(inode, pids)))
                    left -= len(record.get("listeners", ()))
                if inode != host:
                    record.update(_filters(has_nft))


def can_be_asked() -> bool:
    """Whether sock_diag is loaded, or cannot be loaded: a request would load it."""
    return os.path.exists("/sys/module/tcp_diag") or not os.path.exists("/proc/modules")


def _described(sockets: Iterator[Found]) -> JsonObject:
    """The distinct sockets, or nothing if they could not be read."""
    found: Set[Found] = set()
    try:
        for number, each in enumerate(sockets):
            if number >= MOST_LINES or len(found) >= MOST_SOCKETS:
                return {"listeners": _sorted(found), "listeners_cut": True}
            found.add(each)
    except OSError:
        return {}
    return {"listeners": _sorted(found)}


def _sorted(found: Set[Found]) -> List[JsonObject]:
    records: List[JsonObject] = []
    for address, port, v6only in sorted(found, key=str):
        records.append({"address": address, "port": port})
        if v6only is not None:
            records[-1]["v6only"] = v6only
    return records


def _by_netlink() -> Iterator[Found]:
    netlink = Netlink(NETLINK_SOCK_DIAG)
    try:
        for family, size in FAMILIES:
            body = QUESTION.pack(family, socket.IPPROTO_TCP, 0, 1 << TCP_LISTEN)
            for _, payload in netlink.answers(BY_FAMILY, REQUEST | DUMP, body):
                kind, state, port, source = SOCKET.unpack_from(payload)
                if kind == family and state == TCP_LISTEN:
                    only = attributes(payload, SOCKET.size).get(V6ONLY)
                    address = socket.inet_ntop(family, source[:size])
                    v6only = None if only is None else only != b"\0"
                    yield address, int.from_bytes(port, "big"), v6only
    finally:
        netlink.close()


def _by_files(inode: int, pids: List[int]) -> Iterator[Found]:
    """By a process of the netns: /proc/net of this one may be cached from another netns."""
    for pid in pids:
        if os.stat("/proc/%d/ns/net" % pid).st_ino == inode:
            for family, name in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
                for address, port in _lines("/proc/%d/net/%s" % (pid, name)):
                    yield socket.inet_ntop(family, address), port, None
            return
    raise OSError(0, "no process of the netns is left")


def _lines(path: str) -> Iterator[Tuple[bytes, int]]:
    """Address and port of the listening sockets, which the kernel lists before all others."""
    if not os.path.exists(path):  # the kernel has no IPv6
        return
    with open(path, encoding="ascii") as file:
        next(file, "")
        for line in file:
            words = line.split()
            state = int(words[3], 16)
            if state not in (TCP_LISTEN, NEW_REQUEST):
                return
            address, port = words[1].split(":")
            parts = [int(address[i : i + 8], 16) for i in range(0, len(address), 8)]
            if state == TCP_LISTEN:
                yield struct.pack("=%dI" % len(parts), *parts), int(port, 16)


def _filters(has_nft: bool) -> JsonObject:
    """The names of the packet filter tables of the current netns: they may redirect ports."""
    names = legacy_tables() + legacy_tables("ip6_tables_names")
    if has_nft:
        tables = table_names()
        if "output" not in tables:
            return {}
        names += [each[len("table ") :] for each in tables["output"].splitlines()]
    return {"filters": names[:MOST_TABLES]}
