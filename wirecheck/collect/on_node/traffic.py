"""Reads the counters of packets that the node dropped before any rule."""

import time
from typing import Any, Dict, Iterable

SOFTNET = "/proc/net/softnet_stat"
DEVICES = "/proc/net/dev"
COLUMNS = {"received": 1, "receive_errors": 2, "receive_dropped": 3, "sent": 9, "send_errors": 10,
           "send_dropped": 11}  # fmt: skip


def sample(interfaces: Iterable[str]) -> Dict[str, Any]:
    """The current counters of the CPUs' backlog queues and of each interface."""
    with open(SOFTNET, encoding="ascii") as file:
        rows = [line.split() for line in file]
    wanted = set(interfaces)
    counters = {}
    with open(DEVICES, encoding="utf-8", errors="replace") as file:
        for line in file:
            name, colon, rest = line.partition(":")
            if colon and name.strip() in wanted:
                numbers = [int(word) for word in rest.split()]
                counters[name.strip()] = {key: numbers[at] for key, at in COLUMNS.items()}
    return {
        "time": time.time(),
        "softnet_dropped": sum(int(row[1], 16) for row in rows),
        "interfaces": counters,
    }
