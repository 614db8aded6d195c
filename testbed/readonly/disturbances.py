"""Small changes to a node, each of which the proof must notice: it can fail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from testbed import nodes


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What is done, how it is undone, and in which section it shows."""

    section: str
    do: Sequence[str]
    undo: Sequence[str]


DISTURBANCES = (
    Disturbance("files", ["touch", "/tmp/wc-left-behind"], ["rm", "/tmp/wc-left-behind"]),
    Disturbance(
        "processes",
        ["sh", "-c", "sleep 86399 </dev/null >/dev/null 2>&1 &"],
        ["pkill", "-x", "-f", "sleep 86399"],
    ),
    Disturbance(
        "filter rules",
        ["iptables-nft", "-t", "mangle", "-N", "WC-LEFT-BEHIND"],
        ["iptables-nft", "-t", "mangle", "-X", "WC-LEFT-BEHIND"],
    ),
    Disturbance(
        "links",
        ["ip", "link", "add", "wc-left0", "type", "bridge"],
        ["ip", "link", "delete", "wc-left0"],
    ),
    Disturbance(
        "routes",
        ["ip", "route", "add", "blackhole", "203.0.113.0/24"],
        ["ip", "route", "delete", "blackhole", "203.0.113.0/24"],
    ),
    Disturbance(
        "permanent neighbours",
        ["ip", "neighbour", "add", "203.0.113.9", "lladdr", "02:00:00:00:00:09", "dev", "eth0"],
        ["ip", "neighbour", "delete", "203.0.113.9", "dev", "eth0"],
    ),
    Disturbance(
        "sysctls",
        ["sysctl", "-qw", "net.ipv4.conf.eth0.arp_ignore=1"],
        ["sysctl", "-qw", "net.ipv4.conf.eth0.arp_ignore=0"],
    ),
)


@contextmanager
def disturbed(node: str) -> Iterator[None]:
    """The node with all of them, and without them again."""
    done: list[Disturbance] = []
    try:
        for each in DISTURBANCES:
            nodes.output(node, each.do)
            done.append(each)
        yield
    finally:
        for each in reversed(done):
            nodes.run(node, each.undo)
