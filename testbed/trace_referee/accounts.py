"""Independent accounts of where a packet died: what the kernel counted in the netns that is named.

Counters are compared around one connection: those of iptables' rules and policies, of nftables'
rules with `counter`, and of /proc/net. Neighbour entries show who did not answer.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from testbed.trace_referee.world import World

SAVED = ("iptables-nft-save", "iptables-legacy-save", "ip6tables-nft-save", "ip6tables-legacy-save")
FILES = ("snmp", "netstat", "snmp6", "xfrm_stat")
SCRIPT = "; ".join(
    [*(f"{each} -c 2>/dev/null" for each in SAVED), "nft list ruleset 2>/dev/null",
     *(f"cat /proc/net/{each} 2>/dev/null" for each in FILES), "ip neigh show"]
)  # fmt: skip
RULE = re.compile(r"\[(\d+):\d+\] (-A .*)")
POLICY = re.compile(r":(\S+) DROP \[(\d+):\d+\]")
NFT_RULE = re.compile(r"\s*(.*?)\s*counter packets (\d+) bytes \d+\s*(.*?)(?: # handle \d+)?")
VALUE = re.compile(r"(\w+)\s+(\d+)")
SILENT = re.compile(r"(\S+) dev \S+ .*(?:FAILED|INCOMPLETE)")
COUNTED = {
    "routing": ("IpOutNoRoutes", "IpInNoRoutes", "IpInAddrErrors", "Ip6OutNoRoutes",
                "Ip6InNoRoutes", "Ip6InAddrErrors"),
    "forwarding": ("IpInAddrErrors", "IpInHdrErrors", "IcmpOutTimeExcds", "Icmp6OutTimeExcds",
                   "Ip6InHdrErrors", "Ip6InAddrErrors"),
    "source check": ("TcpExtIPReversePathFilter", "IpExtInNoRoutes"),
    "socket": ("TcpOutRsts", "UdpNoPorts", "Udp6NoPorts"),
    "IPsec": ("XfrmInPolBlock", "XfrmOutPolBlock", "XfrmFwdHdrError"),
}  # fmt: skip
"""By stage, the counters of which one has to grow."""


@dataclass(frozen=True)
class Counted:
    """Every counter of one netns at one moment."""

    values: Counter[str]
    silent: frozenset[str]
    """The addresses that did not answer ARP or neighbour discovery."""

    @staticmethod
    def of(world: World, pod: str) -> Counted:
        """Read the netns of a pod, or of the node without one."""
        enter = f"ip netns exec {pod} " if pod else ""
        script = f"{enter}sh -c '{SCRIPT}'"
        inside = ["nsenter", "--target", str(world.pid), "--all", "--", "/bin/sh", "-c", script]
        done = subprocess.run(inside, capture_output=True, timeout=60, check=False, text=True)
        return counted(done.stdout)


def counted(text: str) -> Counted:
    """What the script prints."""
    return Counted(Counter(dict(_values(text))), frozenset(SILENT.findall(text)))


def _values(text: str) -> Iterator[tuple[str, int]]:
    heading: list[str] = []
    for line in text.splitlines():
        if found := RULE.match(line):
            yield found.group(2), int(found.group(1))
        elif found := POLICY.match(line):
            yield f"policy of {found.group(1)}", int(found.group(2))
        elif found := NFT_RULE.fullmatch(line):
            yield _plain(f"{found.group(1)} {found.group(3)}"), int(found.group(2))
        elif found := VALUE.fullmatch(line.strip()):
            yield found.group(1), int(found.group(2))
        elif ": " in line and not line.startswith(("[", "\t", " ")):
            words = line.split()
            if heading and heading[0] == words[0] and words[1].lstrip("-").isdigit():
                name = words[0].rstrip(":")
                yield from zip((f"{name}{e}" for e in heading[1:]), map(int, words[1:]),
                               strict=False)  # fmt: skip
            heading = words


def _plain(rule: str) -> str:
    return " ".join(rule.split())


def has_account(stage: str, lines: list[str], before: Counted, after: Counted) -> bool:
    """Whether the kernel counted that a packet ended at the stage, by these lines."""
    grown = {name for name, value in after.values.items() if value > before.values[name]}
    line = lines[-1] if lines else ""
    if " -A " in f" {line}":
        return line[line.index("-A ") :] in grown
    if "policy DROP of " in line:
        base = line.partition("policy DROP of ")[2].partition(":")[0]
        return f"policy of {base}" in grown
    kind = "IPsec" if line.startswith("block ") else stage.partition(" ")[0]
    if kind == "neighbour":
        return bool(after.silent)
    if any(_plain(line).endswith(each) for each in grown if each.endswith((" drop", "drop"))):
        return True
    return bool(grown & {*COUNTED.get(stage, ()), *COUNTED.get(kind, ())})
