"""The least that asking DNS from every pod can cost: one process, one socket in each netns.

It knows the pods' processes beforehand, keeps nothing and checks nothing but that an answer came.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import socket
import time
from collections.abc import Sequence
from pathlib import Path

NEW_NETNS = 0x40000000
LIMIT = 5.0


def ask(pids: Sequence[str], server: str, query: bytes) -> float:
    """Seconds until every pod has an answer. Raises where one has none in time."""
    libc = ctypes.CDLL(None, use_errno=True)
    opened = [os.open(Path("/proc", pid, "ns/net"), os.O_RDONLY) for pid in pids]
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    selector = selectors.DefaultSelector()
    began = time.monotonic()
    try:
        for netns in opened:
            if libc.setns(netns, NEW_NETNS):
                raise OSError(ctypes.get_errno(), "setns")
            each = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            each.setblocking(False)
            each.connect((server, 53))
            each.send(query)
            selector.register(each, selectors.EVENT_READ, each)
        while selector.get_map():
            ready = selector.select(began + LIMIT - time.monotonic())
            if not ready:
                raise TimeoutError(f"{len(selector.get_map())} pods had no answer")
            for key, _ in ready:
                assert key.data.recv(65535)
                selector.unregister(key.data)
                key.data.close()
        return time.monotonic() - began
    finally:
        libc.setns(own, NEW_NETNS)
        for descriptor in (own, *opened):
            os.close(descriptor)
