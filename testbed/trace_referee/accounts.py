"""Independent accounts of where a packet died: what the kernel counted in the netns that is named.

Counters are compared around one connection: those of iptables' rules and policies, of nftables'
rules with `counter`, and of /proc/net.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from testbed.trace_referee.namespaces import Netns

SAVED = {
    4: (("iptables-nft-save", "-c"), ("iptables-legacy-save", "-c")),
    6: (("ip6tables-nft-save", "-c"), ("ip6tables-legacy-save", "-c")),
}
NFT = (("nft", "list", "ruleset"),)
FILES = ("snmp", "netstat", "snmp6", "xfrm_stat")
RULE = re.compile(r"\[(\d+):\d+\] (-A .*)")
POLICY = re.compile(r":(\S+) DROP \[(\d+):\d+\]")
NFT_RULE = re.compile(r"\s*(.*?)\s*counter packets (\d+) bytes \d+\s*(.*?)(?: # handle \d+)?")
VALUE = re.compile(r"(\w+)\s+(\d+)")
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


Counted = Counter[str]
"""Every counter of one netns at one moment, by its name or rule."""


def counted_in(netns: Netns, line: str, family: int) -> Counted:
    """Read the counters of a netns, with those of rules if a packet ends there by this rule."""
    commands: tuple[tuple[str, ...], ...] = ()
    if "-A " in line or "policy DROP of " in line:
        commands = SAVED[family]
    if line.endswith(("drop", "reject")) or "policy" in line:
        commands += NFT
    with netns.entered():
        own = Path("/proc/thread-self/net")
        texts = [(own / each).read_text() for each in FILES if (own / each).exists()]
        texts += [_output(each) for each in commands]
    return counted("\n".join(texts))


def _output(command: tuple[str, ...]) -> str:
    return subprocess.run(command, capture_output=True, timeout=60, check=False, text=True).stdout


def counted(text: str) -> Counted:
    """What these files and tools show."""
    return Counter(dict(_values(text)))


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


def has_account(stage: str, line: str, before: Counted, after: Counted) -> bool:
    """Whether the kernel counted that a packet ended at the stage, by this line."""
    grown = {name for name, value in after.items() if value > before[name]}
    if " -A " in f" {line}":
        return line[line.index("-A ") :] in grown
    if "policy DROP of " in line:
        base = line.partition("policy DROP of ")[2].partition(":")[0]
        return f"policy of {base}" in grown
    kind = "IPsec" if line.startswith("block ") else stage.partition(" ")[0]
    if any(_plain(line).endswith(each) for each in grown if each.endswith("drop")):
        return True
    return bool(grown & {*COUNTED.get(stage, ()), *COUNTED.get(kind, ())})
