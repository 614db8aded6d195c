"""Counts new conntrack entries and their destinations, as `conntrack -E` shows them."""

import errno
import socket
import time
from collections import Counter
from typing import Any, Dict, Optional
from typing import Counter as Tally

from wirecheck.collect.on_node.netlink import attributes, messages

NETFILTER = 12
GROUP_NEW = 1  # NFNLGRP_CONNTRACK_NEW, as a mask
NEW_ENTRY = 1 << 8  # subsystem ctnetlink, IPCTNL_MSG_CT_NEW
GENERIC_HEADER = 4
ORIGINAL, ADDRESSES, PROTOCOL = 1, 1, 2
V4_TO, V6_TO, NUMBER, PORT_TO = 2, 4, 1, 3
PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}
BUFFER = 1 << 20
MOST = 50000
TOP = 5


def listen(seconds: float) -> Dict[str, Any]:
    """Count for `seconds`, or until MOST entries were counted."""
    began = time.monotonic()
    tally: Tally[str] = Counter()
    lost = False
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        listener.bind((0, GROUP_NEW))
        while sum(tally.values()) < MOST:
            left = began + seconds - time.monotonic()
            if left <= 0:
                break
            listener.settimeout(left)
            try:
                data = listener.recv(1 << 16)
            except socket.timeout:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                lost = True  # the socket's buffer was full
                continue
            for kind, _, _, payload in messages(data):
                if kind == NEW_ENTRY:
                    tally[_destination(payload) or "elsewhere"] += 1
    return {
        "seconds": round(time.monotonic() - began, 3),
        "count": sum(tally.values()),
        "lost": lost,
        "destinations": dict(tally.most_common(TOP)),
    }


def _destination(payload: bytes) -> Optional[str]:
    """The destination of the first packet: `10.96.0.10:53/udp`."""
    entry = attributes(payload, GENERIC_HEADER).get(ORIGINAL, b"")
    parts = attributes(entry)
    where = attributes(parts.get(ADDRESSES, b""))
    how = attributes(parts.get(PROTOCOL, b""))
    number = how.get(NUMBER, b"\0")[0]
    protocol = PROTOCOLS.get(number, str(number))
    port = int.from_bytes(how.get(PORT_TO, b""), "big")
    if V4_TO in where:
        return "%s:%d/%s" % (socket.inet_ntop(socket.AF_INET, where[V4_TO]), port, protocol)
    if V6_TO in where:
        return "[%s]:%d/%s" % (socket.inet_ntop(socket.AF_INET6, where[V6_TO]), port, protocol)
    return None
